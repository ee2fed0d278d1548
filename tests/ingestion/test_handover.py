"""Commands while a server runs: it does the work, and they wait and tell how it went."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from fastapi import FastAPI

from ingestion.api import router
from tests.fakes import make_stack
from tests.ingestion.helpers import readable, write_tree
from tests.ingestion.test_cli import run
from tests.services.standalone.serving import served
from twofold import server_file
from twofold.settings import Settings
from twofold.stack import Stack


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stack of a server that runs on `home`; nobody else may open it."""

    def refuse(settings: Settings, **_: object) -> Stack:
        raise AssertionError("the index is the server's")

    monkeypatch.setenv("TWOFOLD_HOME", str(home))
    monkeypatch.setattr("twofold.stack.open_stack", refuse)
    with make_stack(home) as stack:
        app = FastAPI()
        app.include_router(router(stack))
        app.get("/healthz")(lambda: "ok")
        with served(app) as url:
            server_file.announce(home, url)
            yield stack
        server_file.withdraw(home)


def test_the_server_ingests_syncs_and_removes(server: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": ""})
    first = run("ingest", tree, "--source", "help", "--audience", "staff", "--json")
    report = orjson.loads(first.stdout)
    assert (first.exit_code, report["added"], report["failed"]) == (1, 1, 1)
    assert [failure["document"] for failure in report["failures"]] == ["b.md"]
    assert readable(server, "staff") == {"help/a.md": ["Apples."]}
    assert readable(server) == {}

    write_tree(tree, {"b.md": "Berries."})
    second = run("sync", "help", "--json")
    report = orjson.loads(second.stdout)
    assert (second.exit_code, report["added"], report["unchanged"]) == (0, 1, 1)

    write_tree(tree, {"b.md": "Blackberries."})
    assert "~ b.md" in run("sync", "help").stdout.splitlines()

    (tree / "a.md").unlink()
    (tree / "b.md").unlink()
    empty = run("sync", "help")
    assert empty.exit_code == 2
    assert "holds no documents now" in empty.stderr

    removed = run("sources", "remove", "help", "--yes")
    assert "2 documents" in removed.stdout
    assert readable(server, "staff") == {}
    assert run("sources", "list").stdout.startswith("No sources yet")
