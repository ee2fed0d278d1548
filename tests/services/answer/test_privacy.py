"""What is kept of people: seen, exported, deleted, expired; and never in a log."""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import func, select, update

from services.answer import pipeline
from services.answer.access import privacy
from services.answer.contract import Ask
from services.answer.events import Acted, Delta, Event, Meta
from services.answer.pipeline import Parts
from tests.services.answer.edge import HACKED, ROLL, Client
from tests.services.standalone.serving import needs_weights
from twofold import telemetry
from twofold.errors import NotFound
from twofold.ledger.models import Answer, Base, Conversation
from twofold.ledger.service import Replay

pytestmark = needs_weights


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    telemetry.configure(json=True)
    caplog.set_level(logging.DEBUG)

    def read() -> str:
        # The caller's own client logs what it calls.
        ours = [record for record in caplog.records if record.name not in ("httpx", "asyncio")]
        return "".join([*capsys.readouterr(), *(record.getMessage() for record in ours)])

    yield read
    structlog.reset_defaults()


def rows(parts: Parts, *tables: str) -> int:
    with parts.stack.ledger.session() as session:
        return sum(
            session.scalar(select(func.count()).select_from(Base.metadata.tables[name])) or 0
            for name in tables
        )


PERSONAL = (
    "conversations",
    "answers",
    "citations",
    "feedback",
    "handoffs",
    "handoff_replies",
    "deliveries",
    "replays",
)


def converse(call: Client, customer: str) -> dict[str, Any]:
    told: dict[str, Any] = call(
        "POST",
        "/v1/chat",
        {"message": ROLL, "customer": customer},
        {"Idempotency-Key": str(uuid4())},
    ).json()
    call(
        "POST",
        "/v1/chat",
        {"message": HACKED + ", mail jo@example.org", "conversation_id": told["conversation_id"]},
    )
    body = {"answer_id": told["answer_id"], "rating": "up", "comment": "call +49 170 1234567"}
    call("POST", "/v1/feedback", body)
    handoff = call("GET", "/v1/handoffs").json()["handoffs"][0]["id"]
    call("POST", f"/v1/handoffs/{handoff}/reply", {"text": "Written to jo@example.org."})
    return told


def test_a_customer_whose_name_holds_slashes_is_exported_and_deleted(call: Client) -> None:
    name = "https://shop.example/users/7"
    converse(call, name)
    path = f"/v1/customers/{quote(name, safe='')}"
    assert len(call("GET", f"{path}/export").json()["conversations"]) == 1
    assert call("DELETE", path).status_code == 204
    assert call("GET", f"{path}/export").status_code == 404


def test_cards_and_secrets_never_rest_in_the_ledger(call: Client, parts: Parts) -> None:
    key = "sk_live_" + "a1b2c3d4e5f6"
    message = f"{ROLL} My card 4111 1111 1111 1111, {key}, password: hunter22."
    told = call("POST", "/v1/chat", {"message": message}).json()
    call("POST", "/v1/handoffs", {"conversation_id": told["conversation_id"], "message": message})
    with parts.stack.ledger.session() as session:
        connection = session.connection().connection
        kept = "\n".join(connection.iterdump())  # type: ignore[attr-defined]
    assert ROLL in kept
    assert "[card]" in kept
    assert not [each for each in ("4111 1111", key, "hunter22") if each in kept]


# --- exports, deletions, retention --------------------------------------------------------------


def test_a_customer_gets_everything_and_masked(call: Client) -> None:
    converse(call, "jo")
    converse(call, "someone-else")
    masked = call("GET", "/v1/customers/jo/export").json()
    (conversation,) = masked["conversations"]
    assert [turn["question"] for turn in conversation["turns"]] == [ROLL, HACKED + ", mail [email]"]
    assert conversation["turns"][0]["feedback"][0]["comment"] == "call [phone]"
    assert conversation["handoffs"][0]["team"] == "security"
    assert conversation["handoffs"][0]["replies"][0]["text"] == "Written to [email]."
    whole = call("GET", "/v1/customers/jo/export?redact=false").json()
    assert "jo@example.org" in json.dumps(whole)


def test_a_deleted_customer_leaves_nothing(call: Client, parts: Parts) -> None:
    converse(call, "jo")
    assert rows(parts, *PERSONAL) > 6
    assert call("DELETE", "/v1/customers/jo").status_code == 204
    assert rows(parts, *PERSONAL) == 0
    assert call("DELETE", "/v1/customers/jo").status_code == 404
    assert call("GET", "/v1/customers/jo/export").status_code == 404


def test_deleting_one_customer_leaves_the_others(call: Client, parts: Parts) -> None:
    converse(call, "jo")
    kept = converse(call, "ann")
    call("DELETE", "/v1/customers/jo")
    assert call("GET", f"/v1/answers/{kept['answer_id']}").status_code == 200
    assert rows(parts, "replays") == 1


def test_a_deleted_answer_is_not_replayed(call: Client) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    told = call("POST", "/v1/chat", {"message": ROLL}, headers).json()
    assert call("DELETE", f"/v1/conversations/{told['conversation_id']}").status_code == 204
    assert call("GET", f"/v1/answers/{told['answer_id']}/events").status_code == 404
    again = call("POST", "/v1/chat", {"message": ROLL}, headers).json()
    assert again["answer_id"] != told["answer_id"]


def test_what_nobody_touched_for_long_expires(call: Client, parts: Parts) -> None:
    ledger = parts.stack.ledger
    old, new = converse(call, "jo"), converse(call, "ann")
    with ledger.session() as session:
        session.execute(
            update(Conversation)
            .where(Conversation.id == old["conversation_id"])
            .values(last_at=time.time() - 31 * 86_400)
        )
        session.execute(update(Replay).values(started_at=0.0))
    assert privacy.purge(ledger, 0) == 0
    assert rows(parts, "replays") == 0
    assert privacy.purge(ledger, 30) == 1
    assert call("GET", f"/v1/conversations/{old['conversation_id']}").status_code == 404
    assert call("GET", f"/v1/conversations/{new['conversation_id']}").status_code == 200
    with ledger.session() as session:
        assert set(session.scalars(select(Answer.conversation_id))) == {new["conversation_id"]}


# --- logs ---------------------------------------------------------------------------------------


@pytest.mark.heavy
def test_a_hundred_canaries_stay_out_of_logs_and_metrics(
    call: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    canaries = [f"canary{n:03}x{uuid4().hex[:8]}" for n in range(100)]
    left = iter(canaries)

    async def broken(ask: Ask, _parts: Parts) -> AsyncGenerator[Event, None]:
        if "before" in ask.message:
            raise sqlite3.OperationalError(f"INSERT INTO answers VALUES ({ask.message})")
        yield Meta("a", "c")
        yield Acted("ANSWER", None, "tuned")
        yield Delta(ask.message)
        raise RuntimeError(ask.message)

    real = pipeline.answer
    for n in range(10):
        a, b, c, d, e, f, g, h, i, j = (next(left) for _ in range(10))
        monkeypatch.setattr(pipeline, "answer", real)
        call("POST", "/v1/chat", {"message": f"{a} secret?", "customer": b}, {"X-Trace": c})
        call("POST", "/v1/chat", content=f'{{"message": "{d}"'.encode(), headers={"Cookie": e})
        call("POST", "/v1/chat", {"message": "x", "locale": f, "history": [{"role": g, "text": 1}]})
        call("GET", f"/v1/answers/{h}")
        call("GET", f"/v1/customers/{i}/export", headers={"Authorization": f"Bearer {j}"})
        monkeypatch.setattr(pipeline, "answer", broken)
        for when in ("before", "after"):
            for stream in (True, False):
                body = {"message": f"{when} {a}", "stream": stream, "customer": b}
                call("POST", "/v1/chat", body, {"Idempotency-Key": c} if n % 2 else {})
                call(
                    "POST",
                    "/v1/chat/completions",
                    {
                        "model": "twofold",
                        "messages": [{"role": "user", "content": f"{when} {d}"}],
                        "stream": stream,
                        "user": b,
                    },
                )
    metrics = call("GET", "/metrics").text
    logged = log()
    assert "unexpected error" in logged
    for canary in canaries:
        assert canary not in logged
        assert canary not in metrics


def test_an_error_on_a_customers_page_does_not_log_who(
    call: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("jo@example.org")

    monkeypatch.setattr(privacy, "delete_customer", broken)
    assert call("DELETE", "/v1/customers/jo@example.org").status_code == 500
    logged = log()
    assert "/v1/customers" in logged
    assert "jo@" not in logged


def test_an_answer_under_way_ends_with_its_conversation(parts: Parts) -> None:
    """Who had it deleted finds nothing of it later, either."""

    async def run() -> None:
        first = await pipeline.ask_once(Ask(ROLL, "default"), parts)
        asked = Ask(ROLL, "default", conversation_id=first.conversation_id)
        async for event in pipeline.answer(asked, parts):
            if isinstance(event, Meta):
                privacy.delete_conversation(parts.stack.ledger, "default", first.conversation_id)

    with pytest.raises(NotFound, match="deleted"):
        asyncio.run(run())
    with parts.stack.ledger.session() as session:
        assert session.scalar(select(func.count()).select_from(Conversation)) == 0
        assert session.scalar(select(func.count()).select_from(Answer)) == 0
