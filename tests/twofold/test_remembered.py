"""What is remembered of texts that anybody may send: bounded in bytes, however long they are."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np
import pytest

from services.answer.approved.same import reader
from services.answer.generate.sentences import Sentences, Vectors
from services.answer.generate.weigh import MOST_ASKED, Meaning, words_of
from twofold.clients.kept import KeptVectors
from twofold.index.sparse import Bm25Encoder
from twofold.remembered import remembered

QUESTIONS = 4
WORDS = 650
"""Of each: about as many as a question of 4,000 characters has."""
MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def questions() -> list[str]:
    random = Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(random.choices(letters, k=5)) for _ in range(WORDS)]
    return [" ".join(random.sample(words, WORDS)) for _ in range(QUESTIONS)]


def _vectors() -> Callable[[str], object]:
    kept = KeptVectors(1000)
    vector = np.zeros(8, np.float16)
    return lambda text: kept.keep({f"{text} and page {n}": vector for n in range(50)})


def _readers() -> Iterator[tuple[str, Callable[[str], object]]]:
    yield "vectors", _vectors()
    yield "words", words_of
    yield "terms", Bm25Encoder().terms
    yield "same", lambda text: reader().read(text, "en")


@pytest.mark.parametrize("name", ["vectors", "words", "terms", "same"])
def test_long_questions_leave_little_behind(name: str, questions: list[str]) -> None:
    read = dict(_readers())[name]
    read(questions[0])  # its words are those of the others
    tracemalloc.start()
    try:
        for text in questions[1:]:
            read(text)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < MOST_BYTES


def test_of_a_long_question_so_many_words_are_looked_up(questions: list[str]) -> None:
    """Each is embedded, and puts one of the sources' own words out of those that are kept."""

    class Asked(Sentences):
        def vectors(self, texts: Sequence[str], until: float) -> Vectors:
            self.texts = [*texts]
            return {text: np.ones(4, np.float32) for text in texts}

    sentences, question = Asked(), questions[0]
    meaning = Meaning.read([question], [], sentences, 0.0, pieces=False)
    assert len(sentences.texts) == 1 + MOST_ASKED
    assert question.endswith(sentences.texts[-1])
    assert meaning is not None
    assert meaning.soft(question, sentences.texts[-1], "", {"": 1.0}) > 0


def test_short_texts_are_worked_on_once() -> None:
    worked: list[str] = []

    @remembered(10, 5)
    def read(text: str, *, loud: bool = False) -> str:
        worked.append(text)
        return text.upper() if loud else text

    assert [read("short"), read("short"), read("short", loud=True)] == ["short", "short", "SHORT"]
    assert [read("longer"), read("longer")] == ["longer", "longer"]
    assert worked == ["short", "short", "longer", "longer"]


def test_vectors_are_found_again_by_their_text() -> None:
    kept = KeptVectors(2)
    first, second, third = (np.full(2, n, np.float16) for n in range(3))
    kept.keep({"a": first, "b": second})
    kept.keep({"c": third})
    assert kept.known(["a", "b", "c"]).keys() == {"b", "c"}
    assert kept.known(["c"])["c"] is third
