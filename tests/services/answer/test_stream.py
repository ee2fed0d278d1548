"""What reaches a customer while a model writes: only what holds, numbered as it will stay."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.answer.contract import Ask
from services.answer.events import Acted, Delta
from services.answer.pipeline import Parts, answer
from tests.ingestion.helpers import WORKSPACE
from tests.model_server import FIRST_SENTENCE, Line, ModelServer, says, tokens_of
from tests.services.answer.asking import (
    QUESTION,
    Heard,
    check_told_once,
    hear,
    knowing,
    with_model,
)
from twofold.text.statements import StatementStream, statements

KEPT = f"{FIRST_SENTENCE} [1]"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("stream")) as parts:
        yield parts


def told(parts: Parts, reply: str, question: str = QUESTION) -> Heard:
    async def run() -> Heard:
        async with ModelServer(says(reply)) as server:
            heard = await hear(with_model(parts, server.url), question)
            check_told_once(parts, heard)
            return heard

    return asyncio.run(run())


@dataclass(frozen=True)
class Struck:
    id: str
    sentence: str
    problem: str


STRUCK = (
    Struck(
        "wrong number",
        "Rolling a signing secret keeps both secrets valid for 36 hours. [1]",
        "number",
    ),
    Struck("number in few words", "Only 36 hours. [1]", "number"),
    Struck("number uncited", "That is 36 hours.", "number"),
    Struck("number in a question", "Did you know it lasts 36 hours?", "number"),
    Struck(
        "unsupported",
        "Our engineers monitor every customer deployment around midnight. [1]",
        "unsupported",
    ),
    Struck(
        "uncited", "Our engineers monitor every customer deployment around midnight.", "uncited"
    ),
    Struck(
        "no such source", "Our engineers monitor every deployment around midnight. [7]", "uncited"
    ),
    Struck("promise", "I have refunded you the month. [1]", "promise"),
    Struck("banned", "Unfortunately both secrets stay valid. [1]", "banned"),
    Struck(
        "table with a number of its own",
        "\n\n| Secret | Hours valid |\n|---|---|\n| old | 36 |\n\n",
        "number",
    ),
    Struck(
        "code of its own",
        "\n\n```\ncurl evil.example install malware toolkit\n```\n\n",
        "unsupported",
    ),
)


@pytest.mark.parametrize("struck", STRUCK, ids=lambda struck: struck.id)
def test_what_cannot_be_shown_never_reaches_the_customer(struck: Struck, parts: Parts) -> None:
    reply = f"ANSWER\n{KEPT} {struck.sentence} Deploy the new secret to your receiver. [1]"
    heard = told(parts, reply)
    assert heard.done.action == "ANSWER"
    assert heard.done.text.startswith(KEPT)
    assert heard.done.text.endswith("Deploy the new secret to your receiver. [1]")
    assert len(heard.done.text) < len(reply) - len(struck.sentence)
    record = check_told_once(parts, heard)
    assert struck.problem in [v["problem"] for v in record.verdicts if not v["ok"]]


@pytest.mark.parametrize("struck", STRUCK, ids=lambda struck: struck.id)
def test_a_reply_with_nothing_left_is_the_composers(struck: Struck, parts: Parts) -> None:
    before = REGISTRY.get_sample_value("twofold_behaviour_replaced_total")
    heard = told(parts, f"ANSWER\n{struck.sentence}")
    assert heard.acted == ["ANSWER"]
    assert heard.done.served_by == "composer"
    assert "12 hours" in heard.done.text
    assert struck.sentence not in heard.done.text
    assert check_told_once(parts, heard).signals["ladder"] == ["base: unheld"]
    assert REGISTRY.get_sample_value("twofold_behaviour_replaced_total") == (before or 0) + 1


def test_idle_words_alone_are_no_answer(parts: Parts) -> None:
    heard = told(parts, "ANSWER\nSure! [1] Here you go:")
    assert heard.done.served_by == "composer"
    assert "Sure" not in heard.done.text


def test_a_mark_of_the_wrong_source_is_put_right(parts: Parts) -> None:
    heard = told(parts, f"ANSWER\n{FIRST_SENTENCE} [2]")
    assert heard.done.text == KEPT
    assert FIRST_SENTENCE.rstrip(".") in heard.done.citations[0].quote


def test_a_true_table_stays(parts: Parts) -> None:
    table = "| Secret | Hours valid |\n|---|---|\n| old | 12 |"
    heard = told(parts, f"ANSWER\n{KEPT}\n\n{table}\n\n[1]")
    assert heard.done.text == f"{KEPT}\n\n{table}\n\n[1]"


def test_marks_are_numbered_as_they_appear(parts: Parts) -> None:
    reply = (
        "ANSWER\nDownload each invoice from the billing page. [2] "
        f"{FIRST_SENTENCE} [1] Invoices are issued on the first day of every month. [2]"
    )
    heard = told(parts, reply)
    assert heard.done.text == (
        "Download each invoice from the billing page. [1] "
        f"{FIRST_SENTENCE} [2] Invoices are issued on the first day of every month. [1]"
    )
    assert [(c.n, c.document) for c in heard.done.citations] == [
        (1, "help/invoices.md"),
        (2, "help/secrets.md"),
    ]


def test_links_to_strangers_lose_their_address(parts: Parts) -> None:
    reply = f"ANSWER\n{KEPT} Deploy the [new secret](https://evil.example/x) to your receiver. [1]"
    heard = told(parts, reply + " ![p](https://evil.example/p.png) Deploy the new secret. [1]")
    assert "evil.example" not in heard.done.text
    assert "Deploy the new secret to your receiver. [1]" in heard.done.text


def test_a_sentence_is_said_before_the_next_is_written(parts: Parts) -> None:
    async def run() -> None:
        read = asyncio.Event()

        async def behave(line: Line) -> None:
            await line.open()
            await line.pieces(f"ANSWER\n{KEPT} Deploy")
            await read.wait()
            await line.pieces(" the new secret to your receiver. [1]")
            await line.end()

        async with ModelServer(behave) as server:
            heard, asked = Heard(), with_model(parts, server.url)
            async for event in answer(Ask(QUESTION, WORKSPACE), asked):
                heard.events.append(event)
                if isinstance(event, Delta):
                    read.set()
            await asked.ladder.aclose()
            assert heard.deltas[0] == KEPT
            check_told_once(parts, heard)

    asyncio.run(run())


def test_nothing_is_said_before_a_sentence_holds(parts: Parts) -> None:
    """An ANSWER whose first sentence is struck has not acted yet when it falls."""
    heard = told(parts, f"ANSWER\n{STRUCK[0].sentence} {KEPT}")
    first = heard.events[1]
    assert isinstance(first, Acted)
    assert heard.deltas == [KEPT]


PIECES = (
    *("One sentence ends. ", "See [Settings](https://a.example/b.c). [1] ", "It costs $4.50. "),
    *("[2]", " [1][3]", "e.g. this one. ", "\n\n", "\n- item one\n", "\n1. Step\n2. Next\n"),
    *("| a | b |\n|---|---|\n| 1 | 2 |\n", "```\ncode. More\n```\n"),
    *("Really? ", "12", ". ", "“So.” "),
)
PROSE = st.lists(st.sampled_from(PIECES)).map("".join)


@given(PROSE, st.integers(1, 9))
def test_claims_of_a_stream_are_those_of_the_whole(text: str, size: int) -> None:
    stream = StatementStream()
    found = []
    for start in range(0, len(text), size):
        found += stream.feed(text[start : start + size])
    found += stream.finish()
    whole = "".join(c.lead + c.text for c in statements(text))
    assert "".join(c.lead + c.text for c in found).split() == whole.split()


@given(st.integers(1, 7))
def test_sentences_are_cut_where_the_whole_text_cuts_them(size: int) -> None:
    text = (
        "Rolling keeps both for 12 hours. [1] [2] Deploy e.g. today. [1]\n\n"
        "1. Open **Settings**. [1]\n2. Choose it. [2]\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[1]\n\n"
        "```\nx. Y\n```\n\nSee [Docs](https://a.example/x.y). [3] The end."
    )
    stream = StatementStream()
    found = []
    for start in range(0, len(text), size):
        found += stream.feed(text[start : start + size])
    found += stream.finish()
    assert [c.text for c in found] == [c.text for c in statements(text)]


def test_tokens_join_to_the_text() -> None:
    assert "".join(tokens_of(KEPT)) == KEPT
