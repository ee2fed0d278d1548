"""The routes of the knowledge layer, through a real app."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import ValidationError

from ingestion.api import NewDocument, router
from ingestion.sources import Folder
from ingestion.sync.run import open_run
from tests.fakes import HashingEmbedder, make_stack
from tests.ingestion.helpers import WORKSPACE, points_of, readable, write_tree
from tests.servers import wait_until
from twofold.errors import TwofoldError
from twofold.stack import Stack


@pytest.fixture
def client(stack: Stack, tree: Path) -> Iterator[TestClient]:
    app = FastAPI()
    settings = stack.settings.model_copy(update={"source_roots": [tree.parent]})
    app.include_router(router(replace(stack, settings=settings)))

    def refuse(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TwofoldError)
        return JSONResponse({"type": error.slug, "detail": error.message}, error.status)

    app.add_exception_handler(TwofoldError, refuse)
    with TestClient(app) as client:
        yield client


def finished(client: TestClient, id: str) -> dict[str, Any]:
    def sync() -> dict[str, Any]:
        return dict(client.get(f"/v1/syncs/{id}").json())

    wait_until(lambda: sync()["state"] not in ("queued", "running"), "the sync has ended")
    return sync()


def test_a_source_is_added_synced_and_listed(client: TestClient, stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    new = {"name": "help", "kind": "folder", "path": str(tree)}
    assert client.post("/v1/sources", json=new).status_code == 201
    started = client.post("/v1/sources/help/sync")
    assert started.status_code == 202
    sync = finished(client, started.json()["id"])
    assert (sync["state"], sync["done"], sync["total"], sync["error"]) == ("done", 1, 1, "")
    assert sync["counts"]["added"] == 1
    assert readable(stack) == {"help/a.md": ["Apples."]}
    (source,) = client.get("/v1/sources").json()
    assert (source["name"], source["documents"], source["chunks"]) == ("help", 1, 1)


@pytest.mark.parametrize("path", ["/etc", "..", "tree/../../../etc"])
def test_a_folder_is_read_below_a_named_root_alone(
    client: TestClient, tree: Path, path: str
) -> None:
    outside = str(tree.parent.parent / path) if path.startswith("tree") else path
    refused = client.post("/v1/sources", json={"name": "etc", "path": outside})
    assert refused.status_code == 403
    assert "TWOFOLD_SOURCE_ROOTS" in refused.json()["detail"]
    assert client.get("/v1/sources").json() == []


def test_a_sync_that_cannot_be_done_says_why(client: TestClient, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    client.post("/v1/sources", json={"name": "help", "kind": "folder", "path": str(tree)})
    finished(client, client.post("/v1/sources/help/sync").json()["id"])
    (tree / "a.md").unlink()
    sync = finished(client, client.post("/v1/sources/help/sync").json()["id"])
    assert sync["state"] == "failed"
    assert "holds no documents now" in sync["error"]


def test_a_second_sync_is_a_conflict(client: TestClient, stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    client.post("/v1/sources", json={"name": "help", "kind": "folder", "path": str(tree)})
    with open_run(stack.ledger, WORKSPACE, Folder("help", tree)):
        refused = client.post("/v1/sources/help/sync")
    assert (refused.status_code, refused.json()["type"]) == (409, "conflict")


def test_a_document_is_pushed_changed_and_deleted(client: TestClient, stack: Stack) -> None:
    url = "/v1/documents/crm/faq/billing.md"
    body = {"content": "Cards and SEPA.", "title": "Billing", "audience": ["customer"]}
    first = client.put(url, json=body).json()
    assert (first["document"], first["version"], first["outcome"], first["chunks"]) == (
        "crm/faq/billing.md",
        1,
        "added",
        1,
    )
    assert client.put(url, json=body).json()["outcome"] == "unchanged"
    narrower = client.put(url, json={**body, "audience": ["internal"]}).json()
    assert (narrower["version"], narrower["outcome"], narrower["chunks"]) == (2, "changed", 0)
    assert readable(stack, "customer") == {}
    assert readable(stack, "internal") == {"crm/faq/billing.md": ["Cards and SEPA."]}
    assert client.delete(url).status_code == 204
    assert points_of(stack) == {}
    assert client.delete(url).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": ""}, 422),
        ({"content": " \n"}, 422),
        ({"content": "x", "content_type": "application/pdf"}, 422),
        ({"content": "x", "colour": "red"}, 422),
        ({"content": "x", "url": "javascript:alert(1)"}, 422),
        ({"content": "x" * 11_000_000}, 413),
    ],
)
def test_a_bad_document_is_refused(
    client: TestClient, stack: Stack, body: dict[str, str], status: int
) -> None:
    assert client.put("/v1/documents/crm/a.md", json=body).status_code == status
    assert points_of(stack) == {}


def test_a_push_into_a_folders_source_is_refused(client: TestClient, tree: Path) -> None:
    client.post("/v1/sources", json={"name": "help", "kind": "folder", "path": str(tree)})
    refused = client.put("/v1/documents/help/a.md", json={"content": "x"})
    assert (refused.status_code, refused.json()["type"]) == (422, "invalid-input")


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/v1/sources/none/sync"),
        ("GET", "/v1/syncs/none"),
        ("DELETE", "/v1/documents/none/a.md"),
    ],
)
def test_what_is_not_there_is_not_found(client: TestClient, method: str, url: str) -> None:
    assert client.request(method, url).status_code == 404


@pytest.mark.heavy
def test_closing_the_server_stops_a_sync_where_it_can_go_on(home: Path, tree: Path) -> None:
    class Slow(HashingEmbedder):
        def embed(self, texts: Any, *, passages: bool = False) -> Any:
            time.sleep(0.05)
            return super().embed(texts)

    write_tree(tree, {f"{n}.md": f"Text {n}." for n in range(400)})
    with make_stack(home, embedder=Slow()) as stack:
        first, second = FastAPI(), FastAPI()
        settings = stack.settings.model_copy(update={"source_roots": [tree]})
        first.include_router(router(replace(stack, settings=settings)))
        second.include_router(router(stack))
        with TestClient(first) as client:
            client.post("/v1/sources", json={"name": "help", "path": str(tree)})
            id = client.post("/v1/sources/help/sync").json()["id"]
        from ingestion.sync.status import sync_status

        stopped = sync_status(stack.ledger, WORKSPACE, id)
        # Closed before its first turn it is still queued: it goes on from there all the same.
        assert stopped.state in ("queued", "running")
        assert stopped.done < 400
        with TestClient(second) as client:
            assert finished(client, id)["counts"]["added"] == 400


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x" * 100_000},
        {"url": "https://example.com/" + "x" * 100_000},
        {"labels": ["x"] * 1000},
        {"audience": ["x" * 1000]},
        {"locale": "x" * 1000},
    ],
)
def test_what_is_said_of_a_document_is_bounded(body: Any) -> None:
    with pytest.raises(ValidationError, match="should have at most"):
        NewDocument.model_validate({"content": "Hello.", **body})
