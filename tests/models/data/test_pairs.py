"""Pairs: what becomes a rejected reply, what does not, and what lint says of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.data import pairs as made
from models.data import seeds
from models.data.build import write as write_dataset
from models.data.collect import collect
from models.data.lint import RowFinding
from models.data.pairs import BY_POLICY, DRAFT, UNSOUND, Voice, paired
from models.data.plan import DatasetPlan
from models.data.rows import Rejected, Row, read_dataset
from models.data.seeds import Cite, Seed
from models.data.vary import varied
from models.suite.client import AnswerClient
from services.answer.app import create_app
from services.answer.pipeline import Parts
from tests.models.data.shop import collected, ignored, shop
from tests.models.data.test_lint import HOUSE, case, found
from tests.services.answer.asking import QUESTION

RIVER = "The River plan costs $249 a month and keeps logs for 30 days."
OTHER = "Owners set `max_rate`. [1]"


def beside(target: str, *replies: str) -> Row:
    rejected = tuple(Rejected(by="composer", reply=reply) for reply in replies)
    return case(target).model_copy(update={"rejected": rejected})


def concerns(row: Row) -> set[str]:
    told: list[RowFinding] = found(row)
    return {each.concern for each in told} - {"balance"}


@pytest.mark.parametrize(
    "reply",
    [
        f"ANSWER\n{OTHER}",
        f"ANSWER\n{RIVER} [1] {OTHER}",
        f"ANSWER\n{RIVER}",
        f"{RIVER} [1]",
        "ESCALATE [team=support reason=not_in_sources]",
    ],
    ids=["other-sentence", "longer", "uncited", "no-header", "hands-over"],
)
def test_another_behaviour_is_a_pair(reply: str) -> None:
    assert concerns(beside(RIVER, reply)) == set()


@pytest.mark.parametrize(
    "reply",
    [
        f"ANSWER\n{RIVER} [1]",
        "ANSWER\nThe River plan costs $249 a month and keeps logs for 10 days. [1]",
        "ANSWER\nThe Creek plan costs $249 a month and keeps logs for twelve days. [1]",
    ],
    ids=["the-same", "another-number", "another-name"],
)
def test_a_reply_that_differs_in_facts_alone_is_found(reply: str) -> None:
    assert concerns(beside(RIVER, reply)) >= {"pair"}


@pytest.mark.parametrize(
    ("reply", "concern"),
    [
        ("ANSWER\nIt costs $417 a month, and that is all. [1]", "leak"),
        ("It costs $417 a month, and that is all.", "leak"),
        ("CLARIFY\nDid you write from jo@example.org?", "personal"),
    ],
    ids=["fact", "fact-without-header", "personal"],
)
def test_what_a_rejected_reply_may_not_hold_is_found(reply: str, concern: str) -> None:
    assert concern in concerns(beside(RIVER, f"ANSWER\n{OTHER}", reply))


def test_a_rejected_reply_counts_into_the_length() -> None:
    long = "ANSWER\n" + f"{OTHER} " * 400
    assert {each.concern for each in found(beside(RIVER, long), most=1500)} >= {"length"}


def test_replies_become_pairs_by_what_they_do() -> None:
    row, untold = case(RIVER), case(RIVER, number=2)
    held, leak = f"ANSWER\n{OTHER}", "ANSWER\nIt costs $417 a month, and that is all. [1]"
    voices = [
        Voice("one", {row.id: held, untold.id: leak}),
        Voice("two", {row.id: held}),
        Voice("three", {row.id: row.target}),
        Voice("four", {row.id: "CLARIFY\nDid you write from jo@example.org?"}),
    ]
    (pair,), left_out = paired([row, untold], voices, HOUSE)
    assert [(each.by, each.reply) for each in pair.rejected] == [
        ("four", "CLARIFY\nDid you write from [email]?"),
        ("one", held),
    ]
    assert pair.model_copy(update={"rejected": ()}) == row
    assert left_out == {UNSOUND["leak"]: 1, UNSOUND["pair"]: 1}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with shop(tmp_path_factory.mktemp("pairs")) as parts:
        yield parts


def test_the_composers_reply_stands_as_the_row_would_cite_it(parts: Parts) -> None:
    """Nothing is recorded, and what rests on other passages than the row's is left out."""
    text = "Deploy the new secret to your receiver within that time. [1]"
    cite = Cite("secrets.md")
    seed = Seed("dialogue", "d", QUESTION, "ANSWER", text=text, cites={1: cite}, gold=(cite,))
    (row,) = asyncio.run(collected(parts, seed)).rows
    bare = row.model_copy(update={"id": "dialogue:bare", "documents": (), "gold": ()})

    async def ask() -> Voice:
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await made.of_composer(AnswerClient(http), [row, bare], HOUSE, lambda *at: None)

    voice = asyncio.run(ask())
    assert voice.replies.keys() == {row.id}
    (pair,), left_out = paired([row, bare], [voice], HOUSE)
    assert "12 hours" in pair.rejected[0].reply
    assert pair.rejected[0].reply.endswith(f"[{row.gold[0]}]")
    assert left_out == {}
    assert voice.left_out == {made.NOT_SHOWN: 1}


def test_what_a_person_wrote_is_preferred_to_what_the_assistant_had_said(parts: Parts) -> None:
    """But not where the assistant had handed over as it should."""
    asked = "Which colours does the signing secret come in, and for how long?"
    written = "Rolling a signing secret keeps both secrets valid for 12 hours. [1]"
    said = {"text": written, "documents": ["help/secrets.md"]}

    async def live() -> tuple[list[Row], Voice]:
        transport = httpx.ASGITransport(create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for question in (asked, "Can I talk to a real person please"):
                body = {"message": question}
                told = (await http.post("/v1/chat", json=body)).json()
                body = {"conversation_id": told["conversation_id"]}
                handoff = (await http.post("/v1/handoffs", json=body)).json()
                await http.post(f"/v1/handoffs/{handoff['id']}/reply", json=said)
            client = AnswerClient(http)
            plan = DatasetPlan(parts.house)
            rows = (await collect(client, await seeds.of_agents(client), plan, ignored)).rows
            return rows, await made.of_drafts(client, rows, parts.house)

    rows, voice = asyncio.run(live())
    assert voice.by == DRAFT
    assert [row.question for row in rows if row.id in voice.replies] == [asked]
    assert voice.left_out == {BY_POLICY: 1}


def test_a_folder_of_pairs_says_what_they_are_of_and_has_nothing_held_out(
    parts: Parts, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"gold": (Cite("secrets.md"),), "facts": (("12 hours",),)}
    seed = Seed("suite", "roll", QUESTION, "ANSWER", **options)
    built, plan = asyncio.run(collected(parts, seed)), DatasetPlan(parts.house)
    rows = varied(built.rows, plan)
    write_dataset(tmp_path / "rows", {"train": rows, "heldout": rows}, built, plan)
    dataset = read_dataset(tmp_path / "rows")
    voice = Voice("composer", {row.id: "DECLINE" for row in rows})
    train, left_out = paired(rows, [voice], parts.house)
    made.write(tmp_path / "pairs", dataset, {"train": train, "eval": []}, left_out)
    read = read_dataset(tmp_path / "pairs")
    assert list(read.rows["train"]) == train
    assert not read.rows["heldout"]
    assert read.manifest.pairs_of == dataset.sha256
    assert read.manifest.files["train.jsonl"].rejected == {"composer": len(rows)}
    assert Counter(row.made for row in train) == Counter(row.made for row in rows)
