"""One question's trace through the processes that answer it, and the log lines that belong to it.

Widget and answer service run as they do in production; the collector takes real OTLP.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.collector import CLIENT, CONSUMER, SERVER, Collector, Span
from services.widget.tokens import Tokens
from tests.model_server import GOOD, ModelServer, says
from tests.servers import free_port, wait_until
from tests.services.standalone.serving import EXAMPLES, needs_weights, small_help_center
from twofold import tracing
from twofold.settings import Settings

pytestmark = needs_weights

SHOP = "https://shop.example.com"
SECRET = "a-secret-of-these-tests-which-is-long-enough"
QUESTION = "How long does the old signing secret keep working after I roll it?"
CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class World:
    """Two processes, what they say on stderr, and the collector that both send to."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.answer = f"http://127.0.0.1:{free_port()}"
        self.widget = f"http://127.0.0.1:{free_port()}"
        self._model = model
        self._open = ExitStack()

    def __enter__(self) -> "World":
        self.collector = self._open.enter_context(Collector())
        tree = small_help_center(self.folder / "help")
        port = self.answer.rpartition(":")[2]
        serve = ["-m", "twofold", "serve", "--port", port, "--index", f"help={tree}"]
        self._open.enter_context(self._running("answer", serve, self.answer))
        widget = ["-m", "twofold", "widget", "--port", self.widget.rpartition(":")[2]]
        self._open.enter_context(self._running("widget", widget, self.widget))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @contextmanager
    def _running(self, name: str, command: list[str], url: str) -> Iterator[None]:
        home = self.folder / name
        settings = {
            "HOME": str(home),
            "HOUSE": str(EXAMPLES / "house.yaml"),
            "LEDGER_URL": f"sqlite:///{self.folder / 'ledger.db'}",
            "MODEL_URL": self._model,
            "MODEL_NAME": "base",
            "WIDGET_SECRET": SECRET,
            "ANSWER_URL": self.answer,
            "TRACE_URL": self.collector.url,
            "LOG_ANSWERS": "true",
        }
        env = {f"TWOFOLD_{key}": value for key, value in settings.items()}
        # As often as a second has tenths: nobody here waits for the SDK's five seconds.
        env |= {"OTEL_BSP_SCHEDULE_DELAY": "100", "PYTHONPATH": os.pathsep.join(sys.path)}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env={**os.environ, **env}
            )
        try:
            wait_until(lambda: _answers(url) or process.poll() is not None, f"{name} answers", 60.0)
            assert process.poll() is None, (self.folder / f"{name}.log").read_text()
            yield
        finally:
            process.terminate()
            process.wait(30)

    def ask(self) -> dict[str, Any]:
        """A visitor's question in the widget, with a trace that nobody here believes."""
        site = httpx.post(f"{self.answer}/v1/sites", json={"name": "shop", "origins": [SHOP]})
        id = site.json()["site"]
        base = f"{self.widget}/widget/v1/{id}"
        begun = {"ticket": Tokens(SECRET.encode()).ticket(id, SHOP), "origin": SHOP}
        token = httpx.post(f"{base}/sessions", json=begun).json()["token"]
        headers = {"Authorization": f"Bearer {token}", "Twofold-Origin": SHOP}
        told = httpx.post(
            f"{base}/messages",
            json={"id": str(uuid4()), "text": QUESTION},
            headers={**headers, "traceparent": CALLERS},
            timeout=60,
        )
        data = told.text.partition("event: done\n")[2].partition("data: ")[2].partition("\n")[0]
        answer: dict[str, Any] = json.loads(data)
        return answer

    def spans(self, trace: str, *names: str) -> dict[str, Span]:
        """The spans of a trace by name, once those `names` have arrived."""

        def found() -> dict[str, Span]:
            return {span.name: span for span in self.collector.trace(trace)}

        wait_until(lambda: found().keys() >= set(names), f"{names} in {found().keys()}")
        return found()

    def log(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


async def _asked(folder: Path) -> tuple[World, dict[str, Any], str]:
    """The world after one question: its answer, and the head that the model server got."""
    async with ModelServer(says(GOOD)) as model:
        world = await asyncio.to_thread(World(folder, model.url).__enter__)
        try:
            answer = await asyncio.to_thread(world.ask)
        except BaseException:
            world.__exit__()
            raise
        return world, answer, model.requests[-1].head


@pytest.fixture(scope="module")
def asked(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[World, dict[str, Any], str]]:
    found = asyncio.run(_asked(tmp_path_factory.mktemp("traces")))
    with ExitStack() as closing:
        closing.callback(found[0].__exit__)
        yield found


def test_one_trace_leads_from_the_widget_to_the_model_server(
    asked: tuple[World, dict[str, Any], str],
) -> None:
    world, answer, head = asked
    sent = dict(line.split(": ", 1) for line in head.split("\r\n") if ": " in line)["traceparent"]
    _, trace, parent, sampled = sent.split("-")
    widget, service, chat = (
        "POST /widget/v1/{site}/messages",
        "POST /v1/chat",
        "chat base",
    )
    spans = world.spans(trace, widget, service, chat, "retrieve", "record")
    assert int(sampled, 16) & 1
    at_widget = spans[widget]
    assert (at_widget.service, at_widget.kind, at_widget.parent) == ("widget", SERVER, "")
    assert trace != CALLERS.split("-")[1]  # a visitor does not choose what is recorded
    assert (spans[service].service, spans[service].parent) == ("answer", spans[widget].id)
    at_model = spans[chat]
    assert (at_model.kind, at_model.parent, at_model.id) == (CLIENT, spans[service].id, parent)
    assert spans["retrieve"].parent == spans["record"].parent == spans[service].id
    said = at_model.attributes
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == "base"
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (321, 42)
    assert spans[service].attributes["twofold.answer_id"] == answer["answer_id"]
    assert spans[service].attributes["twofold.release"] == "base"


def test_the_log_line_of_an_answer_has_its_id_and_its_trace(
    asked: tuple[World, dict[str, Any], str],
) -> None:
    world, answer, head = asked
    (line,) = [line for line in world.log("answer") if line["event"] == "answered"]
    assert line["answer_id"] == answer["answer_id"]
    assert line["trace_id"] in head
    assert (line["action"], line["served_by"], line["release"]) == ("ANSWER", "base", "base")


def test_no_word_of_a_question_or_reply_is_in_spans_or_logs(
    asked: tuple[World, dict[str, Any], str],
) -> None:
    world, answer, _ = asked
    told = repr(world.collector.spans) + "".join(
        (world.folder / f"{name}.log").read_text() for name in ("answer", "widget")
    )
    assert answer["answer_id"] in told
    for words in (QUESTION, answer["text"], "signing secret", SHOP, SECRET):
        assert words not in told


def test_a_job_belongs_to_the_trace_of_the_request_that_asked_for_it(
    asked: tuple[World, dict[str, Any], str],
) -> None:
    world, _, _ = asked
    pushed = httpx.put(
        f"{world.answer}/v1/documents/pushed/a.md?wait=false",
        json={"content": "# Zorb\n\nA zorb weighs 12 grams."},
        headers={"traceparent": CALLERS},
        timeout=30,
    )
    assert pushed.is_success, pushed.text
    _, trace, caller, _ = CALLERS.split("-")
    put = "PUT /v1/documents/{source}/{external_id:path}"
    spans = world.spans(trace, put, "job put")
    assert spans[put].parent == caller
    assert (spans["job put"].kind, spans["job put"].parent) == (CONSUMER, spans[put].id)


def test_probes_and_scrapes_are_not_traced(asked: tuple[World, dict[str, Any], str]) -> None:
    world, _, _ = asked
    assert not [span for span in world.collector.spans if span.name[-1:] == "z"]
    assert not [span for span in world.collector.spans if "metrics" in span.name]


def test_without_a_collector_nothing_is_recorded_and_a_callers_trace_goes_on() -> None:
    tracing.configure(Settings(), "answer")
    assert tracing.carried() == {}
    parent = tracing.parent_of({"traceparent": CALLERS})
    with tracing.current("POST /v1/chat", parent, tracing.SpanKind.SERVER) as span:
        assert not span.is_recording()
        assert tracing.carried() == {"traceparent": CALLERS}
    for broken in ("", "00-0-0-0", "nonsense", f"{CALLERS}\r\nx: y"):
        parent = tracing.parent_of({"traceparent": broken})
        with tracing.current("POST /v1/chat", parent, tracing.SpanKind.SERVER):
            assert tracing.carried() == {}
