"""The answer service by its HTTP interface, over real parts."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog
from sqlalchemy import func, select
from starlette.types import Message

from services.answer import pipeline
from services.answer.app import create_app
from services.answer.contract import Ask
from services.answer.endpoints import stream
from services.answer.events import Acted, Answered, Delta, Done, Event, Meta
from services.answer.pipeline import Parts
from services.http import streams
from services.http.boundary import RequestLimits
from services.http.local import HOSTS
from services.http.problems import OPENAI_PATHS
from tests.services.answer.edge import Client
from tests.services.standalone.serving import events, needs_weights
from twofold import telemetry
from twofold.ledger.models import Answer

pytestmark = needs_weights

ROLL = "How long does the old signing secret keep working after I roll it?"
HACKED = "My account was hacked and someone changed my password"
KEYS = {
    *("answer_id", "conversation_id", "action", "text", "citations", "escalation", "served_by"),
}


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    telemetry.configure(json=True)
    yield capsys
    structlog.reset_defaults()


def chat(call: Client, message: str, **more: Any) -> Any:
    response = call("POST", "/v1/chat", {"message": message, **more})
    assert response.status_code == 200, response.text
    return response.json()


def answers(parts: Parts) -> int:
    with parts.stack.ledger.session() as session:
        return session.scalar(select(func.count()).select_from(Answer)) or 0


# --- answering ----------------------------------------------------------------------------------


def test_an_answer_has_the_promised_shape(call: Client) -> None:
    answer = chat(call, ROLL)
    assert answer.keys() == KEYS
    assert answer["action"] == "ANSWER"
    assert answer["escalation"] is None
    assert "12 hours" in answer["text"]
    first = answer["citations"][0]
    assert first.keys() == {"n", "title", "url", "document", "version", "quote"}
    assert first["document"] == "help/articles/rotate-signing-secret.md"
    assert {c["n"] for c in answer["citations"]} == {
        n for n in range(1, 20) if f"[{n}]" in answer["text"]
    }


def test_an_escalation_names_team_and_reason(call: Client) -> None:
    answer = chat(call, HACKED)
    assert answer["action"] == "ESCALATE"
    assert answer["escalation"] == {"team": "security", "reason": "account_takeover"}


def test_a_stream_says_the_same_as_the_record_and_a_reload(call: Client) -> None:
    response = call("POST", "/v1/chat", {"message": ROLL, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    told = events(response.text)
    names = [name for name, _, _ in told]
    deltas = [data["text"] for name, _, data in told if name == "delta"]
    assert names == ["meta", "action", *["delta"] * len(deltas), "citations", "done"]
    done = told[-1][2]
    assert "".join(deltas) == done["text"]
    assert [id for _, id, _ in told] == [f"{done['answer_id']}:{i}" for i in range(len(told))]
    assert told[-2][2]["citations"] == done["citations"]

    record = call("GET", f"/v1/answers/{done['answer_id']}").json()
    assert record["answer"] == done
    assert record["question"] == ROLL
    assert record["retrieved"][0].keys() >= {"chunk", "document", "version", "dense", "score"}
    turns = call("GET", f"/v1/conversations/{done['conversation_id']}").json()["turns"]
    assert [(turn["question"], turn["answer"]) for turn in turns] == [(ROLL, done)]


def test_a_conversation_goes_on(call: Client) -> None:
    first = chat(call, ROLL)
    second = chat(call, "And where do I do that?", conversation_id=first["conversation_id"])
    assert second["conversation_id"] == first["conversation_id"]
    turns = call("GET", f"/v1/conversations/{first['conversation_id']}").json()["turns"]
    assert [turn["answer"]["answer_id"] for turn in turns] == [
        first["answer_id"],
        second["answer_id"],
    ]


def test_as_of_reads_the_policy_of_that_day(call: Client) -> None:
    question = "Within how many days can I get a refund?"
    then = chat(call, question, as_of="2026-01-10")
    now = chat(call, question, as_of="2026-10-10")
    assert "help/policies/refunds-2025.md" in {c["document"] for c in then["citations"]}
    assert "help/policies/refunds-2025.md" not in {c["document"] for c in now["citations"]}


@pytest.mark.parametrize("audience", ["internal", ["internal"], ["customer", "internal"]])
def test_internal_documents_need_the_audience(call: Client, audience: Any) -> None:
    body = {"query": "who approves a refund, approval matrix", "limit": 50}
    seen = call("POST", "/v1/search", body | {"audience": audience}).json()["candidates"]
    hidden = call("POST", "/v1/search", body).json()["candidates"]
    internal = "help/internal/refund-approval-matrix.md"
    assert internal in {c["document"] for c in seen}
    assert internal not in {c["document"] for c in hidden}


def test_a_search_shows_every_stage(call: Client) -> None:
    found = call("POST", "/v1/search", {"query": "roll a signing secret", "limit": 3}).json()
    assert len(found["candidates"]) == 3
    scores = [c["score"] for c in found["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert found["candidates"][0].keys() >= {"dense", "keywords", "fused", "score", "text"}


def test_a_cited_quote_stands_in_the_version_that_is_named(call: Client) -> None:
    (cited, *_) = chat(call, ROLL)["citations"]
    version = call("GET", f"/v1/documents/{cited['document']}/versions/{cited['version']}").json()
    assert version["live"]
    assert any(cited["quote"] in section["text"] for section in version["sections"])
    many = call("GET", f"/v1/documents/{cited['document']}/versions/{10**20}")
    assert many.status_code == 422
    gone = call("GET", f"/v1/documents/{cited['document']}/versions/99")
    assert gone.status_code == 404


# --- feedback and deletion ----------------------------------------------------------------------


def test_feedback_stands_in_the_conversation(call: Client) -> None:
    answer = chat(call, ROLL)
    for rating, comment in (("up", ""), ("down", "the button is elsewhere")):
        body = {"answer_id": answer["answer_id"], "rating": rating, "comment": comment}
        assert call("POST", "/v1/feedback", body).status_code == 201
    turns = call("GET", f"/v1/conversations/{answer['conversation_id']}").json()["turns"]
    assert turns[0]["rating"] == "down"


def test_a_deleted_conversation_is_gone_with_its_answers(call: Client) -> None:
    answer = chat(call, HACKED)
    body = {"answer_id": answer["answer_id"], "rating": "up"}
    call("POST", "/v1/feedback", body)
    conversation = f"/v1/conversations/{answer['conversation_id']}"
    assert call("DELETE", conversation).status_code == 204
    for method, path in (
        ("GET", conversation),
        ("DELETE", conversation),
        ("GET", f"/v1/answers/{answer['answer_id']}"),
    ):
        assert call(method, path).status_code == 404


def test_another_workspace_sees_nothing(call: Client, parts: Parts) -> None:
    answer = chat(call, ROLL)
    settings = parts.stack.settings.model_copy(update={"workspace": "other"})
    elsewhere = Client(create_app(replace(parts, stack=replace(parts.stack, settings=settings))))
    for method, path, body in (
        ("GET", f"/v1/answers/{answer['answer_id']}", None),
        ("GET", f"/v1/conversations/{answer['conversation_id']}", None),
        ("DELETE", f"/v1/conversations/{answer['conversation_id']}", None),
        ("POST", "/v1/feedback", {"answer_id": answer["answer_id"], "rating": "up"}),
        ("POST", "/v1/chat", {"message": "x", "conversation_id": answer["conversation_id"]}),
    ):
        assert elsewhere(method, path, body).status_code == 404
    assert elsewhere("POST", "/v1/search", {"query": "refund"}).json()["candidates"] == []


# --- what cannot be used ------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    id: str
    body: bytes | dict[str, Any]
    status: int
    says: str
    path: str = "/v1/chat"
    method: str = "POST"


BAD = [
    Bad("empty question", {"message": ""}, 422, "Send some text in `message`"),
    Bad("blank question", {"message": " \n\t"}, 422, "Send some text in `message`"),
    Bad("no question", {}, 422, "`message`: it is missing"),
    Bad("huge question", {"message": "why " * 2000}, 413, "at most 4,000"),
    Bad("question is a number", {"message": 7}, 422, "`message`"),
    Bad("unknown conversation", {"message": "x", "conversation_id": "no-such"}, 404, "'no-such'"),
    Bad("unknown field", {"message": "x", "mesage": "y"}, 422, "`mesage`: there is no such"),
    Bad("bad audience", {"message": "x", "audience": "not one"}, 422, "`audience`"),
    Bad("bad audience in a list", {"message": "x", "audience": ["a", 1]}, 422, "`audience"),
    Bad("bad locale", {"message": "x", "locale": "German!"}, 422, "`locale`"),
    Bad("bad day", {"message": "x", "as_of": "2026-02-30"}, 422, "`as_of`"),
    Bad("bad history", {"message": "x", "history": [{"role": "system", "text": "y"}]}, 422, "role"),
    Bad(
        "long history", {"message": "x", "history": [{"role": "user", "text": "y"}] * 51}, 422, "50"
    ),
    Bad("broken JSON", b'{"message": ', 422, "not valid JSON"),
    Bad("a list", b"[]", 422, "send a JSON object"),
    Bad("no body", b"", 422, "`body`"),
    Bad("invalid UTF-8", b'{"message": "\xff\xfe"}', 422, "valid JSON"),
    Bad("nested deep", b"[" * 60_000, 422, "valid JSON"),
    Bad("lone surrogate", b'{"message": "x", "conversation_id": "\\ud800"}', 422, "valid JSON"),
    Bad("search in no UTF-8", b'{"query": "\xff"}', 400, "valid JSON in UTF-8", "/v1/search"),
    Bad("search nested deep", b"[" * 60_000, 400, "valid JSON", "/v1/search"),
    Bad("empty stream", {"message": "", "stream": True}, 422, "Send some text in `message`"),
    Bad("stream of nobody", {"message": "x", "stream": True, "conversation_id": "n"}, 404, "'n'"),
    Bad("empty search", {"query": " "}, 422, "empty", "/v1/search"),
    Bad("bad rating", {"answer_id": "x", "rating": "great"}, 422, "`up` or `down`", "/v1/feedback"),
    Bad("rating of nothing", {"answer_id": "x", "rating": "up"}, 404, "'x'", "/v1/feedback"),
    Bad("no such answer", b"", 404, "'x'", "/v1/answers/x", "GET"),
    Bad("no such place", b"", 404, "/openapi.json", "/v1/nothing", "GET"),
    Bad("wrong method", b"", 405, "use POST", "/v1/chat", "GET"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_bad_input_is_a_problem_that_says_what_to_do(call: Client, parts: Parts, bad: Bad) -> None:
    before = answers(parts)
    if isinstance(bad.body, bytes):
        headers = {"Content-Type": "application/json"}
        response = call(bad.method, bad.path, content=bad.body, headers=headers)
    else:
        response = call(bad.method, bad.path, bad.body)
    assert response.status_code == bad.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == bad.status
    assert bad.says in problem["detail"]
    assert problem.keys() >= {"type", "title", "instance"}
    assert answers(parts) == before


@pytest.mark.parametrize("kind", ["text/plain", "", "multipart/form-data; x=application/json"])
def test_what_a_foreign_page_could_send_unasked_is_refused(call: Client, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = call("POST", "/v1/chat", content=b'{"message": "x"}', headers=headers)
    assert response.status_code == 422
    assert "application/json" in response.json()["detail"]


def test_a_body_over_the_limit_is_refused_by_what_it_claims(call: Client) -> None:
    response = call("POST", "/v1/chat", {"message": "x" * 200_000})
    assert response.status_code == 413
    assert "128 kB" in response.json()["detail"]


def test_a_body_over_the_limit_is_refused_by_what_arrives(call: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield b"x" * 10_000

    headers = {"Content-Type": "application/json"}
    response = call("POST", "/v1/chat", content=endless(), headers=headers)
    assert response.status_code == 413
    assert sent <= 150_000


def test_a_rebound_host_name_is_refused(parts: Parts) -> None:
    call = Client(RequestLimits(create_app(parts), max_bytes=10_000, hosts=HOSTS))
    for host, status in (
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("localhost", 200),
    ):
        assert call("GET", "/healthz", headers={"Host": host}).status_code == status, host


# --- what goes wrong here -----------------------------------------------------------------------


def test_what_was_not_foreseen_leaks_nothing(
    call: Client, monkeypatch: pytest.MonkeyPatch, log: pytest.CaptureFixture[str]
) -> None:
    async def broken(_ask: Ask, _parts: Parts) -> Answered:
        raise RuntimeError("the customer wrote: my card is 4111")

    monkeypatch.setattr(pipeline, "ask_once", broken)
    response = call("POST", "/v1/chat", {"message": "x"})
    problem = response.json()
    assert response.status_code == problem["status"] == 500
    logged = json.loads(log.readouterr().err)
    assert logged["error_id"] == problem["error_id"]
    assert logged["error"] == "RuntimeError"
    assert any("test_http.py" in line for line in logged["where"])
    assert "4111" not in response.text + json.dumps(logged)


async def scripted(*said: Event | Exception) -> AsyncIterator[Event]:
    for each in said:
        if isinstance(each, Exception):
            raise each
        yield each


def test_a_stream_that_breaks_ends_in_an_error_event(
    call: Client, monkeypatch: pytest.MonkeyPatch, log: pytest.CaptureFixture[str]
) -> None:
    said = (Meta("a", "c"), Acted("ANSWER", None, "tuned"), Delta("Open "), RuntimeError("4111"))
    monkeypatch.setattr(pipeline, "answer", lambda _ask, _parts: scripted(*said))
    told = events(call("POST", "/v1/chat", {"message": "x", "stream": True}).text)
    assert [name for name, _, _ in told] == ["meta", "action", "delta", "error"]
    assert told[-1][2]["status"] == 500
    assert "4111" not in json.dumps(told) + log.readouterr().err


def test_a_slow_step_is_told_by_a_comment() -> None:
    answered = Answered("a", "c", "ANSWER", "Yes.", (), None, "tuned")

    beats = asyncio.Event()
    told: list[bytes] = []

    async def slow() -> AsyncGenerator[Event, None]:
        await beats.wait()
        yield Done(answered)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    async def send(message: Message) -> None:
        told.append(message.get("body", b""))
        if told.count(streams.HEARTBEAT) == 2:
            beats.set()

    response = streams.EventStream(stream.frames(Meta("a", "c"), slow()), heartbeat=0.02)
    asyncio.run(response({"type": "http"}, receive, send))
    assert told[1].startswith(b"event: meta\nid: a:0\n")
    assert told[2:4] == [streams.HEARTBEAT] * 2
    assert told[-2].startswith(b"event: done\nid: a:1\n")


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_work_stops_when_the_caller_leaves(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    stopped = asyncio.Event()
    working = asyncio.Event()

    async def endless(_ask: Ask, _parts: Parts) -> AsyncIterator[Event]:
        try:
            yield Meta("a", "c")
            working.set()
            while True:
                await asyncio.sleep(0.005)
                yield Delta("and ")
        finally:
            stopped.set()

    async def once(ask: Ask, parts: Parts) -> Answered:
        async for _ in endless(ask, parts):
            pass
        raise AssertionError("it is endless")

    monkeypatch.setattr(pipeline, "answer", endless)
    monkeypatch.setattr(pipeline, "ask_once", once)
    body = json.dumps({"message": "x", "stream": streamed}).encode()

    async def leave() -> None:
        request = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if request:
                return request.pop()
            await working.wait()
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            pass

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/chat",
            "raw_path": b"/v1/chat",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        async with asyncio.timeout(30):  # without an end it goes on for ever
            await create_app(parts)(scope, receive, send)
            await stopped.wait()

    asyncio.run(leave())


# --- operations ---------------------------------------------------------------------------------


def test_operations_answer(call: Client) -> None:
    assert call("GET", "/healthz").json() == {"status": "ok"}
    ready = call("GET", "/readyz").json()
    assert ready["status"] == "ready"
    assert ready["chunks"] > 10
    chat(call, ROLL)
    text = call("GET", "/metrics").text
    assert "twofold_answer_seconds" in text
    assert "signing" not in text


def test_not_ready_is_a_503(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, log: pytest.CaptureFixture[str]
) -> None:
    def broken() -> int:
        raise OSError("the disk is gone")

    monkeypatch.setattr(parts.stack.index, "count", broken)
    response = Client(create_app(parts))("GET", "/readyz")
    assert response.status_code == 503
    assert "disk" not in response.text + log.readouterr().err


def test_the_openapi_document_is_whole(call: Client) -> None:
    document = call("GET", "/openapi.json").json()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= schemas.keys()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            for status, response in operation["responses"].items():
                if status >= "400":
                    openai = path.startswith(OPENAI_PATHS)
                    kind = "application/json" if openai else "application/problem+json"
                    assert list(response["content"]) == [kind]
    assert (
        "text/event-stream" in document["paths"]["/v1/chat"]["post"]["responses"]["200"]["content"]
    )
