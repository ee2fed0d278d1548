"""Splitting: nothing lost, nothing over the budget, the same every time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.extract import Block, Section, extract
from ingestion.sources import Fetched
from ingestion.sync.split import MIN_ROOM, Budget, ChunkText, TokenCounter, split
from tests.fakes import HashingEmbedder
from twofold.text import blocks as prose

count = HashingEmbedder().count_tokens

words = st.text(st.sampled_from("abcdeß.!?:*-|#`"), min_size=1, max_size=9)
lines = st.lists(words, min_size=1, max_size=30).map(" ".join)
paragraphs = st.lists(lines, min_size=1, max_size=8).map(
    lambda parts: Block("paragraph", ". ".join(parts))
)
lists = st.lists(lines, min_size=1, max_size=12).map(
    lambda items: Block("list", "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1)))
)
codes = st.lists(
    lines.filter(lambda line: not line.startswith("```")), min_size=1, max_size=20
).map(lambda rows: Block("code", "```\n" + "\n".join(rows) + "\n```"))
quotes = st.lists(lines, min_size=1, max_size=8).map(
    lambda rows: Block("quote", "\n".join(f"> {row}" for row in rows))
)
blocks = st.one_of(paragraphs, lists, codes, quotes)
cells = st.text(st.sampled_from("abc "), max_size=20).map(str.strip)


@st.composite
def tables(draw: st.DrawFn) -> Block:
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=20))
    texts = ["| " + " | ".join(row) + " |" for row in rows]
    return Block("table", "\n".join([texts[0], "|" + " --- |" * width, *texts[1:]]))


@st.composite
def documents(draw: st.DrawFn, kinds: st.SearchStrategy[Block] = blocks) -> list[Section]:
    found = draw(st.lists(st.lists(kinds, min_size=1, max_size=6), min_size=1, max_size=4))
    return [Section((f"Part {n}",), tuple(some), n) for n, some in enumerate(found)]


budgets = st.integers(MIN_ROOM, 120).map(lambda chunk: Budget(chunk, 256))


def cut(sections: list[Section], budget: Budget) -> list[ChunkText]:
    return split("Title", sections, budget, TokenCounter(count))


def unfenced(text: str) -> str:
    """Without the lines of fences, which the pieces of code repeat."""
    return re.sub(r"(?m)^```$", "", text)


def letters(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.heavy
@settings(max_examples=150)
@given(documents(), budgets)
def test_chunks_in_order_are_the_section(sections: list[Section], budget: Budget) -> None:
    pieces = cut(sections, budget)
    for section in sections:
        own = [piece.text for piece in pieces if piece.heading_path == section.heading_path]
        # Whole words too: these are all shorter than the budget.
        assert unfenced("\n".join(own)).split() == unfenced(section.text).split()


@pytest.mark.heavy
@settings(max_examples=150)
@given(documents(st.one_of(blocks, tables())), budgets)
def test_no_chunk_is_over_the_budget(sections: list[Section], budget: Budget) -> None:
    for piece in cut(sections, budget):
        assert 0 < count([piece.text])[0] <= budget.chunk


@pytest.mark.heavy
@settings(max_examples=100)
@given(documents(st.one_of(blocks, tables())), budgets)
def test_splitting_is_deterministic(sections: list[Section], budget: Budget) -> None:
    assert cut(sections, budget) == cut(list(sections), budget)


@pytest.mark.heavy
@settings(max_examples=100)
@given(documents(tables()), budgets)
def test_every_row_of_a_table_stays_under_its_header(
    sections: list[Section], budget: Budget
) -> None:
    pieces = cut(sections, budget)
    for section in sections:
        own = [piece.text for piece in pieces if piece.heading_path == section.heading_path]
        for block in section.blocks:
            header, rule, *rows = block.text.split("\n")
            if 2 * count([f"{header}\n{rule}"])[0] > budget.chunk:
                continue  # Repeating such a header would leave no room for the rows.
            for row in rows:
                if count([f"{header}\n{rule}\n{row}"])[0] > budget.chunk:
                    continue  # Such a row is cut between words.
                holders = [text for text in own if row in text.split("\n")]
                assert holders
                assert any(f"{header}\n{rule}" in text for text in holders)


@pytest.mark.heavy
@settings(max_examples=100)
@given(documents(codes), budgets)
def test_every_piece_of_code_stands_between_fences(sections: list[Section], budget: Budget) -> None:
    for piece in cut(sections, budget):
        found = prose.blocks(piece.text)
        assert {block.kind for block in found} == {"code"}
        assert piece.text.startswith("```\n")
        assert piece.text.endswith("\n```")


@pytest.mark.heavy
@settings(max_examples=60)
@given(documents(), st.integers(0, 3), budgets)
def test_an_edit_in_one_section_leaves_the_others(
    sections: list[Section], at: int, budget: Budget
) -> None:
    at %= len(sections)
    edited = list(sections)
    edited[at] = sections[at]._replace(blocks=(Block("paragraph", "Something else."),))
    path = sections[at].heading_path
    before = [piece for piece in cut(sections, budget) if piece.heading_path != path]
    assert before == [piece for piece in cut(edited, budget) if piece.heading_path != path]


def test_a_chunk_never_crosses_a_heading() -> None:
    sections = [Section(("A",), (Block("paragraph", "a"),), 1)]
    sections.append(Section(("B",), (Block("paragraph", "b"),), 3))
    assert cut(sections, Budget(200, 256)) == [(("A",), "a"), (("B",), "b")]


def test_small_neighbours_share_a_chunk_and_what_fits_stays_whole() -> None:
    steps = Block("list", "\n".join(f"{n}. step {n}" for n in range(1, 10)))
    section = Section((), (Block("paragraph", "To do this:"), steps), 1)
    assert cut([section], Budget(200, 256)) == [((), section.text)]


def test_a_lead_in_goes_along_with_what_it_introduces() -> None:
    filler = Block("paragraph", " ".join(["word"] * 30))
    lead = Block("paragraph", "To do this:")
    steps = Block("list", "\n".join(f"{n}. step" for n in range(1, 10)))
    pieces = cut([Section((), (filler, lead, steps), 1)], Budget(40, 256))
    assert [piece.text for piece in pieces] == [filler.text, f"{lead.text}\n\n{steps.text}"]


def test_a_long_list_is_cut_between_items_with_what_hangs_below() -> None:
    text = "\n".join(f"{n}. do it\n   - because\n   - of that" for n in range(1, 20))
    pieces = cut([Section((), (Block("list", text),), 1)], Budget(40, 256))
    assert all(re.match(r"\d+\. do it", piece.text) for piece in pieces)
    assert all(piece.text.endswith("of that") for piece in pieces)


def test_a_long_word_is_cut_between_characters() -> None:
    embedder = HashingEmbedder()
    count_letters = lambda texts: [len(letters(text)) for text in texts]  # noqa: E731
    section = Section((), (Block("paragraph", "x" * 500),), 1)
    pieces = split("", [section], Budget(40, 256), TokenCounter(count_letters))
    assert "".join(letters(piece.text) for piece in pieces) == "x" * 500
    assert max(len(piece.text) for piece in pieces) <= 40
    assert embedder.embedded == []


def test_a_long_heading_path_leaves_room_in_the_embedding() -> None:
    path = (" ".join(["heading"] * 150),)
    section = Section(path, (Block("paragraph", "word. " * 300),), 1)
    for piece in cut([section], Budget(200, 256)):
        assert count([" > ".join(["Title", *path]) + "\n" + piece.text])[0] + 2 <= 256


def test_each_text_is_counted_once_and_all_blocks_in_one_call() -> None:
    calls: list[list[str]] = []

    def counting(texts: list[str]) -> list[int]:
        calls.append(list(texts))
        return count(texts)

    tokens = TokenCounter(counting)  # type: ignore[arg-type]
    sections = [Section((f"{n}",), (Block("paragraph", f"text {n}"),), n) for n in range(9)]
    for _ in range(3):
        split("Title", sections, Budget(200, 256), tokens)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["md", "html"])
def test_a_table_cut_in_a_document_repeats_its_header(kind: str) -> None:
    if kind == "md":
        rows = "\n".join(f"| {n} | word word word |" for n in range(60))
        raw, media_type = f"| No | What |\n|---|---|\n{rows}\n", "text/markdown"
    else:
        rows = "".join(f"<tr><td>{n}</td><td>word word word</td></tr>" for n in range(60))
        raw, media_type = f"<table><tr><th>No</th><th>What</th></tr>{rows}</table>", "text/html"
    extracted = extract("a", Fetched(raw.encode(), media_type))
    pieces = split("a", extracted.sections, Budget(100, 256), TokenCounter(count))
    assert len(pieces) > 3
    assert all(piece.text.startswith("| No | What |\n|") for piece in pieces)


def test_code_cut_in_a_document_keeps_its_language() -> None:
    rows = "\n".join(f"step_{n}(word, word)" for n in range(60))
    text = f"Run this:\n\n```python\n{rows}\n```\n\nThen wait.\n"
    extracted = extract("a", Fetched(text.encode(), "text/markdown"))
    first, *rest = split("a", extracted.sections, Budget(100, 256), TokenCounter(count))
    assert first.text.startswith("Run this:\n\n```python\nstep_0(")
    assert all(piece.text.startswith("```python\nstep_") for piece in rest)
    assert rest[-1].text.endswith(")\n```\n\nThen wait.")
