"""The cross-encoder on this machine's CPU."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.answer.search.rerank import open_reranker
from tests.cross_encoder import write_cross_encoder
from twofold.clients.rerank import OnnxReranker
from twofold.errors import SetupError, UpstreamError
from twofold.settings import Settings

WORDS = "roll a signing secret download the invoice every month"


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> OnnxReranker:
    return OnnxReranker.open(write_cross_encoder(tmp_path_factory.mktemp("model"), WORDS), 2)


def scores(reranker: OnnxReranker, query: str, *texts: str, seconds: float = 30) -> list[float]:
    return asyncio.run(reranker.scores(query, texts, deadline=time.monotonic() + seconds))


def test_each_text_is_read_with_the_question(reranker: OnnxReranker) -> None:
    none, one, two = scores(
        reranker, "signing secret", "download the invoice", "a secret", "roll a signing secret"
    )
    assert none == 0.5
    assert 0.5 < one < two < 1


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from(WORDS.split()), max_size=700).map(" ".join), min_size=1))
def test_texts_of_any_length_keep_their_places(reranker: OnnxReranker, texts: list[str]) -> None:
    together = scores(reranker, "invoice", *texts)
    assert together == [scores(reranker, "invoice", text)[0] for text in texts]


def test_a_long_question_leaves_room_for_the_text(reranker: OnnxReranker) -> None:
    asked = "month " * 3000 + "secret"
    with_it, without = scores(reranker, asked, "roll a secret", "roll a")
    assert with_it > without


def test_two_classes_and_no_segments_are_read_as_well(tmp_path: Path) -> None:
    two = OnnxReranker.open(write_cross_encoder(tmp_path / "two", WORDS, classes=2), 1)
    best, other = scores(two, "secret", "a secret", "invoice")
    assert best > other == 0.5
    plain = OnnxReranker.open(write_cross_encoder(tmp_path / "plain", WORDS, segments=False), 1)
    short, long = scores(plain, "secret", "a", "a secret")
    assert long > short


def test_no_time_left_is_a_failure_of_the_reranker(reranker: OnnxReranker) -> None:
    with pytest.raises(UpstreamError, match="too long"):
        scores(reranker, "secret", "a secret", seconds=-1)
    assert scores(reranker, "secret", "a secret")[0] > 0.5, "and the next question is served"


def test_a_folder_without_a_cross_encoder_says_what_it_must_hold(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"model\.onnx and\s+tokenizer\.json"):
        OnnxReranker.open(tmp_path)
    folder = write_cross_encoder(tmp_path / "cut", WORDS)
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(SetupError, match="cannot be read"):
        OnnxReranker.open(folder)


def test_a_model_that_takes_something_else_is_refused(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path, WORDS)
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data.replace(b"attention_mask", b"decoder_states"))
    with pytest.raises(SetupError, match="also takes decoder_states"):
        OnnxReranker.open(folder)


def test_server_and_folder_together_are_a_mistake(tmp_path: Path) -> None:
    both = Settings(reranker_url="http://127.0.0.1:1", reranker_folder=tmp_path)
    with pytest.raises(SetupError, match="Keep one"):
        open_reranker(both)
    assert open_reranker(Settings()) is None
