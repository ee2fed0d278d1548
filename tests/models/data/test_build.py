"""Rows from what people labelled, approved and wrote; and what becomes no row."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.data import seeds
from models.data.build import divided, write
from models.data.collect import AGAIN, Built, collect
from models.data.forget import erased, forget
from models.data.plan import DatasetPlan
from models.data.rows import Row, read_dataset
from models.data.seeds import CLOSED_HISTORY, Cite, Dialogue, Seed
from models.data.target import FACT_NOT_PACKED, GOLD_NOT_PACKED, NOT_HELD
from models.data.vary import kind_of, varied
from models.suite.client import AnswerClient
from services.answer.app import create_app
from services.answer.pipeline import Parts
from tests.ingestion.helpers import run_sync, write_tree
from tests.models.data.shop import client_of, collected, ignored, shop
from tests.services.answer.asking import QUESTION, SECRETS, counted, knowing, with_settings
from tests.services.answer.edge import Client
from twofold.ledger.models import Answer, Conversation
from twofold.reply import OURS, marks, strip_marks

PERSON = "Can I talk to a real person please"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with shop(tmp_path_factory.mktemp("build")) as parts:
        yield parts


@pytest.fixture
def parts(lasting: Parts) -> Parts:
    with lasting.stack.ledger.session() as session:
        for row in session.query(Conversation):
            session.delete(row)
    return lasting


def answer(ref: str, **more: Any) -> Seed:
    values: dict[str, Any] = {
        "question": QUESTION,
        "gold": (Cite("secrets.md"),),
        "facts": (("12 hours",),),
    }
    return Seed("suite", ref, action="ANSWER", **(values | more))


def build(parts: Parts, *found: Seed) -> Built:
    return asyncio.run(collected(parts, *found))


def only(parts: Parts, each: Seed) -> Row:
    built = build(parts, each)
    assert not built.left_out
    (row,) = built.rows
    return row


def test_what_a_reply_that_people_wrote_needs_is_shown_with_it(parts: Parts) -> None:
    asked = "On which day of every month are invoices issued?"
    said = "Rolling a signing secret keeps both secrets valid for 12 hours. [1]"
    cites = {1: Cite("secrets.md")}
    parts = with_settings(parts, context_chunks=1)
    wrote = Seed("dialogue", "d", asked, "ANSWER", text=said, cites=cites, gold=(cites[1],))
    row = only(parts, wrote)
    assert [d.document for d in row.documents] == ["help/secrets.md"]
    assert (row.text, row.gold) == (said, (1,))
    invented = replace(wrote, text="Rolling keeps every secret for 90 days. [1]")
    assert build(parts, invented).left_out == {GOLD_NOT_PACKED: 1}
    assert counted(parts.stack) == (0, 0)


def test_what_was_asked_leaves_nothing_behind(parts: Parts) -> None:
    build(parts, answer("one"), Seed("house", "p", PERSON, "ESCALATE", team="support",
                                     reason="person_requested"))  # fmt: skip
    assert counted(parts.stack) == (0, 0)


@pytest.mark.parametrize(
    ("each", "why"),
    [
        (answer("a", gold=(Cite("elsewhere.md"),)), GOLD_NOT_PACKED),
        (answer("a", facts=(("13 hours",),)), FACT_NOT_PACKED),
        (
            answer("a", text="Rolling keeps every secret for 90 days. [1]",
                   cites={1: Cite("secrets.md")}),
            NOT_HELD,
        ),
    ],
)  # fmt: skip
def test_an_answer_that_its_passages_do_not_hold_is_left_out(
    parts: Parts, each: Seed, why: str
) -> None:
    built = build(parts, each, answer("b"), answer("c"))
    assert built.left_out == {why: 1, AGAIN: 1}
    assert [row.ref for row in built.rows] == ["b"]


def test_an_approved_reply_is_cited_anew(parts: Parts) -> None:
    """Its marks mean its own documents; the row's mean the packed passages."""
    dialogue = Dialogue.model_validate(
        {
            "id": "d",
            "question": "When are invoices issued, and how long is a rolled secret valid?",
            "documents": ["invoices.md", "secrets.md"],
            "reply": {
                "action": "ANSWER",
                "text": "Yes. Both secrets stay valid for 12 hours. [2] Invoices are issued on"
                " the first day of every month. [1]",
            },
        }
    )
    row = only(parts, dialogue.seed())
    place = {document.document: document.n for document in row.documents}
    assert place.keys() == {"help/secrets.md", "help/invoices.md"}
    assert row.text == (
        f"Yes. Both secrets stay valid for 12 hours. [{place['help/secrets.md']}] Invoices are"
        f" issued on the first day of every month. [{place['help/invoices.md']}]"
    )
    assert len(row.gold) == 2


def test_what_hands_over_or_declines_leaves_the_words_to_the_house(parts: Parts) -> None:
    person = only(parts, Seed("suite", "p", PERSON, "ESCALATE", team="support",
                              reason="person_requested", text="I pass it on."))  # fmt: skip
    assert person.expected == ("ESCALATE", "support", "person_requested")
    assert person.target == "ESCALATE [team=support reason=person_requested]"
    declined = only(parts, Seed("suite", "w", "How is the weather?", "DECLINE", text="No."))
    assert declined.target == "DECLINE"
    asked = only(parts, Seed("dialogue", "v", "It broke", "CLARIFY", text="What broke?"))
    assert asked.text == "What broke?"
    absent = Seed("suite", "g", "Is there an app for the moon?", "ESCALATE", team="support",
                  reason="not_in_sources")  # fmt: skip
    assert only(parts, absent).target == "ESCALATE [team=support reason=not_in_sources]"


def test_what_is_personal_is_masked_and_what_is_public_stays(parts: Parts) -> None:
    question = f"{QUESTION} Write to jo@example.org, I read security@brackwater.example too."
    built = build(parts, answer("a", question=question))
    assert "jo@example.org" not in built.rows[0].question
    assert "[email]" in built.rows[0].question
    assert built.masked == 1


def test_approved_answers_and_agents_replies_become_rows(parts: Parts) -> None:
    async def live() -> Built:
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            first = (await http.post("/v1/chat", json={"message": QUESTION})).json()
            liked = {"answer_id": first["answer_id"], "rating": "up"}
            await http.post("/v1/feedback", json=liked)
            unseen = {
                "message": "and how long do both keep working?",
                "history": [{"role": "user", "text": QUESTION}],
            }
            other = (await http.post("/v1/chat", json=unseen)).json()
            await http.post("/v1/feedback", json=liked | {"answer_id": other["answer_id"]})
            body = {"message": PERSON, "conversation_id": first["conversation_id"]}
            await http.post("/v1/chat", json=body)
            (handoff,) = (await http.get("/v1/handoffs")).json()["handoffs"]
            said = {"text": "A first try.", "action": "DECLINE"}
            await http.post(f"/v1/handoffs/{handoff['id']}/reply", json=said)
            said = {
                "text": "Deploy the new secret to your receiver within that time. [1]",
                "documents": ["help/secrets.md"],
            }
            await http.post(f"/v1/handoffs/{handoff['id']}/reply", json=said)
            client = AnswerClient(http)
            found = [*await seeds.of_feedback(client), *await seeds.of_agents(client)]
            return await collect(client, found, DatasetPlan(parts.house), ignored)

    built = asyncio.run(live())
    liked, edited = built.rows
    assert (liked.origin, liked.history) == ("feedback", ())
    assert "12 hours. [1]" in liked.text
    assert (edited.origin, edited.question) == ("agent", PERSON)
    assert edited.history[0].text == QUESTION
    assert edited.text == "Deploy the new secret to your receiver within that time. [1]"
    assert built.left_out == {CLOSED_HISTORY: 1}


def test_of_an_approved_answer_no_row_learns_what_the_service_itself_said(parts: Parts) -> None:
    ours = "I am not sure that this answers your question. Shall I hand this to our support team?"

    async def live() -> Built:
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            told = (await http.post("/v1/chat", json={"message": QUESTION})).json()
            with parts.stack.ledger.session() as session:
                answer = session.get_one(Answer, told["answer_id"])
                answer.text = f"{answer.text}\n\n{ours}"
                answer.signals = {**answer.signals, OURS: [ours]}
            liked = {"answer_id": told["answer_id"], "rating": "up"}
            await http.post("/v1/feedback", json=liked)
            client = AnswerClient(http)
            found = await seeds.of_feedback(client)
            return await collect(client, found, DatasetPlan(parts.house), ignored)

    built = asyncio.run(live())
    (row,) = built.rows
    assert "12 hours. [1]" in row.text
    assert "not sure" not in row.text


def test_an_answer_that_is_pinned_becomes_a_row_while_it_is_said(tmp_path: Path) -> None:
    async def live(parts: Parts) -> tuple[Built, list[Any]]:
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            body = {
                "question": QUESTION,
                "text": "Deploy the new secret to your receiver within that time. [1]",
                "documents": ["help/secrets.md"],
            }
            (await http.post("/v1/approved-answers", json=body)).raise_for_status()
            client = AnswerClient(http)
            found = await seeds.of_pinned(client)
            write_tree(tmp_path / "tree", {"secrets.md": SECRETS.replace("12", "6")})
            run_sync(parts.stack, tmp_path / "tree")
            return await collect(client, found, DatasetPlan(parts.house), ignored), (
                await seeds.of_pinned(client)
            )

    with knowing(tmp_path) as parts:
        built, later = asyncio.run(live(parts))
    (row,) = built.rows
    assert (row.origin, row.question) == ("pinned", QUESTION)
    assert row.text == "Deploy the new secret to your receiver within that time. [1]"
    assert later == []


def test_a_deletion_reaches_the_rows_that_were_made_of_it(parts: Parts, tmp_path: Path) -> None:
    """All of a deleted customer's rows, and what was made of them; no word is left in any file."""
    secret = "Heliotrope asks"
    plan = DatasetPlan(parts.house)

    async def run() -> list[str]:
        async with client_of(parts) as client:
            for customer, words in (("jo", f"{secret}: {QUESTION}"), ("bo", QUESTION)):
                asked = await client.chat({"message": words, "customer": customer})
                liked = {"answer_id": asked["answer_id"], "rating": "up"}
                await Client(create_app(parts)).ask("POST", "/v1/feedback", liked)
            built = await collect(client, await seeds.of_feedback(client), plan, ignored)
            splits = {"train": varied(built.rows, plan), "eval": list(built.rows)}
            write(tmp_path, splits, built, plan)
            assert any(secret in row.question for row in read_dataset(tmp_path).rows["train"])
            assert await erased(client, read_dataset(tmp_path)) == []
            await client.forget_customer("jo")
            found = read_dataset(tmp_path)
            gone = await erased(client, found)
            forget(found, gone)
            return [row.id for row in gone]

    assert len(asyncio.run(run())) >= 2
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.rglob("*"))
    left = read_dataset(tmp_path)
    assert [row.question for row in left.rows["eval"]] == [QUESTION]
    assert left.rows["train"]


def test_what_is_made_of_rows_keeps_the_wanted_shares(parts: Parts) -> None:
    answers = [answer(f"a{n}", question=f"{QUESTION} Case {n}.") for n in range(8)]
    people = [Seed("house", f"p{n}", f"{PERSON} {n}", "ESCALATE", team="support",
                   reason="person_requested") for n in range(9)]  # fmt: skip
    wanted = {"escalate": 0.2, "not_in_sources": 0.1, "closed": 0.1}
    plan = DatasetPlan(parts.house, copies=1, wanted=wanted)
    rows = varied(build(parts, *answers, *people).rows, plan)
    kinds = [kind_of(row) for row in rows]
    assert kinds.count("answer") == 16
    assert abs(kinds.count("escalate") / len(rows) - 0.2) < 0.05
    assert abs(kinds.count("closed") / len(rows) - 0.1) < 0.05
    assert all(not row.documents for row in rows if row.made == "closed")
    gaps = [row for row in rows if row.made == "gap"]
    assert gaps
    assert all("help/secrets.md" not in {d.document for d in row.documents} for row in gaps)
    assert len({row.id for row in rows}) == len(rows)
    assert all(row.messages == row.rendered(parts.house) for row in rows)


def test_a_short_context_is_no_sign_of_a_gap(parts: Parts) -> None:
    """Gap rows have lost passages; were they the only short ones, few would come to mean none."""
    built = build(parts, *[answer(f"a{n}", question=f"{QUESTION} Case {n}.") for n in range(6)])
    rows = varied(built.rows, DatasetPlan(parts.house, copies=3, wanted={"not_in_sources": 0.3}))
    assert all(len(row.documents) > 1 for row in rows if not row.made)
    alone = [row for row in rows if row.ref.endswith(("~changed-1", "~changed-2"))]
    quoted = [row for row in rows if row.ref.endswith("~changed-1")]
    assert alone
    assert quoted
    for row in alone:
        assert [d.n for d in row.documents] == [1]
        assert set(marks(row.text)) == {1}
        assert row.gold == (1,)
    for row in quoted:
        assert row.documents[0].text == strip_marks(row.text)
    gaps = [row for row in rows if row.made == "gap"]
    assert any(len(row.documents) == 1 for row in gaps)


def test_equal_seeds_make_equal_datasets(parts: Parts) -> None:
    found = [answer(f"a{n}", question=f"{QUESTION} Case {n}.") for n in range(6)]
    plan = DatasetPlan(parts.house, eval_share=0.3)
    assert divided(build(parts, *found).rows, plan) == divided(build(parts, *found).rows, plan)
