"""Practice: every reply stands in the document that it cites, and nothing else can be learnt."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.tiny.corpus import Corpus, Mapping
from tools.tiny.practice import ABSENT, Level, Row, rows
from tools.tiny.tokenizer import make_tokenizer
from twofold.text.blocks import plain

CORPUS = Corpus(Path(__file__).parents[3] / "examples/brackwater/help-center")
LEVEL = Level(640, documents=4, pieces=8, absent=0.15, facts=0.3)
_ABSENT = ABSENT.partition("{")[0]
_DOCUMENT = re.compile(r'<document n="(\d+)".*?>\n(.*?)\n</document>', re.DOTALL)


def _rows(seed: int, count: int, level: Level = LEVEL) -> list[Row]:
    source = rows(CORPUS, level, random.Random(seed), turns=6)
    return [next(source) for _ in range(count)]


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_a_reply_is_a_literal_piece_of_the_document_it_cites(seed: int) -> None:
    for row in _rows(seed, 5):
        texts = {mark: plain(text) for mark, text in _DOCUMENT.findall(row.system)}
        for question, reply in row.turns:
            if reply.startswith(_ABSENT):
                continue
            said, mark = re.fullmatch(r"(.*?)\s+\[(\d+)\]", reply, re.DOTALL).groups()  # type: ignore[union-attr]
            head, _, last = said.rpartition("\n")
            assert last in texts[mark], question
            assert head in texts[mark], question


def test_a_row_of_a_table_comes_below_its_head() -> None:
    tables = [r for row in _rows(2, 300) for _, r in row.turns if r.startswith("|")]

    assert len(tables) > 100
    for reply in tables:
        *lines, blank, mark = reply.split("\n")
        assert [line.count("|") for line in lines] == [lines[0].count("|")] * 3
        assert (blank, mark[:1]) == ("", "[")


def test_some_questions_are_answered_by_no_document() -> None:
    turns = [turn for row in _rows(1, 300) for turn in row.turns]

    absent = [(question, reply) for question, reply in turns if reply.startswith(_ABSENT)]
    assert 0.08 < len(absent) / len(turns) < 0.3
    for question, reply in absent:
        for word in re.findall(r"\w+", reply.removeprefix(_ABSENT)):
            assert word in question


def test_numbers_of_the_help_center_do_not_come_through() -> None:
    """A model cannot take in what it never saw: a value and its sentence are never together."""
    sentence = "The old secret keeps working for 12 hours after you roll it."
    seen = {
        number
        for seed in range(300)
        for number in re.findall(r"\d+", Mapping(random.Random(seed), CORPUS.words, 0.0)(sentence))
    }
    assert len(seen) > 80


def test_one_mapping_says_the_same_of_the_same() -> None:
    mapping = Mapping(random.Random(1), CORPUS.words, 1.0)

    assert mapping("Endpoint 25, endpoint 25") == mapping("Endpoint 25, endpoint 25")
    first, second = mapping("endpoint and Endpoint").split(" and ")
    assert first.capitalize() == second


@pytest.mark.parametrize("text", ["25", "1,200.50 €", "2026-11-27", "v3.14"])
def test_digits_are_tokens_of_their_own(text: str) -> None:
    tokenizer = make_tokenizer(CORPUS.texts[:20], 600)

    encoded = tokenizer.encode(text)
    for token in encoded.tokens:
        assert len(re.sub(r"\D", "", token)) <= 1
    assert tokenizer.decode(encoded.ids) == text
