"""The matcher: what answers a question is nearer to it than its neighbours on the page."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from twofold.clients import matcher, minilm
from twofold.clients.embedder import MiniLM
from twofold.clients.kept import KeptVectors
from twofold.clients.matcher import Matcher, asked_in_turn, packed, unpacked

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None, reason="no weights: run `make setup`"
)

CASES = [
    (
        "how do i get my coworker in",
        "Members\nOpen **Settings > People** and send an invitation to their address.",
        "Members\nA workspace shows its people in the order in which they joined.",
    ),
    (
        "card declined, when do you cut me off",
        "Failed payments\nAfter the fourth failed attempt, on day 21, the account is suspended.",
        "Failed payments\nWe send a message to the billing address each time.",
    ),
    (
        "do you keep my stuff after i leave",
        "Closing an account\nAll data is erased 60 days after the account was closed.",
        "Closing an account\nOnly an owner can close an account.",
    ),
    (
        "is there a maximum for one upload",
        "Limits\nA single upload is limited to 2 GB.",
        "Limits\nUploads are listed with their date and their sender.",
    ),
    (
        "is there a way to undo it",
        "Deleting a project\nA deleted project can be restored for 14 days from the bin.",
        "Deleting a project\nDeleting asks for the name of the project.",
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    return Matcher(tmp_path_factory.mktemp("models"), threads=1)


@pytest.mark.parametrize(("question", "answer", "neighbour"), CASES)
def test_an_answer_is_nearer_than_its_neighbour(
    made: Matcher, question: str, answer: str, neighbour: str
) -> None:
    asked, right, other = made.vectors([question, answer, neighbour]).values()
    assert asked @ right > asked @ other + 0.05


def test_a_text_is_what_it_is_alone(made: Matcher, tmp_path: Path) -> None:
    texts = [text for case in CASES for text in case]
    together = made.vectors(texts)
    other = Matcher(tmp_path, threads=2)
    for text in reversed(texts):
        np.testing.assert_allclose(other.vectors([text])[text], together[text], atol=2e-3)
    again = made.vectors(texts[:3])
    assert all((again[text] == together[text]).all() for text in again)


def test_a_long_text_is_cut(made: Matcher) -> None:
    long = "word " * 5000
    same, cut, empty = made.vectors([long, long + "other " * 50, ""]).values()
    assert (same == cut).all()
    assert np.isfinite(empty).all()
    assert made.vectors([]) == {}


def test_nothing_is_built_before_the_first_text(tmp_path: Path) -> None:
    """A worker that indexes never asks."""
    idle = Matcher(tmp_path)
    assert list(tmp_path.iterdir()) == []
    idle.vectors(["a text"])
    assert len(list(tmp_path.iterdir())) == 1


def test_of_too_many_texts_the_oldest_are_forgotten() -> None:
    kept = KeptVectors(4)
    for number in range(12):
        kept.keep({f"text {number}": np.zeros(1, np.float16)})
    assert list(kept.known(f"text {number}" for number in range(12))) == [
        f"text {number}" for number in range(8, 12)
    ]


def test_packing_keeps_the_integers() -> None:
    """What was judged in training's own export is what is multiplied later."""
    whole = MiniLM._weights()
    once = packed(whole)
    again = packed(unpacked(once))
    assert matcher.WORDS not in once
    assert again.keys() == once.keys()
    integers = [name for name, array in once.items() if array.dtype == np.int8]
    assert len(integers) == 6 * 5
    assert all((again[name] == once[name]).all() for name in integers)


def test_a_turn_that_leans_is_read_with_those_before_it() -> None:
    assert asked_in_turn("and on basic?", ["hello", "how many seats has pro?"]) == (
        "and on basic?\nhow many seats has pro?\nhello"
    )
