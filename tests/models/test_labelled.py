from pathlib import Path

import pytest

from models.evaluate.labelled import load_labelled
from twofold.errors import InvalidInput, NotFound

CORPUS = (
    '{"id": "d1", "title": "Fees", "text": "It costs 5."}\n'
    '{"id": "d2", "doc_id": "D", "title": "Card", "heading": "Lost", "markdown": "# Call us"}\n'
)
QUERIES = (
    '{"id": "q1", "text": "how much", "split": "tune"}\n'
    '{"id": "q2", "text": "and if lost?", "split": "report",'
    ' "history": [{"role": "user", "text": "a card"}, {"role": "agent", "text": "yes"}]}\n'
    '{"id": "q3", "text": "unknown", "split": "report"}\n'
)
QRELS = "q1\t0\td1\t1\nq2\t0\td2\t2\nq2\t0\td1\t0\n"
BROKEN = {
    "corpus is not json": ("corpus.jsonl", "{", r"corpus\.jsonl: line 1 is not JSON"),
    "corpus has no objects": ("corpus.jsonl", "[]", "line 1 is not a JSON object"),
    "empty corpus": ("corpus.jsonl", "", "is empty"),
    "document without text": ("corpus.jsonl", '{"id": "d1"}', "line 1 has no 'text'"),
    "document twice": ("corpus.jsonl", CORPUS + CORPUS, "line 3: id 'd1' is there twice"),
    "labels of another corpus": ("qrels.tsv", "q1\t0\td9\t1", "name document 'd9'.*--corpus"),
    "labels not TREC": ("qrels.tsv", "q1 0 d1 1", "line 1 is not `query<TAB>0"),
    "labels of other queries": ("qrels.tsv", "x\t0\td1\t1", "Of 3 queries"),
    "query without text": ("queries.jsonl", '{"id": "q1"}', "line 1 has no 'text'"),
    "broken history": (
        "queries.jsonl", '{"id": "q1", "text": "t", "history": ["hi"]}', "each turn of `history`",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.tsv").write_text(QRELS)
    return tmp_path


def test_queries_come_with_their_labels_and_without_are_counted(folder: Path) -> None:
    labelled = load_labelled(folder)
    assert [query.id for query in labelled.queries] == ["q1", "q2"]
    assert labelled.unlabelled == 1
    first, second = labelled.queries
    assert (first.grades, first.cluster) == ({"d1": 1}, "d1")
    assert second.cluster == "D"
    assert [turn.role for turn in second.history] == ["user", "assistant"]


def test_a_title_is_the_path_of_headings(folder: Path) -> None:
    plain, marked = load_labelled(folder).corpus
    assert (plain.title, plain.markdown) == ("Fees", False)
    assert (marked.title, marked.markdown) == ("Card > Lost", True)


def test_a_split_keeps_its_own_queries(folder: Path) -> None:
    assert [query.id for query in load_labelled(folder, split="tune").queries] == ["q1"]
    with pytest.raises(InvalidInput, match="no queries of split 'x'"):
        load_labelled(folder, split="x")


def test_the_only_labels_are_found_and_several_must_be_chosen_from(folder: Path) -> None:
    (folder / "qrels.tsv").rename(folder / "qrels_doc.tsv")
    assert len(load_labelled(folder).queries) == 2
    (folder / "qrels_section.tsv").write_text(QRELS)
    with pytest.raises(InvalidInput, match=r"qrels_doc\.tsv, qrels_section\.tsv\. Choose"):
        load_labelled(folder)
    assert len(load_labelled(folder, qrels="qrels_doc.tsv").queries) == 2


def test_equal_corpora_have_equal_digests(folder: Path) -> None:
    before = load_labelled(folder).digest
    assert load_labelled(folder, split="tune").digest == before
    (folder / "corpus.jsonl").write_text(CORPUS.replace("5", "6"))
    assert load_labelled(folder).digest != before


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named_with_its_option(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(NotFound, match=f"{name}. Name the file with --{name.partition('.')[0]}"):
        load_labelled(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no folder"):
        load_labelled(tmp_path / "nothing")


@pytest.mark.parametrize(("name", "text", "error"), BROKEN.values(), ids=BROKEN)
def test_broken_data_says_where(folder: Path, name: str, text: str, error: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(InvalidInput, match=error):
        load_labelled(folder)
