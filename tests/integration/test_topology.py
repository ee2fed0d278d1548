"""Compose's topology as real processes: it answers, it is restarted without anybody noticing, and
it comes back from its backup.

PostgreSQL, Redis, Prometheus, Celery and our own processes are the real ones. Qdrant's server is
not to be had on every machine: where it is missing, `deploy/local/qdrant.py` stands in for it.
"""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.observe.traffic import Callers, Target
from deploy.local.topology import ANSWERS, EXPORTERS, MADE, Topology
from tests.servers import need, wait_until
from tests.services.standalone.serving import needs_weights

pytestmark = [pytest.mark.heavy, needs_weights]

QUESTIONS = (
    "How long are logs kept on River?",
    "How long does the old signing secret keep working after I roll it?",
    "Can I get my money back?",
)
PATIENCE_S = 300.0
"""Longer than any machine is busy: two slow cores index some hundred pushed documents in it."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    need(shutil.which("redis-server"), "redis-server")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    need(found[-1] if found else None, "postgresql")
    # Not below pytest's folder, which it closes to the user that PostgreSQL runs as.
    with TemporaryDirectory(prefix="twofold-topology-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """Where hand-overs are delivered."""
    found = Target()
    yield found
    found.close()


@pytest.fixture(scope="module")
def topology(folder: Path, target: Target) -> Iterator[Topology]:
    crm = {"kind": "webhook", "url": target.url, "secret_env": "TWOFOLD_SECRET_CRM"}
    settings = {
        "TWOFOLD_HANDOFF_TARGETS": json.dumps([crm]),
        "TWOFOLD_SECRET_CRM": "a secret of these tests alone",
    }
    with Topology(folder, settings=settings) as running:
        yield running


class Customer:
    """Asks as one behind a load balancer does: a process that takes no connection is passed over,
    and a 503 or 429 with `Retry-After` is asked again when it says."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._http = httpx.Client(
            timeout=60.0, trust_env=False, headers={"Authorization": f"Bearer {topology.key()}"}
        )
        self._turn = 0

    def __enter__(self) -> "Customer":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, path: str, body: Any, **headers: str) -> httpx.Response:
        """Raises AssertionError on an answer that is none, or where none came in time."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self._turn += 1
            url = self._topology.url(ANSWERS[self._turn % len(ANSWERS)])
            try:
                response = self._http.request(method, f"{url}{path}", json=body, headers=headers)
            except httpx.TransportError as error:
                # One that was cut off is asked again only where it has a key to be known by.
                if not isinstance(error, httpx.ConnectError) and not headers:
                    raise
                continue
            if response.status_code not in (429, 503):
                assert response.is_success, response.text
                return response
            wait = float(response.headers["retry-after"])
            threading.Event().wait(min(wait, 1.0))
        raise AssertionError(f"{path} got no answer in {PATIENCE_S:.0f} s")

    def ask(self, question: str) -> dict[str, Any]:
        key = {"Idempotency-Key": uuid4().hex}
        found: dict[str, Any] = self.send("POST", "/v1/chat", {"message": question}, **key).json()
        return found


class Frame:
    """What a visitor's frame does: a stream that breaks off is asked for again, from behind the
    last event that arrived, until the whole answer is there."""

    def __init__(self, callers: Callers) -> None:
        self.breaks = 0
        self._callers = callers
        self._base, self._headers = self._begun()
        self._http = httpx.Client(timeout=30.0, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def _begun(self) -> tuple[str, dict[str, str]]:
        """A session, asked for until the widget, which may be restarting, gives one."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._callers.begin(self._callers.site)
            except (httpx.TransportError, KeyError, ValueError):
                if time.monotonic() > deadline:
                    raise
                threading.Event().wait(0.1)

    def ask(self, question: str) -> tuple[str, str]:
        """The text as it streamed in, and as it is told at the end."""
        body, last, pieces = {"id": str(uuid4()), "text": question}, "", []
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            headers = {**self._headers, **({"Last-Event-ID": last} if last else {})}
            try:
                with self._http.stream(
                    "POST", f"{self._base}/messages", json=body, headers=headers
                ) as response:
                    if response.status_code in (409, 429, 502, 503):
                        threading.Event().wait(0.3)
                        continue
                    if response.status_code == 202:  # handed over before: a person has it now
                        self._base, self._headers = self._begun()
                        continue
                    assert response.status_code == 200, response.read()
                    for name, id, data in _events(response):
                        if id and id.rpartition(":")[0] != last.rpartition(":")[0]:
                            pieces = []  # another answer: the first one was never recorded
                        last = id or last
                        if name == "delta":
                            pieces.append(data["text"])
                        elif name == "done":
                            return "".join(pieces), data["text"]
            except httpx.TransportError:
                pass
            self.breaks += 1
            threading.Event().wait(0.1)
        raise AssertionError(f"no whole answer in {PATIENCE_S:.0f} s")


def _events(response: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    name = id = ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name, id = value, ""
        elif field == "id":
            id = value
        elif field == "data":
            yield name, id, json.loads(value)


class Crowd:
    """Customers who ask, visitors who read streams, some who want a person, and an author who
    pushes, until they are told to stop."""

    def __init__(self, topology: Topology, customers: int = 2) -> None:
        self.streams: list[tuple[str, str]] = []
        self.promised: list[str] = []
        self._callers = Callers(topology, "")
        self._frame = Frame(self._callers)
        self.answers: list[dict[str, Any]] = []
        self.pushed: list[str] = []
        self.failures: list[BaseException] = []
        self._stop = threading.Event()
        work = [*(self._ask for _ in range(customers)), self._push, self._read, self._want]
        self._threads = [
            threading.Thread(target=self._guarded, args=(each, topology)) for each in work
        ]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S * 2)
            assert not thread.is_alive()
        self._frame.close()
        self._callers.close()

    def went_on(self, answers: int, streams: int) -> bool:
        """Whether more have ended than these."""
        return len(self.answers) > answers and len(self.streams) > streams

    def _guarded(self, work: Any, topology: Topology) -> None:
        number = 0
        with Customer(topology) as customer:
            while not self._stop.wait(0.2):
                try:
                    work(customer, number)
                except Exception as error:
                    self.failures.append(error)
                    return
                number += 1

    def _ask(self, customer: Customer, number: int) -> None:
        self.answers.append(customer.ask(QUESTIONS[number % len(QUESTIONS)]))

    def _read(self, _customer: Customer, number: int) -> None:
        if number % 10 == 9:
            self._frame.close()
            self._frame = Frame(self._callers)
        self.streams.append(self._frame.ask(QUESTIONS[number % len(QUESTIONS)]))

    def _want(self, customer: Customer, number: int) -> None:
        key = {"Idempotency-Key": f"wish-{number}"}
        wish = {"message": f"A person, please ({number})"}
        self.promised.append(customer.send("POST", "/v1/handoffs", wish, **key).json()["id"])

    def _push(self, customer: Customer, number: int) -> None:
        name = f"zorb-{number}.md"
        text = f"# Zorb number {number}\n\nThe zorb number {number} weighs {1000 + number} grams."
        customer.send("PUT", f"/v1/documents/pushed/{name}?wait=false", {"content": text})
        self.pushed.append(name)


def _steady(answer: dict[str, Any]) -> Any:
    """What is the same when the same is asked of the same knowledge."""
    cited = [(each["document"], each["version"], each["quote"]) for each in answer["citations"]]
    return answer["action"], answer["text"], cited


def _all(topology: Topology) -> list[Any]:
    with Customer(topology) as customer:
        return [_steady(customer.ask(question)) for question in QUESTIONS]


def test_the_first_question_is_answered(topology: Topology) -> None:
    with Customer(topology) as customer:
        answer = customer.ask(QUESTIONS[0])
    assert answer["action"] == "ANSWER"
    assert "30 days" in answer["text"]


def test_doctor_finds_all_of_it_well(topology: Topology) -> None:
    said = topology.run("doctor")
    assert " 0 failed" in said
    for check in ("ledger", "clock", "index", "Redis", "workers", "keys"):
        assert f"ok    {check}: " in said


def test_prometheus_scrapes_every_process(topology: Topology) -> None:
    need(shutil.which("prometheus"), "prometheus")

    def up() -> dict[str, int]:
        query = {"query": "sum by (job) (up)"}
        found = httpx.get(f"{topology.url('prometheus')}/api/v1/query", params=query).json()
        return {each["metric"]["job"]: int(each["value"][1]) for each in found["data"]["result"]}

    wanted = {"answer": 2, "widget": 1, "worker": 1, "qdrant": 1, "prometheus": 1}
    exporters = {name.partition("-")[0]: 1 for name in EXPORTERS if name in topology.names}
    wait_until(lambda: up() == wanted | exporters, f"{wanted | exporters} are up", 60.0)


def test_a_rolling_restart_fails_no_question_and_loses_nothing(
    topology: Topology, target: Target
) -> None:
    """No question fails, no document or hand-off is lost, and a stream that breaks goes on."""
    with Crowd(topology) as crowd:
        for name in topology.names:
            before, read = len(crowd.answers), len(crowd.streams)
            topology.restart(name)
            wait_until(
                lambda: crowd.failures or crowd.went_on(before, read),  # noqa: B023
                f"questions and streams go on after {name}",
                PATIENCE_S,
            )
            assert not crowd.failures, (name, crowd.failures)
    assert not topology.ended()
    assert not crowd.failures
    assert {answer["action"] for answer in crowd.answers} <= {"ANSWER", "CLARIFY", "ESCALATE"}
    assert crowd.pushed
    assert crowd.streams
    assert all(streamed == whole for streamed, whole in crowd.streams)
    assert crowd.promised
    assert len(crowd.promised) == len(set(crowd.promised))
    wait_until(lambda: set(crowd.promised) <= set(target.taken),
               f"{len(crowd.promised)} hand-offs are delivered", PATIENCE_S)  # fmt: skip

    def all_there() -> bool:
        status = topology.run("knowledge", "status", "--json")
        return f'"documents": {140 + len(crowd.pushed)}' in status

    wait_until(all_there, f"{len(crowd.pushed)} pushed documents are indexed", PATIENCE_S)
    last = len(crowd.pushed) - 1
    wanted = f"{1000 + last} grams"
    with Customer(topology) as customer:
        assert wanted in customer.ask(f"How much does the zorb number {last} weigh?")["text"]


def test_backup_wipe_restore_gives_the_same_answers(folder: Path, topology: Topology) -> None:
    before = _all(topology)
    backup = folder / "backup"
    topology.run("backup", str(backup))
    assert (backup / "index.snapshot").stat().st_size > 0
    topology.stop()
    for store in MADE:
        shutil.rmtree(folder / store)
    again = Topology(folder, example=False, settings=topology.settings)
    again.begin_stores()
    try:
        again.run("restore", str(backup))
        again.begin_rest()
        assert _all(again) == before
        assert "prometheus" in again.run("key", "list")
    finally:
        again.stop()
