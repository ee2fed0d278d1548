"""`twofold doctor`, `migrate`, `backup` and `restore`, and keys that are made elsewhere."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.deploy.fake_http import serving
from tests.services.standalone.serving import EXAMPLES, needs_weights, small_help_center
from twofold.commands import build
from twofold.ledger import HEAD

ROLL = "How long does the old signing secret keep working after I roll it?"
STRONG = "tf_" + "a1B2" * 12


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build(), list(map(str, arguments)))


def findings() -> dict[str, list[dict[str, Any]]]:
    """What doctor found, by check."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(run("doctor", "--json").stdout):
        found.setdefault(finding["check"], []).append(finding)
    return found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("TWOFOLD_HOME", str(folder))
    monkeypatch.setenv("TWOFOLD_HOUSE", str(EXAMPLES / "house.yaml"))
    return folder


@pytest.fixture
def indexed(home: Path, tmp_path: Path) -> Path:
    small_help_center(tmp_path / "help")
    result = run("ingest", tmp_path / "help", "--source", "help", "--json")
    assert result.exit_code == 0, result.output
    return home


def _answer() -> dict[str, Any]:
    found = json.loads(run("ask", ROLL, "--json").stdout)
    return {key: found[key] for key in ("action", "text", "citations")}


def test_doctor_changes_nothing_and_says_how_to_begin(home: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "twofold ingest PATH --source NAME" in result.output
    assert not home.exists()


@needs_weights
def test_a_sound_installation_is_said_to_be(indexed: Path) -> None:
    indexed.chmod(0o700)
    found = findings()
    assert {each["state"] for name in ("packages", "home", "disk", "ledger", "ledger file", "index",
            "house", "keys", "sources", "embedder") for each in found[name]} == {"ok"}  # fmt: skip
    assert all(bool(each["fix"]) == (each["state"] != "ok") for all in found.values()
               for each in all)  # fmt: skip


@needs_weights
def test_each_fault_is_found_with_its_fix(
    indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed.chmod(0o755)
    shutil.rmtree(tmp_path / "help")
    monkeypatch.setenv("TWOFOLD_CHUNK_TOKENS", "123")
    monkeypatch.setenv("TWOFOLD_HOST", "0.0.0.0")
    monkeypatch.setenv("TWOFOLD_HOUSE", str(tmp_path / "nowhere.yaml"))
    monkeypatch.setenv("TWOFOLD_MODEL_URL", "http://127.0.0.1:9/v1")
    targets = [
        {"kind": "webhook", "url": "https://127.0.0.1:9/x", "secret_env": "TWOFOLD_SECRET_NO"}
    ]
    monkeypatch.setenv("TWOFOLD_HANDOFF_TARGETS", json.dumps(targets))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    found = findings()
    expected = {
        "home": ("warning", "chmod 700"),
        "index": ("failed", "twofold knowledge rebuild"),
        "keys": ("failed", "twofold key create"),
        "house": ("failed", "TWOFOLD_HOUSE"),
        "model": ("failed", "TWOFOLD_MODEL_URL"),
        "hand-overs": ("failed", "TWOFOLD_SECRET_NO"),
        "sources": ("warning", "twofold sources remove help"),
        "certificate": ("failed", "127.0.0.1:9"),
    }
    for check, (state, fix) in expected.items():
        hits = [each for each in found[check] if each["state"] == state]
        assert hits, (check, found[check])
        assert any(fix in each["fix"] for each in hits), (check, hits)


def test_doctor_finds_a_damaged_and_an_older_ledger(home: Path) -> None:
    assert run("migrate").exit_code == 0
    assert run("migrate", "--to", "0006").exit_code == 0
    (old,) = findings()["ledger"]
    assert old["state"] == "failed"
    assert "twofold migrate" in old["fix"]


def test_doctor_says_when_every_request_needs_a_key_and_none_is_in_use() -> None:
    run("migrate")
    assert [each["state"] for each in findings()["keys"]] == ["ok"]
    run("key", "create", "lead", "--scope", "answer")
    assert "1 in use: every request needs one" in findings()["keys"][0]["found"]
    run("key", "revoke", "lead")
    (none,) = findings()["keys"]
    assert none["state"] == "warning"
    assert none["found"] == "Every request needs a key, and none is in use."
    assert "twofold key create" in none["fix"]


def test_doctor_reads_a_model_server(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = {"/v1/models": {"data": [{"id": "small"}]}, "/version": {"version": "0.30.1"}}
    merged = {"/v1/models": {"data": [{"id": "tuned-7"}]}, "/version": {"version": "0.32.0"}}
    with serving(replies) as url, serving(merged) as other:
        monkeypatch.setenv("TWOFOLD_MODEL_NAME", "large")
        # Both forms of the address are asked, as the service does.
        for form in (url, f"{url}/v1"):
            monkeypatch.setenv("TWOFOLD_MODEL_URL", form)
            found = findings()["model"]
            assert any("does not serve 'large'" in each["found"] for each in found)
            assert any("0.32" in each["fix"] for each in found)
        monkeypatch.setenv("TWOFOLD_MODEL_NAME", "small")
        monkeypatch.setenv("TWOFOLD_MODEL_ADAPTER", "tuned-7")
        assert any("does not serve 'tuned-7'" in each["found"] for each in findings()["model"])
        monkeypatch.setenv("TWOFOLD_MODEL_ADAPTER_URL", other)
        assert not [each for each in findings()["model"] if each["state"] == "failed"]


def test_migrations_go_forward_and_back() -> None:
    assert f"revision {HEAD}" in run("migrate").output
    assert "revision 0005" in run("migrate", "--to", "0005").output
    assert f"revision {HEAD}" in run("migrate").output


def test_a_ledger_of_a_newer_release_is_left_alone(home: Path) -> None:
    run("migrate")
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    refused = run("migrate")
    assert refused.exit_code == 2
    assert f"migrate --to {HEAD}" in refused.output


@needs_weights
def test_backup_wipe_restore_same_answers(indexed: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(STRONG)
    before = _answer()
    assert run("key", "create", "crm", "--scope", "read", "--from-file", key).exit_code == 0
    written = run("backup", tmp_path / "backup")
    assert written.exit_code == 0, written.output
    shutil.rmtree(indexed)
    restored = run("restore", tmp_path / "backup")
    assert restored.exit_code == 0, restored.output
    assert _answer() == before
    assert "crm" in run("key", "list").output


@needs_weights
def test_an_older_backup_takes_back_what_came_since(indexed: Path, tmp_path: Path) -> None:
    before = _answer()
    run("backup", tmp_path / "backup")
    (tmp_path / "help" / "new.md").write_text(
        "# Signing secrets\n\nThe old secret works for 99 days.\n"
    )
    run("ingest", tmp_path / "help", "--source", "help")
    kept = run("restore", tmp_path / "backup")
    assert kept.exit_code == 2
    assert "--replace" in kept.output
    assert run("restore", tmp_path / "backup", "--replace").exit_code == 0
    assert _answer() == before


def test_a_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    run("migrate")
    run("backup", tmp_path / "backup")
    with (tmp_path / "backup" / "ledger.db").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * 64)
    refused = run("restore", tmp_path / "backup", "--replace")
    assert refused.exit_code == 2
    assert "damaged" in refused.output
    assert findings()["ledger file"][0]["state"] == "ok"


def test_a_backup_does_not_mix_with_other_files(tmp_path: Path) -> None:
    run("migrate")
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "mine.txt").write_text("mine")
    refused = run("backup", tmp_path / "backup")
    assert refused.exit_code == 2
    assert "mine.txt" in refused.output


def test_a_key_made_elsewhere_is_taken_once_and_changed_by_its_name(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(STRONG + "\n")
    create = ("key", "create", "widget", "--scope", "answer", "--from-file", key)
    assert "is taken" in run(*create).output
    assert "already" in run(*create).output
    key.write_text("tf_" + "z9Y8" * 12)
    assert "is taken" in run(*create).output
    rows = json.loads(run("key", "list", "--json").stdout)
    assert [bool(row["revoked_at"]) for row in rows] == [True, False]
    assert STRONG not in (tmp_path / "home" / "ledger.db").read_bytes().decode("latin-1")


@pytest.mark.parametrize("weak", ["", "tf_short", "x" * 60, "tf_" + "a" * 39 + "!"])
def test_a_weak_key_is_refused(tmp_path: Path, weak: str) -> None:
    key = tmp_path / "key"
    key.write_text(weak)
    refused = run("key", "create", "widget", "--scope", "answer", "--from-file", key)
    assert refused.exit_code == 2
    assert "openssl rand" in refused.output


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    """As Compose and Kubernetes mount them; in a process of its own: it reads them at its start."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "TWOFOLD_LEDGER_URL").write_text(f"sqlite:///{tmp_path}/by-file.db\n")
    (folder / "TWOFOLD_SECRET_CRM").write_text("hush\n")
    code = (
        "from twofold.settings import Settings, secret; print(Settings().ledger);"
        "print(secret('TWOFOLD_SECRET_CRM'), secret('../key'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "TWOFOLD_SECRETS_DIR": str(folder)},
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"sqlite:///{tmp_path}/by-file.db", "hush "]
