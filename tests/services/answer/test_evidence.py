"""What a search's findings say: an answer that stands out, against pages that are only related."""

from dataclasses import replace

import numpy as np
import pytest

from services.answer.contract import Candidate, Evidence, Found, Question
from services.answer.search.evidence import weigh, weigh_given
from services.answer.search.match import Match
from services.answer.search.pack import Terms, pack
from services.answer.search.units import cut
from twofold.index.contract import Chunk, Scope
from twofold.index.sparse import Bm25Encoder

SPARSE = Bm25Encoder()
ASKED = "How long does a rotated API key keep working?"
ANSWER = "A rotated API key keeps working for 24 hours."
RELATED = (
    "Keys belong to one project.", "Members see keys of their own.", "Limits count by key.",
    "Logs name the key of a call.", "Projects have an owner.",
)  # fmt: skip


def asking(text: str, locale: str = "en") -> Question:
    return Question(text, text, locale, Scope("default", 0), None)


def candidate(text: str, dense: float, document: str) -> Candidate:
    chunk = Chunk(
        id=text, workspace="default", source="s", document=document, key=f"s/{document}", since=1,
        title="Keys", heading_path=(), text=text, position=0,
    )  # fmt: skip
    return Candidate(chunk, version=1, dense=dense, keywords=dense, fused=1 + dense, score=dense)


def weighed(question: Question, candidates: list[Candidate], given: bool = False) -> Evidence:
    keywords = SPARSE.query(question.asked, question.locale)
    found = Found(tuple(candidates), np.zeros(1, np.float32), keywords)
    terms = Terms(SPARSE, question.locale, found)
    packed = pack(found, terms, 6, 6000)
    return (weigh_given if given else weigh)(question, found, packed, terms)


def related() -> list[Candidate]:
    return [candidate(text, 0.4 - i / 50, f"d{i}") for i, text in enumerate(RELATED)]


def test_a_passage_that_stands_out_makes_an_answer_likely() -> None:
    without = weighed(asking(ASKED), related())
    held = weighed(asking(ASKED), [candidate(ANSWER, 0.8, "answer"), *related()])
    assert held.p_answerable > 0.7 > 0.4 > without.p_answerable
    assert held.foreign < without.foreign


def test_what_matcher_and_reader_say_counts() -> None:
    def p(match: Match) -> float:
        question, candidates = asking(ASKED), related()
        found = Found(tuple(candidates), np.zeros(1, np.float32), SPARSE.query(ASKED, "en"))
        terms = Terms(SPARSE, "en", found)
        pieces = {text: match for page in cut(candidates) for text in page.headed}
        return weigh(question, found, candidates, terms, {ASKED: pieces}).p_answerable

    answers, looks_right, neither = Match(0.7, 3.0), Match(0.7, -5.0), Match(0.1, -5.0)
    assert p(answers) > p(looks_right) + 0.1
    assert p(answers) > p(neither) + 0.1


def test_an_empty_search_answers_nothing() -> None:
    assert weighed(asking(ASKED), []).p_answerable < 0.01
    assert weighed(asking(ASKED), [], given=True).p_answerable < 0.01


def test_a_question_that_nothing_is_near_to_is_foreign() -> None:
    far = [replace(each, dense=each.dense / 8) for each in related()]
    evidence = weighed(asking("Which opera is sung tonight?"), far)
    assert evidence.foreign > 1
    assert evidence.p_answerable < 0.1


@pytest.mark.parametrize(
    ("text", "locale", "stranger"),
    [
        ("does it work with Kafka", "en", 1),
        ("does it work in October", "en", 0),
        ("Läuft es mit Kafka", "de", 0),
        ("Läuft es mit GitLab", "de", 1),
        ("which Keys are there", "en", 0),
    ],
)
def test_a_name_that_no_source_holds_is_seen(text: str, locale: str, stranger: int) -> None:
    assert weighed(asking(text, locale), related()).clues.stranger == stranger


@pytest.mark.parametrize(("text", "code"), [("what is D-60", 1), ("what is D-61", 0), ("hi", 0)])
def test_a_code_that_a_source_holds_is_seen(text: str, code: int) -> None:
    there = [*related(), candidate("D-60: the address is private.", 0.3, "errors")]
    assert weighed(asking(text), there).clues.code == code


def test_given_passages_are_weighed_by_what_they_hold_alone() -> None:
    answers = weighed(asking(ASKED), [candidate(ANSWER, 0.8, "a")], given=True)
    does_not = weighed(asking(ASKED), [candidate(RELATED[0], 0.4, "a")], given=True)
    assert answers.p_answerable > 0.6 > does_not.p_answerable
