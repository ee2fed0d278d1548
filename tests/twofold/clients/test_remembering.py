"""A text is embedded once, however often it is asked for; and the vectors stay what they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import HashingEmbedder
from twofold.clients import embedder
from twofold.clients.embedder import FEW, CachingEmbedder

TEXTS = st.lists(st.sampled_from([f"text number {n}" for n in range(8)]), max_size=FEW)


@given(st.lists(TEXTS, max_size=6))
def test_vectors_are_those_of_the_embedder_and_no_text_is_embedded_twice(
    calls: list[list[str]],
) -> None:
    inner, plain = HashingEmbedder(), HashingEmbedder()
    remembering = CachingEmbedder(inner)
    for texts in calls:
        found = remembering.embed(texts)
        assert found.shape == (len(texts), plain.dimension)
        np.testing.assert_array_equal(found, plain.embed(texts))
    assert len(inner.embedded) == len(set(inner.embedded))


def test_what_was_asked_for_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "REMEMBERED", 2)
    inner = HashingEmbedder()
    remembering = CachingEmbedder(inner)
    for text in ("a", "b", "a", "c", "a", "b"):
        remembering.embed([text])
    assert inner.embedded == ["a", "b", "c", "b"]


def test_an_ingests_texts_push_no_question_out() -> None:
    inner = HashingEmbedder()
    remembering = CachingEmbedder(inner)
    remembering.embed(["a question"])
    many = [f"sentence {n}" for n in range(FEW + 1)]
    remembering.embed(many)
    remembering.embed(many)
    remembering.embed(["a question"])
    assert inner.embedded == ["a question", *many, *many]
