"""Sources of every kind, added by command and over HTTP, and synced by name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

import twofold.stack
from ingestion.api import router
from ingestion.cli.sources import read_pairs
from ingestion.sources import KINDS, open_source
from tests.fakes import DictIndex, make_stack
from tests.ingestion.helpers import write_tree
from twofold.commands import build
from twofold.errors import InvalidInput, TwofoldError
from twofold.settings import Settings
from twofold.stack import Stack

TOKEN = "TWOFOLD_SECRET_TOKEN"
CONFIGS: dict[str, dict[str, Any]] = {
    "folder": {"path": "/tmp"},
    "website": {"url": "https://docs.example.com/", "include": ["/help/*"]},
    "zendesk": {"url": "https://a.zendesk.com", "email": "a@b.com", "token_env": TOKEN},
    "intercom": {"token_env": TOKEN, "audiences": {"31": "customer"}},
    "feed": {"url": "https://docs.example.com/feed"},
    "github_releases": {"repository": "a/b", "drafts": True},
}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


@pytest.fixture
def _embedded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = DictIndex()
    monkeypatch.setenv("TWOFOLD_HOME", str(home))

    def open_stack(settings: Settings, **_: Any) -> Stack:
        return make_stack(settings.home, index=index)

    monkeypatch.setattr(twofold.stack, "open_stack", open_stack)


@pytest.fixture
def client(stack: Stack) -> Iterator[TestClient]:
    app = FastAPI()
    settings = stack.settings.model_copy(update={"source_roots": [Path("/")]})
    app.include_router(router(replace(stack, settings=settings)))

    def refuse(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TwofoldError)
        return JSONResponse({"detail": error.message}, error.status)

    app.add_exception_handler(TwofoldError, refuse)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_opens_again_from_what_it_keeps(kind: str) -> None:
    source = open_source(Settings(), kind, "help", CONFIGS[kind])
    kept = orjson.loads(orjson.dumps(dict(source.config)))
    again = open_source(Settings(), kind, "help", kept)
    assert (again.kind, again.name, dict(again.config)) == (kind, "help", dict(source.config))
    assert kept == CONFIGS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_added_over_http(client: TestClient, kind: str) -> None:
    body = {"name": "help", "kind": kind, "config": CONFIGS[kind]}
    added = client.post("/v1/sources", json=body)
    assert added.status_code == 201
    assert (added.json()["kind"], added.json()["documents"]) == (kind, 0)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"kind": "website", "config": {"url": "http://169.254.169.254/"}}, "private or reserved"),
        ({"kind": "feed", "config": {"url": "https://a.com", "colour": 1}}, "no such key"),
        ({"kind": "sharepoint"}, "cannot be synced. Kinds that can: folder, website"),
        ({"kind": "folder", "config": {}}, "'folder' is wrong: path: it is missing"),
        ({"kind": "intercom", "config": {"token_env": "TWOFOLD_EMBEDDER_KEY"}}, "begins with"),
    ],
)
def test_a_wrong_source_is_refused_with_its_reason(
    client: TestClient, body: dict[str, Any], says: str
) -> None:
    refused = client.post("/v1/sources", json={"name": "help", **body})
    assert refused.status_code in (403, 422)
    assert says in refused.json()["detail"]


@pytest.mark.usefixtures("_embedded")
def test_a_source_is_added_by_command_and_synced_by_name(tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    added = run("sources", "add", "help", "--kind", "folder", "--config", f"path={tree}")
    assert (added.exit_code, "twofold sync help" in added.stdout) == (0, True)
    synced = run("sync", "help", "--json")
    assert (synced.exit_code, orjson.loads(synced.stdout)["added"]) == (0, 1)
    assert "There is no source 'none'" in run("sync", "none").stderr


@pytest.mark.usefixtures("_embedded")
def test_a_mistake_in_the_command_is_explained() -> None:
    for config, says in [("url", "not of the form key=value"), ("url=nonsense", "https://")]:
        refused = run("sources", "add", "x", "--kind", "website", "--config", config)
        assert (refused.exit_code, says in refused.stderr) == (2, True)


def test_pairs_become_a_config() -> None:
    pairs = ["url=https://a.com/?a=b", "include=/a/*", "include=/b/*", 'audiences={"1": "vip"}']
    assert read_pairs(pairs) == {
        "url": "https://a.com/?a=b",
        "include": ["/a/*", "/b/*"],
        "audiences": {"1": "vip"},
    }
    with pytest.raises(InvalidInput):
        read_pairs(["a={broken"])
