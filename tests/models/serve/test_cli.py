"""`twofold model`, as a person or a script types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from models.registry import Registry
from tests.models.serve.adapters import adapter, report
from tests.models.serve.admin_server import AdminServer
from tests.models.serve.conftest import BRACKWATER
from twofold.commands import build
from twofold.ledger import Ledger
from twofold.policy import HousePolicy

Run = Callable[..., Result]


@pytest.fixture
def run(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("TWOFOLD_LEDGER_URL", ledger.url)
    monkeypatch.setenv("TWOFOLD_HOUSE", str(BRACKWATER))
    monkeypatch.setenv("TWOFOLD_MODEL_NAME", "base")
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(build(), ["model", *words], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return run


def listed(run: Run) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("list", "--json").stdout)["releases"]
    return found


def test_from_folder_to_customers_and_back(
    run: Run, registry: Registry, house: HousePolicy, tmp_path: Path
):
    for name in ("a", "b"):
        assert run("publish", str(adapter(tmp_path / name, house)), "--name", name).stdout == (
            f"{name}\n"
        )
        refused = run("promote", name, code=2)
        assert f"twofold gate {name}" in refused.stderr
        registry.gated(name, report(registry.get(name)))
    run("promote", "a", "--why", "the first")
    assert "canary, 20%" in run("canary", "b", "--share", ".2").stdout
    table = run("list").stdout
    assert "canary, 20%" in table
    assert "the first (" in table
    assert "the base model base does" in table
    run("promote", "b")
    rolled = json.loads(run("rollback", "--why", "it promises refunds", "--json").stdout)
    assert (rolled["name"], rolled["state"], rolled["asked"]) == ("a", "live", True)
    rows = {row["name"]: row for row in listed(run)}
    assert (rows["b"]["state"], rows["b"]["why"]) == ("refused", "it promises refunds")
    assert "@" in str(rows["b"]["who"])
    run("retire", "a")
    assert [row["state"] for row in listed(run)] == ["refused", "retired"]


def test_the_list_says_what_is_not_asked(
    run: Run,
    registry: Registry,
    house: HousePolicy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    assert "No releases" in run("list").stdout
    registry.gated("a", report(registry.register(adapter(tmp_path / "a", house), "a")))
    registry.promote("a")
    assert listed(run)[0]["asked"] is True
    changed = BRACKWATER.read_text().replace("max_words: ", "max_words: 1")
    (tmp_path / "house.yaml").write_text(changed)
    monkeypatch.setenv("TWOFOLD_HOUSE", str(tmp_path / "house.yaml"))
    (row,) = listed(run)
    assert (row["state"], row["asked"]) == ("live", False)
    assert f"trained with house policy {house.digest}" in str(row["not_asked"])
    assert "not asked: it was trained with" in run("list").stdout
    monkeypatch.setenv("TWOFOLD_HOUSE", str(BRACKWATER))
    monkeypatch.setenv("TWOFOLD_MODEL_ADAPTER", "fixed")
    assert "TWOFOLD_MODEL_ADAPTER" in str(listed(run)[0]["not_asked"])


def test_serve_args_in_three_forms(run: Run, house: HousePolicy, tmp_path: Path):
    assert "twofold model publish" in run("serve-args", code=2).stderr
    run("publish", str(adapter(tmp_path / "a", house)))
    data = json.loads(run("serve-args", "--json").stdout)
    assert run("serve-args").stdout.splitlines() == [data["model"], *data["argv"]]
    assert run("serve-args", "--shell").stdout.startswith("vllm serve /models/tiny --served-model")


def test_a_running_server_follows(
    run: Run,
    registry: Registry,
    house: HousePolicy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    adapter(tmp_path / "a", house)
    monkeypatch.setenv("TWOFOLD_MODEL_KEY", "customers")
    monkeypatch.setenv("TWOFOLD_API_KEY", "customers")
    monkeypatch.setenv("TWOFOLD_MODEL_ADMIN_KEY", "admin")
    with AdminServer(key="admin") as server:
        monkeypatch.setenv("TWOFOLD_MODEL_ADMIN_URL", server.url)
        assert "loaded and answering" in run("publish", str(tmp_path / "a"), "--name", "a").stderr
        assert "was loaded before" in run("publish", str(tmp_path / "a")).stderr
        registry.gated("a", report(registry.get("a")))
        server.adapters.clear()  # it was started again
        run("promote", "a")
        assert [*server.adapters] == ["a"]
        assert "Warm: a, tiny." in run("warm-up").stdout
        assert server.keys == {"admin"}
        # What a server cannot serve does not go live.
        registry.gated("b", report(registry.register(adapter(tmp_path / "b", house), "b")))
        server.updating = False
        assert "VLLM_ALLOW_RUNTIME" in run("promote", "b", code=2).stderr
        assert registry.get("a").state == "live"
    monkeypatch.delenv("TWOFOLD_MODEL_ADMIN_URL")
    assert "TWOFOLD_MODEL_ADMIN_URL" in run("warm-up", code=2).stderr
