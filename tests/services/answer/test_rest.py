"""A list, a table or what a sentence leads to is whole for the reply, wherever its passage ends."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.answer.contract import Question
from services.answer.decide.decider import Decider
from services.answer.generate.ladder import Ladder
from services.answer.pipeline import Parts
from services.answer.search import Searched, search
from services.answer.search.rest import goes_on
from services.answer.verify import verify
from tests.fakes import DictIndex, make_stack
from tests.ingestion.helpers import WORKSPACE, run_sync, write_tree
from tests.services.answer.asking import BRACKWATER, hear, house
from tests.services.answer.test_compose_verify import HOUSE, asking, candidate, compose, terms_of
from twofold.index.contract import Scope
from twofold.settings import Settings
from twofold.stack import Stack
from twofold.text.blocks import squeeze

ASKED = "how do I open part 4 of the page and wait until it is there"
SAYS = "of the page that has opened and wait until everything on it is there to be seen"


def steps(count: int, verb: str = "Open", first: int = 1) -> str:
    return "\n".join(f"{n}. {verb} part {n} {SAYS}." for n in range(first, first + count))


MOVE = f"# Move a project\n\nTo move a project, follow these steps:\n\n{steps(6)}\n"
OTHERS = {f"other-{n}.md": f"# Thing {n}\n\nA project has thing {n}.\n" for n in range(3)}


def knowing(folder: Path, pages: dict[str, str], **settings: Any) -> Stack:
    """A stack whose passages hold about three of the steps."""
    own = Settings(home=folder / "home", house=BRACKWATER, chunk_tokens=60, **settings)
    stack = make_stack(folder / "home", settings=own)
    write_tree(folder / "tree", pages)
    run_sync(stack, folder / "tree")
    return stack


def asked(stack: Stack, text: str = ASKED, *audiences: str) -> Searched:
    scope = Scope(WORKSPACE, 2_000_000_000, frozenset(audiences))
    return search(Question(text, text, "en", scope, None), stack)


def test_steps_that_a_passage_cuts_are_told_to_their_end(tmp_path: Path) -> None:
    stack = knowing(tmp_path, {"move.md": MOVE} | OTHERS, context_chunks=1, deadline_s=120)
    decider = Decider(house(), stack.embedder)
    parts = Parts(stack, house(), decider, Ladder(house(), decider))
    done = asyncio.run(hear(parts, ASKED)).done
    parts.close()
    places = [done.text.index(f"{n}. Open part {n} ") for n in range(1, 7)]
    assert places == sorted(places)
    texts = {id: point.chunk.text for id, point in index_of(stack).points.items()}
    assert len(done.citations) > 1
    assert all(squeeze(each.quote) in squeeze(texts[each.chunk]) for each in done.citations)


def index_of(stack: Stack) -> DictIndex:
    assert isinstance(stack.index, DictIndex)
    return stack.index


@pytest.mark.parametrize(
    ("settings", "passages"), [({"context_chunks": 1}, 3), ({}, 3), ({"context_chars": 350}, 1)]
)
def test_the_rest_has_no_more_room_than_is_left(
    tmp_path: Path, settings: dict[str, int], passages: int
) -> None:
    found = asked(stack := knowing(tmp_path, {"move.md": MOVE} | OTHERS, **settings))
    ids = [each.chunk.id for each in found.packed]
    assert sum(len(each.chunk.text) for each in found.packed) <= stack.settings.context_chars
    assert sum(each.chunk.key == "help/move.md" for each in found.packed) == passages
    assert len(set(ids)) == len(ids)
    assert {each.chunk.id for each in found.found.candidates}.issuperset(ids)


def test_a_rest_is_of_the_section_and_the_version_that_is_read(tmp_path: Path) -> None:
    move = f"{MOVE}\n## Afterwards\n\n- Look at it.\n"
    stack = knowing(tmp_path, {"move.md": move} | OTHERS, context_chunks=1)
    changed = move.replace("Open part 6", "Close part 6")
    write_tree(tmp_path / "tree", {"move.md": changed})
    run_sync(stack, tmp_path / "tree")
    own = [each.chunk for each in asked(stack).packed if each.chunk.key == "help/move.md"]
    assert any("Close part 6" in each.text for each in own)
    assert not any("Open part 6" in each.text or "Look at it" in each.text for each in own)


def test_a_rest_is_shown_to_those_alone_who_may_see_it(tmp_path: Path) -> None:
    stack = knowing(tmp_path, {"move.md": MOVE} | OTHERS, context_chunks=1)
    last = max(
        (each for each in index_of(stack).points.values() if each.chunk.key == "help/move.md"),
        key=lambda each: each.chunk.position,
    ).chunk
    stack.index.update_payload([replace(last, audience=("internal",))])
    assert last.id not in {each.chunk.id for each in asked(stack).packed}
    assert last.id in {each.chunk.id for each in asked(stack, ASKED, "internal").packed}


@pytest.mark.parametrize(
    ("before", "after", "one"),
    [
        ("1. Open it.\n2. Shut it.", "3. Go.", True),
        ("1. Open it.\n\n```\ncode\n```", "2. Shut it.", True),
        ("1. Open it.", "1. Another list.", False),
        ("- seats", "- logs", True),
        ("Each plan has:", "Ten seats.", True),
        ("Each plan has ten seats.", "- Another list.", False),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 3 | 4 |", True),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| c | d |\n|---|---|\n| 3 | 4 |", False),
        ("A paragraph.", "Another one.", False),
    ],
)
def test_what_is_cut_is_told_from_what_ends(before: str, after: str, one: bool) -> None:
    assert goes_on(before, after) == one


@st.composite
def lists_of_steps(draw: st.DrawFn) -> list[str]:
    """A list of steps, some with code below or bullets within, cut into passages."""
    texts: list[str] = []
    for n in range(1, draw(st.integers(2, 8)) + 1):
        below = draw(st.sampled_from(("", f"\n\n```\nrun {n}\n```\n", f"\n   - Or shut part {n}.")))
        step = f"{n}. Open part {n} now{':' if below.endswith('`' * 3 + chr(10)) else '.'}{below}"
        if draw(st.booleans()) and texts:
            texts[-1] += f"\n{step}"
        else:
            texts.append(step)
    return texts


@given(lists_of_steps(), st.integers(0, 7), st.randoms(use_true_random=False))
def test_steps_are_whole_and_in_order_wherever_they_are_cut(
    texts: list[str], fits: int, random: Random
) -> None:
    """Whichever passage fits best, and in whatever order they are packed."""
    found = [
        replace(each, chunk=replace(each.chunk, document="doc", position=place))
        for place, text in enumerate(texts)
        for each in [candidate(text, f"c{place}", 2.0 if place == fits else 1.0)]
    ]
    random.shuffle(found)
    question = asking("how do I open the parts")
    terms = terms_of(question.asked, found)
    draft = compose(found, question, terms, 120)
    said = verify(draft, found, terms, HOUSE)
    lines = [line for line in said.text.splitlines() if line[:1].isdigit()]
    whole = "\n".join(texts)
    assert [line.split(".")[0] for line in lines] == [str(n) for n in range(1, len(lines) + 1)]
    assert f"Open part {len(lines)} now" in whole
    assert f"Open part {len(lines) + 1} now" not in whole
    for n in range(1, len(lines) + 1):
        assert (f"run {n}\n" in whole) == (f"run {n}\n" in said.text)
        assert (f"shut part {n}." in whole) == (f"shut part {n}." in said.text)
    for citation in said.citations:
        assert citation.quote in next(
            each.chunk.text for each in found if each.chunk.id == citation.chunk
        )
