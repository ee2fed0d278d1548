"""What the sources say is read before anybody asks, where a server is told to."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

from services.answer.generate.ladder import Ladder
from services.answer.generate.sentences import Sentences
from services.answer.housekeeping import behind_the_scenes, read_ahead
from tests.fakes import HashingEmbedder
from tests.servers import wait_until
from tests.services.answer.asking import QUESTION, hear, knowing, with_settings


def test_then_an_answer_needs_the_meaning_of_its_question_alone(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    with knowing(tmp_path) as parts:
        ladder = Ladder(parts.house, parts.decider, sentences=Sentences(embedder))
        parts = replace(parts, ladder=ladder)
        read_ahead(parts, threading.Event())
        known = set(embedder.embedded)
        assert any("12 hours" in text for text in known)
        heard = asyncio.run(hear(parts))
        assert "12 hours" in heard.done.text
        new = [text for text in embedder.embedded if text not in known]
        words = {word.strip("?").lower() for word in QUESTION.split()}
        assert {text.lower() for text in new} <= words | {QUESTION.lower()}


def test_it_is_read_once_the_server_has_started_and_only_where_told_to(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    with knowing(tmp_path) as parts:
        ladder = Ladder(parts.house, parts.decider, sentences=Sentences(embedder))
        parts = replace(parts, ladder=ladder)
        with behind_the_scenes(parts):
            pass
        assert not embedder.embedded
        with behind_the_scenes(with_settings(parts, read_ahead=True)):
            wait_until(lambda: any("12 hours" in text for text in embedder.embedded), "it is read")


def test_it_stops_when_the_server_does(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    with knowing(tmp_path) as parts:
        stop = threading.Event()
        stop.set()
        read_ahead(replace(parts, ladder=Ladder(parts.house, parts.decider,
                                                sentences=Sentences(embedder))), stop)  # fmt: skip
    assert not embedder.embedded
