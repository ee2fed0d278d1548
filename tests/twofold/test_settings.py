"""Settings as a person gets them wrong: each mistake is one line that names its variable."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.commands import build
from twofold.errors import InvalidInput
from twofold.settings import Settings, secret, unknown_variables

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "command",
    [["doctor"], ["ask", "x"], ["ingest", "."], ["serve"], ["key", "list"], ["house", "check"]],
    ids=" ".join,
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_PORT", "abc")
    monkeypatch.setenv("TWOFOLD_DESK", "maybe")
    refused = CliRunner().invoke(build(), command)
    assert refused.exit_code == 2
    assert refused.stderr.splitlines() == [
        "error: TWOFOLD_PORT='abc': it should be a whole number.",
        "TWOFOLD_DESK='maybe': it should be true or false.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "70000", "less than or equal to 65535"),
        ("MAX_FILE_MB", "ten", "'ten': it should be a number"),
        ("EMBEDDER", "klingon", "'auto', 'english' or 'multilingual'"),
        ("WORKSPACE", "My Place", "'My Place': use a-z"),
        ("SOURCE_PORTS", "80", "='80': write a list as JSON, such as [1, 2]"),
        ("SOURCE_PORTS", "[0]", "greater than or equal to 1"),
        ("PROXIES", '["here"]', "IPv4 or IPv6 network"),
        ("HOME", __file__, "a folder is wanted"),
        ("SECRETS_DIR", "nowhere", "'nowhere': there is no such folder"),
        ("REDIS_URL", "hush", "it begins with redis://"),
        ("LEDGER_URL", "postgres://u:hush@db/x", "it begins with sqlite:/// or postgresql+psycopg"),
        ("MODEL_URL", "hush:8000", "it begins with http:// or https://"),
        ("HANDOFF_TARGETS", "hush", "write a list as JSON"),
    ],
)
def test_what_is_allowed_is_said_and_no_secret_is(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TWOFOLD_{name}", value)
    with pytest.raises(InvalidInput) as refused:
        Settings()
    assert refused.value.message.startswith(f"TWOFOLD_{name}")
    assert says in refused.value.message
    assert "hush" not in refused.value.message


@pytest.mark.parametrize("command", [["key", "list"], ["migrate"], ["init", "--company", "Acme"]])
def test_a_home_that_cannot_be_made_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    monkeypatch.setenv("TWOFOLD_HOME", "file/home")
    refused = CliRunner().invoke(build(), command)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert "TWOFOLD_HOME" in refused.stderr


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"TWOFOLD_{name.upper()}", "")
    monkeypatch.setenv("TWOFOLD_SECRET_CRM", "")
    monkeypatch.setenv("TWOFOLD_SECRETS_DIR", str(tmp_path))
    (tmp_path / "TWOFOLD_SECRET_CRM").write_text("hush")
    settings = Settings()
    assert not settings.model_fields_set
    assert settings.house_file is None
    assert secret("TWOFOLD_SECRET_CRM") == "hush"


def test_a_typo_is_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_PROT", "99")
    monkeypatch.setenv("TWOFOLD_ZZZ", "99")
    monkeypatch.setenv("TWOFOLD_CRM_HUSH", "named by a target")
    targets = '[{"kind": "webhook", "url": "https://a.example", "secret_env": "TWOFOLD_CRM_HUSH"}]'
    monkeypatch.setenv("TWOFOLD_HANDOFF_TARGETS", targets)
    Path(".env").write_text("twofold_retention_day=3\nOTHER=1\n")
    said = CliRunner().invoke(build(), ["doctor"]).stdout
    assert "TWOFOLD_PROT is no setting" in said
    assert "Did you mean TWOFOLD_PORT?" in said
    assert unknown_variables(Settings()) == {
        "TWOFOLD_PROT": "TWOFOLD_PORT",
        "TWOFOLD_RETENTION_DAY": "TWOFOLD_RETENTION_DAYS",
        "TWOFOLD_ZZZ": "",
    }


def test_no_variable_of_our_own_is_taken_for_a_typo(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [ROOT / name for name in ("docker-compose.yml", ".env.example", "Makefile")]
    for folder in ("helm", "deploy", "docs", "benchmarks", "tests"):
        places += [path for path in (ROOT / folder).rglob("*.*") if path != Path(__file__)]
    named = {
        name
        for path in places
        if path.suffix in (".py", ".yml", ".yaml", ".md", ".tpl", ".example", "")
        for name in re.findall(r"TWOFOLD_[A-Z_]*[A-Z]", path.read_text("utf-8", "ignore"))
    }
    ours = named - {f"TWOFOLD_{name.upper()}" for name in Settings.model_fields}
    assert len(ours) > 10
    for name in ours - {"TWOFOLD_SECRETS_DIR", "TWOFOLD_SECRET"}:
        monkeypatch.setenv(name, "x")
    assert unknown_variables(Settings()) == {}
