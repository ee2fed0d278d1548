"""The queue's promises: fair turns, schedules, webhooks, retries; and a Celery worker with beat."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from urllib.request import urlopen
from uuid import uuid4

import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from sqlalchemy import update

import ingestion.jobs.tasks
from ingestion.api import router
from ingestion.jobs.celery import make_app
from ingestion.jobs.job import QUEUES
from ingestion.jobs.queue import Queue
from ingestion.jobs.queue_metrics import expose
from ingestion.jobs.schedule import seconds_of, submit_sync, tick
from ingestion.jobs.tasks import work
from ingestion.sync.lease import register
from ingestion.sync.status import knowledge_status, sync_status
from tests.fakes import HashingEmbedder, make_stack
from tests.ingestion.conftest import home, stack, tree
from tests.ingestion.helpers import WORKSPACE, article, readable, write_tree
from tests.servers import RedisServer, free_port, wait_until
from twofold.errors import InvalidInput, TwofoldError, UpstreamError
from twofold.ledger.models import Failure, Job, Sync
from twofold.settings import Settings
from twofold.signatures import sign
from twofold.stack import Stack

__all__ = ["home", "stack", "tree"]
ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-hook"


def drain(stack: Stack, queue: Queue) -> None:
    while work(stack, queue, QUEUES, Event()):
        pass


def folder_source(stack: Stack, tree: Path, name: str, **config: str) -> None:
    register(stack.ledger, WORKSPACE, name, "folder", {"path": str(tree), **config})


def test_a_large_source_takes_turns_with_a_small_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion.jobs.tasks, "TURN_SECONDS", 0.0)
    order: list[str] = []

    class Noting(HashingEmbedder):
        def embed(self, texts, *, passages=False):  # type: ignore[no-untyped-def]
            order.extend(text.split()[-1] for text in texts)
            return super().embed(texts)

    for name, count in (("large", 6), ("small", 2)):
        (tmp_path / name).mkdir()
        write_tree(tmp_path / name, {f"{n}.md": article(name) for n in range(count)})
    with make_stack(home, embedder=Noting()) as stack:
        queue = Queue(stack.ledger)
        for name in ("large", "small"):
            folder_source(stack, tmp_path / name, name)
            submit_sync(queue, WORKSPACE, name, "folder")
        drain(stack, queue)
    assert order == ["large", "small", "large", "small", "large", "large", "large", "large"]


def test_turns_add_up_to_one_sync(
    stack: Stack, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion.jobs.tasks, "TURN_SECONDS", 0.0)
    write_tree(tree, {"a.md": "Apples.", "b.md": "", "c.md": "Cherries."})
    folder_source(stack, tree, "help")
    queue = Queue(stack.ledger)
    id = submit_sync(queue, WORKSPACE, "help", "folder")
    assert sync_status(stack.ledger, WORKSPACE, id).state == "queued"
    drain(stack, queue)
    sync = sync_status(stack.ledger, WORKSPACE, id)
    assert (sync.state, sync.done, sync.total) == ("done", 3, 3)
    assert (sync.counts["added"], sync.counts["failed"]) == (2, 1)
    (failure,) = knowledge_status(stack.ledger, WORKSPACE).failures
    assert (failure.document, failure.next_at) == ("help/b.md", None)


def test_a_metric_tells_how_long_the_oldest_due_job_of_a_queue_waits(
    stack: Stack, tree: Path
) -> None:
    def waited(name: str) -> float:
        value = REGISTRY.get_sample_value("twofold_ingestion_queue_age_seconds", {"queue": name})
        assert value is not None
        return value

    expose(stack.ledger, WORKSPACE)
    queue = Queue(stack.ledger)
    for name in ("one", "two"):
        folder_source(stack, tree, name)
        submit_sync(queue, WORKSPACE, name, "folder")
    with stack.ledger.session() as session:
        session.execute(update(Job).where(Job.source == "one").values(due_at=time.time() - 500))
    assert 500 <= waited("files") < 560
    assert (waited("push"), waited("web")) == (0, 0)
    with stack.ledger.session() as session:
        # A later attempt: it does not wait yet.
        session.execute(update(Job).values(due_at=time.time() + 500))
    assert waited("files") == 0


@pytest.mark.parametrize(
    ("every", "seconds"), [("30s", 30), ("15m", 900), ("6h", 21600), ("1d", 86400)]
)
def test_a_schedule_is_read(every: str, seconds: float) -> None:
    assert seconds_of(every) == seconds


@pytest.mark.parametrize("every", ["", "0m", "m", "15 m", "1w", "-5m", "1.5h"])
def test_a_bad_schedule_is_refused(every: str) -> None:
    with pytest.raises(InvalidInput, match="is not a schedule"):
        seconds_of(every)


def test_a_source_is_synced_on_its_schedule(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    folder_source(stack, tree, "help", every="15m")
    queue = Queue(stack.ledger)
    tick(queue)
    drain(stack, queue)
    assert readable(stack) == {"help/a.md": ["Apples."]}
    write_tree(tree, {"a.md": "Apricots."})
    tick(queue)
    drain(stack, queue)
    assert readable(stack) == {"help/a.md": ["Apples."]}
    with stack.ledger.session() as session:
        session.execute(update(Sync).values(started_at=time.time() - 901))
    tick(queue)
    drain(stack, queue)
    assert readable(stack) == {"help/a.md": ["Apricots."]}


def test_a_failed_document_comes_again_and_then_is_a_dead_letter(home: Path, tree: Path) -> None:
    class Broken(HashingEmbedder):
        def embed(self, texts, *, passages=False):  # type: ignore[no-untyped-def]
            if any("poison" in text for text in texts):
                raise UpstreamError("bad luck.")
            return super().embed(texts)

    write_tree(tree, {"a.md": "Apples.", "p.md": "poison"})
    embedder = Broken()
    with make_stack(home, embedder=embedder) as stack:
        folder_source(stack, tree, "help")
        queue = Queue(stack.ledger)
        submit_sync(queue, WORKSPACE, "help", "folder")
        for attempts in range(1, 6):
            drain(stack, queue)
            (failure,) = knowledge_status(stack.ledger, WORKSPACE).failures
            assert (failure.attempts, failure.next_at is None) == (attempts, attempts == 5)
            with stack.ledger.session() as session:
                session.execute(
                    update(Failure).where(Failure.next_at.is_not(None)).values(next_at=0.0)
                )
            tick(queue)
        assert failure.retry == "twofold knowledge retry help p.md"
        assert readable(stack) == {"help/a.md": ["Apples."]}


@pytest.fixture
def client(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("TWOFOLD_SECRET_HOOK", SECRET)
    app = FastAPI()
    app.include_router(router(stack))

    def refuse(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TwofoldError)
        return JSONResponse({"type": error.slug, "detail": error.message}, error.status)

    app.add_exception_handler(TwofoldError, refuse)
    with TestClient(app) as client:
        yield client


def call(client: TestClient, source: str, body: object, *, secret: str = SECRET, ago: int = 0):  # type: ignore[no-untyped-def]
    raw = orjson.dumps(body)
    header = sign(secret, uuid4().hex, raw, int(time.time()) - ago)
    return client.post(f"/v1/hooks/{source}", content=raw, headers=header)


def scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        return str(response.read().decode())


def ended(client: TestClient, id: str) -> dict[str, object]:
    states = ("done", "failed")
    wait_until(lambda: client.get(f"/v1/syncs/{id}").json()["state"] in states, "the job ends")
    found: dict[str, object] = client.get(f"/v1/syncs/{id}").json()
    return found


def test_a_hook_refreshes_what_it_names(client: TestClient, stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": "Berries.", "c.md": "Cherries."})
    folder_source(stack, tree, "help", hook_secret="TWOFOLD_SECRET_HOOK")
    (id,) = call(client, "help", {}).json()["ids"]
    assert ended(client, id)["state"] == "done"
    write_tree(tree, {"a.md": "Apricots.", "b.md": "Bananas."})
    (tree / "c.md").unlink()
    (id,) = call(client, "help", {"refresh": ["a.md", "c.md"]}).json()["ids"]
    assert ended(client, id)["state"] == "done"
    assert readable(stack) == {"help/a.md": ["Apricots."], "help/b.md": ["Berries."]}


def test_a_replayed_hook_undoes_nothing(client: TestClient, stack: Stack) -> None:
    register(stack.ledger, WORKSPACE, "crm", "push", {"hook_secret": "TWOFOLD_SECRET_HOOK"})
    old = orjson.dumps({"put": [{"external_id": "a.md", "content": "Old."}]})
    header = sign(SECRET, "first", old, int(time.time()))
    for _ in range(2):
        (id,) = client.post("/v1/hooks/crm", content=old, headers=header).json()["ids"]
        ended(client, id)
        new = {"put": [{"external_id": "a.md", "content": "New."}]}
        (id,) = call(client, "crm", new).json()["ids"]
        ended(client, id)
        assert readable(stack) == {"crm/a.md": ["New."]}


@pytest.mark.parametrize("options", [{"secret": "another"}, {"ago": 301}, {"ago": -301}], ids=str)
@pytest.mark.parametrize("source", ["crm", "unsigned", "none"])
def test_a_hook_without_a_signature_of_now_is_refused(
    client: TestClient, stack: Stack, source: str, options: dict[str, object]
) -> None:
    register(stack.ledger, WORKSPACE, "crm", "push", {"hook_secret": "TWOFOLD_SECRET_HOOK"})
    register(stack.ledger, WORKSPACE, "unsigned", "push", {})
    body = {"put": [{"external_id": "a.md", "content": "x"}]}
    assert call(client, source, body, **options).status_code == 403
    assert client.post(f"/v1/hooks/{source}", json=body).status_code == 403
    assert readable(stack) == {}


def test_a_push_may_be_accepted_without_waiting(client: TestClient, stack: Stack) -> None:
    put = client.put("/v1/documents/crm/a.md?wait=false", json={"content": "Soon."})
    assert put.status_code == 202
    assert ended(client, put.json()["id"])["state"] == "done"
    assert readable(stack) == {"crm/a.md": ["Soon."]}


def test_only_json_and_only_late_acknowledgement() -> None:
    conf = make_app(Settings(redis_url="redis://localhost/0")).conf
    assert (conf.accept_content, conf.task_serializer) == (["json"], "json")
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    options = conf.broker_transport_options
    assert options["unacked_restore_throttle"] == 1
    assert options["visibility_timeout"] > 100 * ingestion.jobs.tasks.TURN_SECONDS


def test_the_command_line_of_worker_and_beat(
    tmp_path: Path, redis_server: RedisServer, postgres_url: str, tree: Path
) -> None:
    """As people start it: no other process tells the worker that a schedule is due."""
    pytest.importorskip("onnxruntime")
    settings = {
        "TWOFOLD_HOME": str(tmp_path / "home"),
        "TWOFOLD_LEDGER_URL": postgres_url,
        "TWOFOLD_REDIS_URL": redis_server.url,
        "TWOFOLD_WORKER_METRICS_PORT": str(port := free_port()),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counts"),
    }
    (tmp_path / "counts").mkdir()
    write_tree(tree, {"a.md": "Apples."})
    with make_stack(
        tmp_path / "other", settings=Settings(home=tmp_path, ledger_url=postgres_url)
    ) as stack:
        folder_source(stack, tree, "help", every="1d")
        command = [
            "-m",
            "celery",
            "-A",
            "ingestion.jobs.celery",
            "worker",
            "--pool=solo",
            "-l",
            "ERROR",
        ]
        beat = ["-m", "celery", "-A", "ingestion.jobs.celery", "beat", "-s", str(tmp_path / "beat")]
        environment = {**os.environ, **settings}
        running = [
            subprocess.Popen(
                [sys.executable, *each], env=environment, cwd=Path(__file__).parents[2]
            )
            for each in (command, beat)
        ]
        try:
            wait_until(
                lambda: knowledge_status(stack.ledger, WORKSPACE).documents == 1, "synced", 60
            )
            added = 'twofold_ingestion_documents_total{kind="folder",outcome="added"} 1.0'
            wait_until(lambda: added in scrape(port), "the worker tells what it counted", 10)
            assert "age_seconds" not in scrape(port)
        finally:
            for process in running:
                process.terminate()
            codes = [process.wait(60) for process in running]
    assert codes == [0, 0]
