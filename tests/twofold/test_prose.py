"""Blocks and sentences are literal spans: nothing lost, nothing invented."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from twofold.text.blocks import blocks, items, parts, plain, sentences

lines = st.sampled_from(
    ["A sentence. Another one!", "- item one", "  more of it", "1. Step", "| a | b |", "|---|---|",
     "```", "x = 1", "", "> **Note:** mind this.", "Prices are e.g. 49. Next: 5."]
)  # fmt: skip
texts = st.lists(lines, max_size=15).map("\n".join)


@given(texts)
def test_blocks_cover_every_word_in_order(text: str) -> None:
    spans = [block.span for block in blocks(text)]
    assert " ".join(text[s.start : s.end] for s in spans).split() == text.split()
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))


@given(texts)
def test_parts_cover_every_word_of_their_block_but_its_fences(text: str) -> None:
    for block in blocks(text):
        said = " ".join(text[s.start : s.end] for s in parts(text, block)).split()
        whole = text[block.span.start : block.span.end].split()
        if block.kind == "code" and whole != said:
            said = ["```", *said, *(["```"] if whole[-1] == "```" and len(whole) > 1 else [])]
        assert said == whole


def test_code_is_quoted_without_its_fences() -> None:
    text = "Run:\n\n```sh\nbw login\n\nbw up\n```\n\nThen wait."
    said = [text[s.start : s.end] for block in blocks(text) for s in parts(text, block)]
    assert said == ["Run:", "bw login\n\nbw up", "Then wait."]


def test_sentences_keep_their_marks_and_respect_abbreviations() -> None:
    text = "Use a key, e.g. Bw_live. It lasts 24 hours. [1] Then rotate it."
    assert [text[s.start : s.end] for s in sentences(text)] == [
        "Use a key, e.g. Bw_live.",
        "It lasts 24 hours. [1]",
        "Then rotate it.",
    ]


def test_milliseconds_end_a_sentence() -> None:
    assert len(sentences("It answers in 50 ms. A lane holds 10,000 events.")) == 2


def test_a_day_before_its_month_ends_no_sentence() -> None:
    assert len(sentences("Codes per SMS gibt es seit dem 1. Februar 2026 nicht mehr.")) == 1


def test_a_list_item_keeps_its_continuation() -> None:
    text = "1. Open it.\n   It is under Settings.\n2. Close it."
    (block,) = blocks(text)
    spans = items(text, block.span)
    assert [text[s.start : s.end] for s in spans] == [
        "1. Open it.\n   It is under Settings.",
        "2. Close it.",
    ]


def test_a_table_and_the_paragraph_above_it_are_two_blocks() -> None:
    assert [b.kind for b in blocks("Limits:\n\n| a |\n|---|\n| 1 |\n\nAfter.")] == [
        "paragraph", "table", "paragraph",
    ]  # fmt: skip


def test_plain_drops_addresses_and_keeps_words() -> None:
    assert plain('> **Note:** See [the guide](../a(b).md "t") and ![shot](x.png).') == (
        "**Note:** See the guide and shot."
    )
