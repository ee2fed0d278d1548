"""Help centers of many kinds with questions to them, for leave-one-out answerability.

A question whose pages are known is asked twice: of the whole corpus, which answers it, and of the
corpus without those pages, which cannot. What remains is related, as it is in life. Nobody has to
label anything. Some questions are known to have no answer in the first place.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import yaml

from models.evaluate.labelled import LabelledTurn, Text
from models.jsonl import read_jsonl
from models.suite.suite import load_suite
from tools.matcher.centers import DEV_CENTERS, load_center
from twofold.policy import NOT_IN_SOURCES

QUESTIONS = Path(__file__).with_name("questions.yaml")
EXAMPLE = Path(__file__).parents[2] / "examples/brackwater"
CUSTOMER = EXAMPLE / "customer"
PAGES_KEPT = 420
"""Pages (of question and answer pairs) that a corpus takes from a large source."""
PASSAGES_WEIGH = 0.25


class Case(NamedTuple):
    """A question; `gold`: ids of the documents that answer it, none where none does. `cluster`:
    what its answer is a part of, so that cases about one page are one piece of evidence. `not_by`:
    documents that people looked at, and that do not answer it."""

    id: str
    question: str
    history: tuple[LabelledTurn, ...]
    gold: frozenset[str]
    cluster: str
    not_by: frozenset[str] = frozenset()


class Corpus(NamedTuple):
    """`weight` in the fit: more where the questions were written and checked by hand, less where
    crowd workers wrote turns, or where loose passages were made a corpus of. 0: the corpus only
    says what given passages hold, not what a search finds. `unread`: the matcher was not trained
    on it."""

    name: str
    texts: tuple[Text, ...]
    cases: tuple[Case, ...]
    weight: float = 1.0
    unread: bool = False


def corpora(data: Path) -> Iterator[Corpus]:
    """The example company, and every corpus that the folder of third-party data gives."""
    yield example(EXAMPLE)
    yield doc2dial(data / "retrieval_doc2dial")
    yield written("magento", data / "helpcenter_magento", "magento.jsonl")
    yield written("github", data / "policies_github", "policies.jsonl")
    for name in DEV_CENTERS:
        yield made_up(name)
    pairs = data / "pairs_qa"
    yield from_pairs("docs", pairs / "pairs_support.jsonl", ("msdocs", "sendgrid", "sinricpro"))
    yield from_pairs("medquad", pairs / "pairs_medical.jsonl", ("medquad",))
    yield from_pairs("squad2", pairs / "pairs_squad2.jsonl", ("squad2_train",), 40, 0.0)
    yield from_pairs("sharc", pairs / "pairs_support.jsonl", ("or_sharc",))


def example(folder: Path) -> Corpus:
    """The example company's public pages of today, with the tune half of its suites."""
    pages = folder / "help-center"
    texts = []
    for path in sorted(pages.glob("[aiprt]*/*.md")):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        about = yaml.safe_load(front)
        if "public" in about.get("audience", ("public",)) and "expires_at" not in about:
            id = path.relative_to(pages).as_posix()
            texts.append(Text(id, about["title"], body, True, id))
    cases = [
        Case(row.id, row.question, (), frozenset(row.expect.documents), row.id)
        for row in load_suite(folder / "eval", "tune")
        if not (row.history or row.as_of) and row.audience == "public" and row.locale != "de"
        if row.expect.action == "ANSWER" or row.expect.reason == NOT_IN_SOURCES
    ]
    known = yaml.safe_load((folder / "calibration.yaml").read_text(encoding="utf-8"))
    cases += [Case(text, text, (), frozenset(), text) for text in known["gaps"]]
    for row in known["answerable"]:
        gold = frozenset({row["document"]})
        cases.append(Case(row["question"], row["question"], (), gold, row["question"]))
    cases += _from_customers(folder / "customer" / "suite.jsonl", lambda page: page)
    ids = {text.id for text in texts}
    return Corpus(
        "example", tuple(texts), tuple(c for c in cases if c.gold <= ids), 3.0, unread=True
    )


def doc2dial(folder: Path) -> Corpus:
    """The tune half's turns, with the turns before them, against whole pages."""
    texts = tuple(
        Text(row["id"], row["title"], row["text"], False, row["id"])
        for _, row in read_jsonl(folder / "corpus.jsonl")
    )
    same: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        same[text.body].add(text.id)
    twins = {id: frozenset(ids) for ids in same.values() for id in ids}
    cases = tuple(
        Case(
            row["id"],
            row["text"],
            _history(row["history"]),
            twins[row["grounding"]["doc_id"]],
            row["grounding"]["doc_id"],
        )
        for _, row in read_jsonl(folder / "queries.jsonl")
        if row["split"] == "tune"
    )
    return Corpus("doc2dial", texts, cases, 0.4)


def written(name: str, folder: Path, suite: str) -> Corpus:
    """A tree of help pages, the questions that were written to it, and the tune half of those that
    the customer suite asks of it alone."""
    texts = tuple(
        Text(row["id"], row["title"], row["markdown"], True, row["id"])
        for _, row in read_jsonl(folder / "corpus.jsonl")
    )
    cases = []
    for at, row in enumerate(yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))[name]):
        parts = row.get("gold", ())
        gold = frozenset(text.id for text in texts if any(part in text.id for part in parts))
        cases.append(Case(f"{name}-{at}", row["ask"], (), gold, f"{name}-{at}"))
    cases += _from_customers(
        CUSTOMER / suite,
        lambda page: page.partition("/current/")[2].removesuffix(".md").replace("/", "-"),
    )
    return Corpus(name, texts, tuple(cases), unread=True)


def made_up(name: str) -> Corpus:
    """A help center that was written for the matcher, and kept from its training."""
    center = load_center(name)
    texts = tuple(
        Text(slug, text.partition("\n")[0].lstrip("# "), text.partition("\n")[2], True, slug)
        for slug, text in center["pages"].items()
    )
    cases = tuple(
        Case(
            f"{name}-{at}",
            row["question"],
            tuple(LabelledTurn("user", text) for text in row["history"]),
            frozenset(answer["page"] for answer in row["answers"]),
            row["answers"][0]["page"] if row["answers"] else row["near"],
        )
        for at, row in enumerate(center["questions"])
    )
    return Corpus(name, texts, cases, unread=True)


def from_pairs(
    name: str,
    path: Path,
    sources: tuple[str, ...],
    pages: int = PAGES_KEPT,
    weight: float = PASSAGES_WEIGH,
) -> Corpus:
    """Question and answer pairs as a help center: each passage is a document, and the others of its
    page remain where it is taken out."""
    rows = [row for _, row in read_jsonl(path) if row["source"].startswith(sources)]
    kept = set(sorted({row["group"] for row in rows}, key=_shuffled)[:pages])
    rows = [row for row in rows if row["group"] in kept and row["split"] == "train"]
    ids = {
        key: f"{name}-{at}"
        for at, key in enumerate(dict.fromkeys((r["group"], r["passage"]) for r in rows))
    }
    titles = {(row["group"], row["passage"]): row.get("title") or "" for row in rows}
    texts = tuple(Text(id, titles[key], key[1], False, key[0]) for key, id in ids.items())
    labelled: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    histories = {}
    for row in rows:
        asked = (row["group"], row["question"])
        histories[asked] = _history(row.get("history", ()))
        labelled[asked][ids[row["group"], row["passage"]]] = bool(row["label"])
    cases = tuple(
        Case(
            f"{name}-q{at}",
            asked[1],
            histories[asked],
            frozenset(id for id, label in labelled[asked].items() if label),
            asked[0],
            frozenset(id for id, label in labelled[asked].items() if not label),
        )
        for at, asked in enumerate(sorted(labelled))
        if weight == 0 or any(labelled[asked].values())
    )
    return Corpus(name, texts, cases, weight)


def _from_customers(suite: Path, id_of: Callable[[str], str]) -> Iterator[Case]:
    """The first turns of a customer suite's tune half, in English."""
    for _, row in read_jsonl(suite):
        if row["split"] != "tune" or row["turn"] > 1 or row["audience"] or row["locale"] != "en":
            continue
        if row["action"] == "ANSWER" or "unanswerable" in row["tags"]:
            gold = frozenset(map(id_of, row["gold"]))
            yield Case(row["id"], row["message"], (), gold, row["id"])


def _history(turns: Sequence[dict[str, str]]) -> tuple[LabelledTurn, ...]:
    return tuple(
        LabelledTurn("user" if turn["role"] == "user" else "assistant", turn["text"])
        for turn in turns
    )


def _shuffled(name: str) -> str:
    return sha256(name.encode()).hexdigest()
