"""What comes nearest to answering is packed first, in the matcher's language alone."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.contract import Ask, Found, Question, Turn
from services.answer.events import Answered
from services.answer.pipeline import ask_once
from services.answer.search import Searched, search
from services.answer.search.ellipsis import in_full
from tests.services.standalone.serving import needs_weights, small_parts
from tools.matcher.centers import load_center
from twofold.clients.matcher import asked_in_turn
from twofold.clients.reader import Reader
from twofold.index.contract import Scope
from twofold.settings import Settings
from twofold.stack import Stack, open_stack
from twofold.text.blocks import squeeze

pytestmark = needs_weights

PAGES = {
    "members.md": "# Members\n\n## The list\n\nThe list of members shows who joined when.\n\n"
    "## Getting people in\n\nOpen **People** and send an invitation to their address.\n",
    "suspension.md": "# Failed payments\n\n## Reminders\n\nYour card is charged again on day 3 and"
    " day 7; each time a card fails a message goes out.\n\n## Suspension\n\nOn day 21 the"
    " account is suspended and nothing is sent any more.\n",
    "cards.md": "# Cards\n\n## Which cards\n\nA card may be of any of the usual kinds; a declined"
    " card is shown in red.\n",
    "parcels.md": "# Parcels\n\n## Opening\n\n1. Open the parcel.\n2. Press the seal of the"
    " parcel.\n3. Turn the parcel.\n",
    "invoices.md": "# Invoices\n\n## Where they are\n\nInvoices lie under **Billing**.\n",
    "gold.md": "# Gold plan\n\n## Price\n\nThe gold plan costs $40 a month.\n",
    "silver.md": "# Silver plan\n\n## Price\n\nThe silver plan costs $20 a month.\n",
    "karte.de.md": "---\nlocale: de\n---\n# Karten\n\nEine Karte, die abgelehnt wird, ist rot.\n",
}
CUT_OFF = "card declined, when do you cut me off"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("match")
    pages = home / "pages"
    pages.mkdir()
    for name, text in PAGES.items():
        (pages / name).write_text(text, encoding="utf-8")
    with open_stack(Settings(home=home / "home")) as opened:
        sync(opened, "default", Folder("help", pages))
        yield opened


def asked(text: str, locale: str = "en", history: tuple[Turn, ...] = ()) -> Question:
    scope = Scope("default", int(time.time()), frozenset())
    return Question(text, text, locale, scope, None, history)


def first(found: Searched) -> str:
    return found.packed[0].chunk.text


def test_more_answers_come_first_in_a_help_center_that_it_never_saw(tmp_path: Path) -> None:
    center = load_center("gym-chain")
    rows = [row for row in center["questions"] if row["answers"] and not row["history"]][:70]
    assert more_first(tmp_path, center["pages"], rows) >= 4


def more_first(folder: Path, pages: dict[str, str], rows: list[dict[str, Any]]) -> int:
    """How many more questions have an answering passage first, with the matcher than without."""
    source = folder / "pages"
    source.mkdir()
    for name, text in pages.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    with open_stack(Settings(home=folder / "home")) as opened:
        sync(opened, "default", Folder("help", source))
        with_it, without = (
            sum(answers_first(search(put(row), each), row) for row in rows)
            for each in (opened, replace(opened, matcher=None))
        )
    return with_it - without


def put(row: dict[str, Any]) -> Question:
    turns = [(Turn("user", text), Turn("assistant", "I see.")) for text in row["history"]]
    return asked(row["question"], history=tuple(chain.from_iterable(turns)))


def answers_first(found: Searched, row: dict[str, Any]) -> bool:
    text = squeeze(first(found))
    return any(squeeze(answer["quote"]) in text for answer in row["answers"])


def test_two_things_asked_with_one_verb_are_parts_where_other_pieces_answer_each(
    stack: Stack,
) -> None:
    both = search(asked("what is the price of the gold plan and of the silver plan"), stack)
    assert [each.asked for each in both.question.parts] == [
        "what is the price of the gold plan",
        "what is the price of the silver plan",
    ]
    assert {each.chunk.text[:5] for each in both.packed[:2]} == {"The g", "The s"}
    assert not search(asked("is it charged again on day 3 and on day 7"), stack).question.parts


def test_without_a_matcher_the_embedder_and_the_words_decide(stack: Stack) -> None:
    found = search(asked(CUT_OFF), replace(stack, matcher=None))
    assert found.packed
    assert found.matched == {}
    assert found.evidence.clues.matched == 0.0


def test_the_evidence_is_stronger_where_a_piece_answers(stack: Stack) -> None:
    held = search(asked(CUT_OFF), stack).evidence
    missing = search(asked("can i pay with my phone's wallet"), stack).evidence
    assert held.clues.matched > missing.clues.matched
    assert held.answerable > missing.answerable


def test_questions_in_other_languages_are_left_alone(stack: Stack) -> None:
    found = search(asked("Meine Karte wurde abgelehnt", "de"), stack)
    assert found.matched == {}
    assert found.packed


def test_each_of_two_questions_has_its_passage_among_the_first(stack: Stack) -> None:
    both = "where are my invoices? and how do i get my coworker in?"
    found = search(asked(both), stack)
    assert len(found.matched) == 2
    texts = " ".join(each.chunk.text for each in found.packed[:2])
    assert "Billing" in texts
    assert "invitation" in texts


def test_the_second_question_is_read_with_the_first_it_leans_on(stack: Stack) -> None:
    both = "what happens if my card fails, and when does it get me suspended?"
    found = search(asked(both), stack)
    first_part, second = found.question.parts
    assert not found.question.leans
    assert not first_part.leans
    assert second.leans
    assert second.standalone == "what happens if my card fails\nwhen does it get me suspended?"
    pieces = found.matched[second.standalone]
    assert "day 21" in max(pieces, key=lambda piece: pieces[piece].odds)


def test_one_that_has_nothing_to_do_with_the_first_is_read_alone(stack: Stack) -> None:
    found = search(asked("how do i get my coworker in? And where are my invoices?"), stack)
    assert [part.leans for part in found.question.parts] == [False, False]


@pytest.mark.parametrize("message", ["and silver?", "what about the silver plan?"])
def test_an_ellipsis_is_searched_for_in_full(stack: Stack, message: str) -> None:
    before = (Turn("user", "How much is the gold plan?"), Turn("assistant", "It costs $40."))
    found = search(asked(message, history=before), stack)
    assert found.question.leans
    assert found.question.standalone == "How much is the silver plan?"
    assert "$20" in first(found)


@pytest.mark.parametrize(
    ("before", "message", "meant"),
    [
        ("How do I set up SSO with Okta?", "and with Entra?", "How do I set up SSO with Entra?"),
        ("Which Node version do I need?", "and Go?", "Which Go version do I need?"),
        ("What does D-21 mean?", "what about D-12?", "What does D-12 mean?"),
        ("What is the price for members?", "for guests?", "What is the price for guests?"),
        ("Was kostet River im Monat?", "und im Jahr?", "Was kostet River im Jahr?"),
        ("How much is Creek?", "and if I pay yearly?", None),
        ("Is the log part of Creek?", "who can read it?", None),
        ("How much is Creek?", "and Creek?", None),
        ("How much is it?", "and with Entra?", None),
    ],
)
def test_an_ellipsis_is_asked_in_full(
    before: str, message: str, meant: str | None, stack: Stack
) -> None:
    assert in_full(message, before, stack.embedder) == meant


def test_a_follow_up_is_read_with_what_it_leans_on(stack: Stack) -> None:
    before = (Turn("user", "my card failed, what happens?"), Turn("assistant", "We try again."))
    found = search(asked("and when is it suspended?", history=before), stack)
    assert found.question.leans
    assert "day 21" in first(found)


def test_what_a_message_leans_on_is_put_to_the_models_with_it(stack: Stack) -> None:
    for before, message, word in (
        ("i need to get my coworker in", "and how do i do that?", "invitation"),
        ("tell me about the gold plan", "and what does it cost?", "gold plan costs"),
        ("tell me about the silver plan", "and what does it cost?", "silver plan costs"),
    ):
        history = (Turn("user", before), Turn("assistant", "I see."))
        found = search(asked(message, history=history), stack)
        assert found.question.leans
        pieces = found.matched[found.question.standalone]
        assert word in max(pieces, key=lambda piece: pieces[piece].near)
        assert word in max(pieces, key=lambda piece: pieces[piece].odds)


def test_more_answers_come_first_in_conversations_too(tmp_path: Path) -> None:
    center = load_center("gym-chain")
    rows = [row for row in center["questions"] if row["answers"] and row["history"]]
    assert more_first(tmp_path, center["pages"], rows) > 0


class Sure(Reader):
    """Is certain of every piece that holds a word, and keeps what it was asked."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.asked: list[str] = []

    def odds(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked.append(question)
        return np.array([40.0 if self.word in piece else -40.0 for piece in pieces], np.float32)


class Counting(Sure):
    """Keeps the pieces that it read."""

    def __init__(self) -> None:
        super().__init__("")
        self.pieces: list[str] = []

    def odds(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        self.pieces += pieces
        return super().odds(question, pieces)


def test_of_steps_the_nearest_sentence_is_read_and_the_whole_list(stack: Stack) -> None:
    reader = Counting()
    search(asked("open the parcel, press the seal, turn the parcel"), replace(stack, reader=reader))
    steps = [piece for piece in reader.pieces if piece.startswith("Parcels")]
    whole = [piece for piece in steps if "1. " in piece]
    assert (len(steps), len(whole)) == (2, 1)


PLANS = (Turn("user", "which plans are there?"), Turn("assistant", "Gold and silver."))


@pytest.mark.parametrize(
    ("message", "history", "leans"),
    [
        ("what does the plan cost a month", (), False),
        ("and what do they cost a month?", PLANS, True),
        ("what does the plan cost a month", PLANS, False),
    ],
)
def test_of_what_is_as_near_comes_first_what_the_reader_is_sure_of(
    stack: Stack, message: str, history: tuple[Turn, ...], leans: bool
) -> None:
    before = [turn.text for turn in history if turn.role == "user"]
    for plan in ("gold", "silver"):
        reader = Sure(f"{plan} plan costs")
        found = search(asked(message, history=history), replace(stack, reader=reader))
        assert found.question.leans is leans
        assert plan in first(found)
        assert reader.asked[-1] == (asked_in_turn(message, before) if leans else message)


class SureOfOne(Sure):
    """Is certain of what is asked with the turns before it, or of what is asked alone."""

    def odds(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        sure = ("\n" in question) == (self.word == "in turn")
        return np.full(len(pieces), 40.0 if sure else -40.0, np.float32)


@pytest.mark.parametrize("message", ["what does the plan cost a month", "and what do they cost?"])
def test_what_the_reader_holds_for_the_likelier_says_whether_a_message_leans(
    stack: Stack, message: str
) -> None:
    for reading in ("in turn", "alone"):
        found = search(asked(message, history=PLANS), replace(stack, reader=SureOfOne(reading)))
        assert found.question.leans is (reading == "in turn")


def test_a_reranker_has_the_last_word(stack: Stack) -> None:
    def backwards(_: str, found: Found) -> Found:
        return replace(found, candidates=tuple(reversed(found.candidates)))

    def same(_: str, found: Found) -> Found:
        return found

    ahead, behind = (search(asked(CUT_OFF), stack, each).found.candidates
                     for each in (same, backwards))  # fmt: skip
    assert [each.chunk.id for each in ahead] == [each.chunk.id for each in reversed(behind)]


def test_a_question_beside_another_that_no_page_answers_is_told_so(tmp_path: Path) -> None:
    message = "How long does the old signing secret keep working? And can I pay with bitcoin?"
    with small_parts(tmp_path) as parts:
        told = asyncio.run(ask_once(Ask(message, "default", locale="en"), parts))
        offer = parts.house.templates["en"].consent.format(team="our support team")
        assert "12 hours" in told.text
        assert told.text.endswith(f"has no answer on “can I pay with bitcoin”. {offer}")
        assert told.escalation is None  # nobody is promised before the customer wants somebody

        def then(said: str) -> Answered:
            ask = Ask(said, "default", conversation_id=told.conversation_id, locale="en")
            return asyncio.run(ask_once(ask, parts))

        assert then("no").text == parts.house.templates["en"].thanks
        told = asyncio.run(ask_once(Ask(message, "default", locale="en"), parts))
        assert then("ok, and how long on Brook?").escalation is None
        told = asyncio.run(ask_once(Ask(message, "default", locale="en"), parts))
        assert then("Yes please").escalation == ("support", "not_in_sources")


def test_an_empty_index_matches_nothing(tmp_path: Path) -> None:
    with open_stack(Settings(home=tmp_path / "home")) as empty:
        found = search(asked(CUT_OFF), empty)
    assert found.packed == ()
