"""What a reply is made from: how much of it, and that nothing is said twice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.answer.pipeline import Parts
from tests.services.answer.asking import hear, knowing, on_record, with_settings


def packed(parts: Parts, **settings: int) -> list[str]:
    heard = asyncio.run(hear(with_settings(parts, **settings), stay=True))
    return on_record(parts.stack, heard.done.answer_id).packed


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with knowing(tmp_path) as parts:
        yield parts


def test_a_setting_says_how_many_passages_a_reply_is_made_from(parts: Parts) -> None:
    every = packed(parts)
    assert len(every) > 1
    assert packed(parts, context_chunks=1) == every[:1]


def test_a_setting_says_how_long_they_may_be_and_the_best_is_always_there(parts: Parts) -> None:
    assert packed(parts, context_chars=200) == packed(parts)[:1]
