"""Whose the ledger's objects are, and that what was deleted is gone."""

import asyncio
import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.answer.app import create_app
from services.answer.contract import Ask
from services.answer.pipeline import Parts, find
from services.answer.search.condense import as_of_in
from tests.ingestion.helpers import WORKSPACE, run_sync
from tests.services.answer.asking import hear, knowing
from tests.services.answer.edge import HACKED, ROLL, Client, key_for
from tests.services.standalone.serving import needs_weights, small_parts
from twofold.errors import NotFound
from twofold.ledger.models import Answer, Conversation

pytestmark = needs_weights
SECRET = "zebra-umbrella-4711"


ALL = ("answer", "search", "read", "feedback", "handoffs")


# --- owners -------------------------------------------------------------------------------------


def test_a_conversation_belongs_to_its_key_and_customer(parts: Parts) -> None:
    app = create_app(parts)
    first = Client(app, key_for(parts, "first", *ALL))
    other = Client(app, key_for(parts, "other", *ALL))
    admin = Client(app, key_for(parts, "admin"))
    told = first("POST", "/v1/chat", {"message": HACKED, "customer": "jo"}).json()
    conversation, answer = told["conversation_id"], told["answer_id"]
    goes_on = {"message": ROLL, "conversation_id": conversation}
    places: list[tuple[str, str, Any]] = [
        ("GET", f"/v1/conversations/{conversation}?customer=jo", None),
        ("GET", f"/v1/answers/{answer}", None),
        ("GET", f"/v1/answers/{answer}/packed", None),
        ("GET", f"/v1/answers/{answer}/events", None),
        ("POST", "/v1/feedback", {"answer_id": answer, "rating": "up"}),
        ("POST", "/v1/chat", {**goes_on, "customer": "jo"}),
        ("POST", "/v1/handoffs", {"conversation_id": conversation, "customer": "jo"}),
    ]
    for method, path, body in places:
        assert other(method, path, body).status_code == 404, path
        assert first(method, path, body).status_code in (200, 201), path
        assert admin(method, path, body).status_code in (200, 201), path
    for customer in ({"customer": "mallory"}, {}):
        assert first("POST", "/v1/chat", {**goes_on, **customer}).status_code == 404
    for query in ("", "?customer=mallory"):
        assert first("GET", f"/v1/conversations/{conversation}{query}").status_code == 404
    assert first("POST", "/v1/handoffs", {"conversation_id": conversation}).status_code == 404
    assert admin("POST", "/v1/chat", {**goes_on, "customer": "mallory"}).status_code == 404
    assert first("GET", "/v1/feedback").json()["ratings"] != []
    assert other("GET", "/v1/feedback").json()["ratings"] == []
    found = "/v1/answers?document=help/articles/rotate-signing-secret.md&before_version=9"
    assert first("GET", found).json()["answers"] != []
    assert other("GET", found).json()["answers"] == []


def test_a_conversation_takes_the_first_customer_it_is_given(parts: Parts) -> None:
    call = Client(create_app(parts), key_for(parts, "site", *ALL))
    told = call("POST", "/v1/chat", {"message": ROLL}).json()
    on = {"message": ROLL, "conversation_id": told["conversation_id"]}
    assert call("POST", "/v1/chat", {**on, "customer": "jo"}).status_code == 200
    assert call("POST", "/v1/chat", {**on, "customer": "mallory"}).status_code == 404
    assert call("POST", "/v1/chat", on).status_code == 404


def test_the_key_that_follows_another_of_its_name_has_its_conversations(parts: Parts) -> None:
    from services.answer.access.keys import revoke_key

    told = Client(create_app(parts), key_for(parts, "site", "answer"))(
        "POST", "/v1/chat", {"message": ROLL}
    ).json()
    revoke_key(parts.stack.ledger, "site", "default")
    on = {"message": ROLL, "conversation_id": told["conversation_id"]}
    renewed = Client(create_app(parts), key_for(parts, "site", "answer"))
    assert renewed("POST", "/v1/chat", on).status_code == 200


def test_a_history_takes_no_state_from_another_keys_answer(parts: Parts) -> None:
    app = create_app(parts)
    told = Client(app, key_for(parts, "first", *ALL))("POST", "/v1/chat", {"message": ROLL}).json()
    history = [{"role": "assistant", "text": told["text"], "answer_id": told["answer_id"]}]
    other = Client(app, key_for(parts, "other", *ALL))
    assert other("POST", "/v1/chat", {"message": "yes", "history": history}).status_code == 200


# --- audiences ----------------------------------------------------------------------------------


def test_handoffs_show_what_a_keys_audiences_see(parts: Parts) -> None:
    app = create_app(parts)
    staff = Client(app, key_for(parts, "staff", *ALL, audiences=["internal"]))
    desk = Client(app, key_for(parts, "desk", "handoffs"))
    told = staff("POST", "/v1/chat", {"message": HACKED, "audience": "internal"}).json()
    assert told["action"] == "ESCALATE"
    (seen,) = staff("GET", "/v1/handoffs").json()["handoffs"]
    staff("POST", f"/v1/handoffs/{seen['id']}/reply", {"text": "We are on it."})
    assert desk("GET", "/v1/handoffs").json()["handoffs"] == []
    assert desk("GET", f"/v1/handoffs/{seen['id']}").status_code == 404
    assert desk("GET", "/v1/handoffs/replies").json()["replies"] == []
    reply = desk("POST", f"/v1/handoffs/{seen['id']}/reply", {"text": "x"})
    assert reply.status_code == 404
    assert len(staff("GET", "/v1/handoffs/replies").json()["replies"]) == 1
    mixed = {"message": HACKED, "conversation_id": told["conversation_id"]}
    assert staff("POST", "/v1/chat", mixed).json()["action"] == "ESCALATE"
    (public,) = desk("GET", "/v1/handoffs").json()["handoffs"]
    assert len(public["packet"]["transcript"]) == 2
    assert len(public["packet"]["tried"]) == 1


def test_a_page_of_handoffs_is_full_of_what_may_be_seen(parts: Parts) -> None:
    app = create_app(parts)
    staff = Client(app, key_for(parts, "staff", *ALL, audiences=["internal"]))
    for audience in ("internal", "public", "internal", "internal"):
        staff("POST", "/v1/chat", {"message": HACKED, "audience": audience})
    desk = Client(app, key_for(parts, "desk", "handoffs"))
    assert len(desk("GET", "/v1/handoffs?limit=1").json()["handoffs"]) == 1


# --- days ---------------------------------------------------------------------------------------


def test_what_is_still_to_come_is_read_by_nobody(tmp_path: Path) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=30)
    embargoed = (
        f"---\ntitle: New prices\nkind: policy\neffective_from: {tomorrow:%Y-%m-%d}\n---\n"
        "The new price of the River plan is 99 dollars a month.\n"
    )
    question = "What is the new price of the River plan?"
    with knowing(tmp_path, {"prices.md": embargoed}) as parts:
        later = (tomorrow + timedelta(days=1)).timestamp()
        heard = asyncio.run(hear(parts, question, as_of=later, stay=True))
        assert "99" not in heard.done.text
        assert heard.done.citations == ()
        app = create_app(parts)
        for path, body in (
            ("/v1/chat", {"message": question}),
            ("/v1/search", {"query": question}),
        ):
            day = f"{tomorrow + timedelta(days=1):%Y-%m-%d}"
            assert Client(app)("POST", path, {**body, "as_of": day}).status_code == 422
            today = f"{datetime.now(UTC):%Y-%m-%d}"
            told = Client(app)("POST", path, {**body, "as_of": today})
            assert told.status_code == 200
            assert "99 dollars" not in told.text
        completion = {
            "model": "twofold",
            "messages": [{"role": "user", "content": question}],
            "twofold": {"as_of": day},
        }
        assert Client(app)("POST", "/v1/chat/completions", completion).status_code == 422
    assert as_of_in(f"What holds on {later:.0f}?", time.time()) is None


def test_a_policy_that_became_internal_is_not_read_as_of_an_earlier_day(tmp_path: Path) -> None:
    public = "---\ntitle: Refunds\nkind: policy\neffective_from: 2025-01-01\n---\n"
    public += "Refunds are paid within 14 days of asking.\n"
    question = "Within how many days are refunds paid?"
    with knowing(tmp_path, {"refunds.md": public}) as parts:
        before = datetime(2025, 3, 1, tzinfo=UTC).timestamp()
        page = tmp_path / "tree" / "refunds.md"
        changed = public.replace("kind:", "audience: internal\nkind:").replace("14", "21")
        page.write_text(changed.replace("2025-01", "2025-06"))
        run_sync(parts.stack, tmp_path / "tree")

        def found(*audiences: str) -> str:
            ask = Ask(question, WORKSPACE, frozenset(audiences), as_of=before)
            searched = asyncio.run(find(ask, parts))
            return " ".join(each.chunk.text for each in searched.found.candidates)

        assert "14 days" not in found()
        assert "14 days" in found("internal")


# --- deletion -----------------------------------------------------------------------------------


def test_nothing_is_written_for_what_was_deleted_meanwhile(parts: Parts) -> None:
    from services.answer.access.privacy import delete_conversation, delete_customer

    async def ask_and(meanwhile: Any, **more: Any) -> Any:
        from services.answer.pipeline import answer

        events = answer(Ask(ROLL, "default", **more), parts)
        meta = await anext(events)
        meanwhile(meta.conversation_id)  # type: ignore[union-attr]
        async for _ in events:
            pass

    ledger = parts.stack.ledger

    def of_customer(_: str) -> None:
        with pytest.raises(NotFound):
            delete_customer(ledger, "default", "jo")

    def of_conversation(id: str) -> None:
        with pytest.raises(NotFound):
            delete_conversation(ledger, "default", id)

    for meanwhile, more in ((of_customer, {"customer": "jo"}), (of_conversation, {})):
        with pytest.raises(NotFound, match="deleted"):
            asyncio.run(ask_and(meanwhile, **more))
    first = asyncio.run(hear(parts, ROLL, customer="ann", stay=True)).done.conversation_id

    def of_all(_: str) -> None:
        assert delete_customer(ledger, "default", "ann") == [first]

    with pytest.raises(NotFound, match="deleted"):
        asyncio.run(ask_and(of_all, conversation_id=first))
    with ledger.session() as session:
        assert session.scalars(select(Answer.id)).all() == []
        assert session.scalars(select(Conversation.id)).all() == []
    again = asyncio.run(hear(parts, ROLL, customer="jo", stay=True))
    assert again.done.text, "who comes back later is a customer as any other"


@pytest.mark.heavy
def test_deleted_text_is_in_no_file(tmp_path: Path) -> None:
    with small_parts(tmp_path) as parts:
        call = Client(create_app(parts))
        told = call("POST", "/v1/chat", {"message": f"{HACKED} {SECRET}", "customer": "jo"}).json()
        call("POST", "/v1/handoffs", {"message": f"Help {SECRET}", "customer": "jo"})
        rated = {"answer_id": told["answer_id"], "rating": "down", "comment": SECRET}
        call("POST", "/v1/feedback", rated)
        keyed = {"Idempotency-Key": SECRET}
        call("POST", "/v1/chat", {"message": f"{ROLL} {SECRET}", "customer": "jo"}, keyed)
        assert holding(tmp_path, SECRET) != []
        export = call("GET", "/v1/customers/jo/export?redact=false")
        assert export.text.count(SECRET) >= 4, "wishes too"
        assert call("DELETE", "/v1/customers/jo").status_code == 204
        assert holding(tmp_path, SECRET) == []
    assert holding(tmp_path, SECRET) == []


def holding(folder: Path, text: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if text.encode() in path.read_bytes()]


@pytest.mark.heavy
def test_the_home_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with small_parts(tmp_path) as parts:
            home = parts.stack.settings.home
            Client(create_app(parts))("POST", "/v1/chat", {"message": ROLL})
            assert stat.S_IMODE(home.stat().st_mode) == 0o700
            for file in home.glob("ledger.db*"):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    finally:
        os.umask(before)


# --- small things -------------------------------------------------------------------------------


def test_a_wish_about_nothing_is_refused(parts: Parts) -> None:
    call = Client(create_app(parts))
    refused = call("POST", "/v1/handoffs", {})
    assert refused.status_code == 422
    assert "`message`" in refused.json()["detail"]
    assert call("GET", "/v1/handoffs").json()["handoffs"] == []


def test_feedback_shows_both_ratings_unless_one_is_asked_for(parts: Parts) -> None:
    call = Client(create_app(parts))
    answers = [call("POST", "/v1/chat", {"message": ROLL}).json()["answer_id"] for _ in range(2)]
    for answer, rating in zip(answers, ("up", "down"), strict=True):
        call("POST", "/v1/feedback", {"answer_id": answer, "rating": rating})
    ratings = call("GET", "/v1/feedback").json()["ratings"]
    assert [each["rating"] for each in ratings] == ["up", "down"]
    (only,) = call("GET", "/v1/feedback?rating=down").json()["ratings"]
    assert only["answer_id"] == answers[1]
