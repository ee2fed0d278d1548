"""Practice made of labelled help centers: a reply quotes what it cites, and invents nothing."""

import random
import re
from typing import Any

import pytest

from tools.matcher.centers import DEV_CENTERS, load_center, names
from tools.smollm2.centers import chosen, made
from tools.smollm2.practice import ABSENT
from twofold.reply import marks, split

pytestmark = pytest.mark.heavy

_DOCUMENT = re.compile(r'<document n="(\d+)".*?>\n(.*?)\n</document>', re.DOTALL)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    centers = [name for name in names() if name not in DEV_CENTERS][:3]
    return [row.data() for row in made(centers, 60, random.Random(1))]


def documents(row: dict[str, Any]) -> dict[int, str]:
    return {int(n): text for n, text in _DOCUMENT.findall(row["system"])}


def test_every_piece_of_a_reply_stands_in_the_document_it_cites(
    rows: list[dict[str, Any]],
) -> None:
    answers = [(row, each["reply"]) for row in rows for each in row["asked"]]
    told = [(row, reply) for row, reply in answers if reply.startswith("ANSWER")]
    assert len(told) > 100
    for row, reply in told:
        shown, text = documents(row), split(reply)[1]
        assert marks(text)
        whole = "\n".join(shown[n] for n in set(marks(text)))
        for line in re.sub(r"\s*\[\d\]\s?", "\n", text).splitlines():
            assert line in whole


def test_what_nothing_answers_is_handed_over(rows: list[dict[str, Any]]) -> None:
    asked = [each for row in rows for each in row["asked"]]
    absent = sum(each["reply"] == ABSENT for each in asked) / len(asked)
    assert 0.25 < absent < 0.5
    assert all(each["reply"] == ABSENT or "\n" in each["reply"] for each in asked)


def test_numbers_are_others_each_time() -> None:
    name = next(name for name in names() if name not in DEV_CENTERS)
    first, second = (list(made([name], 30, random.Random(seed))) for seed in (1, 2))
    page = " ".join(load_center(name)["pages"].values())
    figures = [
        set(re.findall(r"\b\d{3}\b", " ".join(r.system for r in f))) for f in (first, second)
    ]
    assert len(figures[0] & figures[1]) < 0.6 * len(figures[0])
    assert len(figures[0] & set(re.findall(r"\b\d{3}\b", page))) < 0.6 * len(figures[0])


def test_the_centers_that_are_measured_with_stand_in_no_row() -> None:
    assert not set(chosen(dev=False)) & set(DEV_CENTERS)
    assert set(chosen(dev=True)) == set(DEV_CENTERS)
