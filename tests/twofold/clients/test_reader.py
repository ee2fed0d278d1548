"""The reader: a piece that answers is told from one that only looks right."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from twofold.clients import minilm
from twofold.clients.reader import LONGEST, QUESTION, Pairs, Reader

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None, reason="no weights: run `make setup`"
)

PLANS = "Retention\nPlan: Grove; Logs: 30 days; Builds: 90 days"
CASES = [
    ("how long are logs kept on grove", PLANS, "Retention\nPlan: Fern; Logs: 7 days; Builds: 14"),
    ("how long do you keep builds on grove", PLANS, "Retention\nBuilds can be listed by branch."),
    (
        "can a viewer delete a board",
        "Roles\nOnly owners and admins can delete a board.",
        "Roles\nA viewer reads every board and comments on it.",
    ),
    (
        "what happens to my data when i cancel",
        "Closing\nEverything is erased 60 days after an account was closed.",
        "Closing\nOnly an owner can close an account.",
    ),
    (
        "the sandbox says 429, how many calls may i make there",
        "Sandbox\nThe sandbox takes 5 requests a second.",
        "Limits\nThe live API takes 100 requests a second.",
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("models"), threads=1)


@pytest.mark.parametrize(("question", "answer", "other"), CASES)
def test_an_answer_is_likelier_than_what_looks_like_one(
    made: Reader, question: str, answer: str, other: str
) -> None:
    right, wrong = made.odds(question, [answer, other])
    assert right > wrong + 0.5


def test_a_pair_is_what_it_is_alone(made: Reader, tmp_path: Path) -> None:
    question, *pieces = CASES[0]
    pieces += [piece for _, *both in CASES for piece in both]
    together = made.odds(question, pieces)
    other = Reader(tmp_path, threads=2)
    alone = np.concatenate([other.odds(question, [piece]) for piece in pieces])
    np.testing.assert_allclose(alone, together, atol=0.05)
    assert (made.odds(question, [*reversed(pieces), "another"])[-2::-1] == together).all()
    assert made.odds(question, []).shape == (0,)


def test_long_texts_are_cut(made: Reader) -> None:
    pairs = Pairs(minilm.tokenizer())
    tokens, first = pairs.joined("word " * 500, "piece " * 500)
    assert (len(tokens), first) == (LONGEST, QUESTION + 2)
    ends = minilm.tokenizer().encode("start end", add_special_tokens=False).ids
    tokens, first = pairs.joined(f"start {'word ' * 500} end", "piece")
    assert (tokens[1], tokens[first - 2]) == tuple(ends)
    long = " ".join(["i wrote you last week about my account."] * 30)
    asked = "how long are logs kept on grove?"
    right, wrong = made.odds(f"{long} {asked}", [PLANS, CASES[0][2]])
    assert right > wrong


def test_nothing_is_built_before_the_first_question(tmp_path: Path) -> None:
    idle = Reader(tmp_path)
    assert list(tmp_path.iterdir()) == []
    idle.odds("a question", ["a piece"])
    assert len(list(tmp_path.iterdir())) == 1
