"""How much that is false does verification take out, and how much that is true?

    .venv/bin/python -m benchmarks.verify [--doc2dial FOLDER [--split tune|report]]

True sentences: those of the example company's approved replies, each with the section that it was
written from; with `--doc2dial` also what people wrote as agents, with the labelled section before
them (some of it is conversation rather than claim, and some is wrong). From each that words alone
take for true, false ones are made:

- number: one of its numbers becomes another one of the same section;
- negated, affirmed: a negation is put in, or taken out;
- shuffled: its own words in any order;
- elsewhere: what was said of another section.

Each is judged by the service's verifier with its section as the one cited chunk; once more by the
words and numbers alone, as verification was before it knew the wording. Prints a table, and last
one line of JSON: of each kind the share that was taken out.
"""

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from rich.table import Table

from benchmarks.harness import publish
from ingestion.extract import extract
from ingestion.sources import Fetched
from services.answer.contract import Candidate, Found
from services.answer.search.pack import Terms
from services.answer.verify import Sources, Verifier
from twofold.house_file import load_house
from twofold.index.contract import Chunk, SparseVector
from twofold.index.sparse import Bm25Encoder
from twofold.reply import marks, strip_marks
from twofold.text.numbers import numbers
from twofold.text.statements import Statement, statements

EXAMPLE = Path("examples/brackwater")
HOUSE = load_house(EXAMPLE / "house.yaml")
SPARSE = Bm25Encoder()
MIN_SHUFFLED = 6
HALF = 0.5
TRUE = "true, taken out"

_NUMBER = re.compile(r"(?<![\w.])[$€£]?\d+(?:[.,:]\d+)*%?")
_NEGATION = re.compile(r"\b(?:not|never|cannot|nicht)\b", re.IGNORECASE)
_ANY_NEGATION = re.compile(r"\b(?:no|not|never|cannot|nicht|kein\w*|nie)\b|n't\b", re.IGNORECASE)
_VERBS = (
    (r"\b(is|are|can|may|will|must|does)\b", r"\1 not"),
    (r"\b(ist|sind|kann|können|wird|werden|muss)\b", r"\1 nicht"),
)


class Section(NamedTuple):
    heading: tuple[str, ...]
    """Title first."""
    text: str
    locale: str


class Said(NamedTuple):
    sentence: str
    section: Section


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--doc2dial", type=Path)
    parser.add_argument("--split", default="report")
    args = parser.parse_args()
    sets = {"approved replies": list(approved())}
    if args.doc2dial:
        sets[f"doc2dial, {args.split}"] = list(agents(args.doc2dial, args.split))
    result, tables = {}, []
    for name, said in sets.items():
        result[name] = measure(said)
        table = Table("sentences", "number", "by words alone", "as served", title=name)
        for kind, row in result[name].items():
            table.add_row(kind, str(row["n"]), *(f"{row[how]:.3f}" for how in ("words", "served")))
        tables.append(table)
    publish("verify", result, *tables)


def measure(said: Sequence[Said]) -> dict[str, Any]:
    """Kind -> how many, and the share that each way of judging takes out. False sentences are made
    of those that words alone let pass."""
    kinds: dict[str, list[Said]] = {TRUE: list(said)}
    rng = random.Random(1)
    passed = [each for each in said if not by_words(each)]
    for each in passed:
        for kind, make in FAULTS.items():
            made = make(each, passed, rng)
            if made is not None:
                kinds.setdefault(kind, []).append(Said(made, each.section))
    return {
        kind: {
            "n": len(cases),
            "words": round(float(np.mean([bool(by_words(case)) for case in cases])), 4),
            "served": round(float(np.mean([bool(as_served(case)) for case in cases])), 4),
        }
        for kind, cases in kinds.items()
    }


def as_served(said: Said) -> str:
    """The problem that the service finds, if any; what is no more than a mark says nothing."""
    verifier = Verifier(sources_of(said.section), HOUSE)
    verifier.take(Statement(f"{said.sentence} [1]", "", "paragraph"))
    verdicts = verifier.verified().verdicts
    return verdicts[0].problem if verdicts else "empty"


def by_words(said: Said) -> bool:
    """Whether under half of the sentence's content words stand in the section, or a number does
    not."""
    figures = numbers(said.sentence, said.section.locale)
    return holds(said.section, said.sentence) < HALF or not figures <= numbers(
        whole(said.section), said.section.locale
    )


def holds(section: Section, sentence: str) -> float:
    """Share (0..1) of the sentence's content words that stand in the section."""
    said, held = (SPARSE.terms(text, section.locale) for text in (sentence, whole(section)))
    return len(said & held) / len(said) if said else 1.0


def whole(section: Section) -> str:
    return " > ".join(section.heading) + f"\n{section.text}"


def sources_of(section: Section) -> Sources:
    title, *path = section.heading
    chunk = Chunk(
        "", "", "", "", "", 1, title, tuple(path), section.text, position=0, locale=section.locale
    )
    nothing = Found((), np.zeros(1, np.float32), SparseVector([], []))
    return Sources([Candidate(chunk, 1, 1, 1, 1, 1)], Terms(SPARSE, section.locale, nothing))


# --- true sentences -----------------------------------------------------------------------------


def approved() -> Iterator[Said]:
    """Each cited sentence with that section of its document which holds most of it."""
    for dialogue in yaml.safe_load((EXAMPLE / "dialogues/approved.yaml").read_text("utf-8")):
        documents = [list(sections(name, dialogue["locale"])) for name in dialogue["documents"]]
        for each in statements(dialogue["reply"]["text"]):
            cited = [n for n in marks(each.text) if n <= len(documents)]
            bare = strip_marks(each.text)
            if cited and bare.strip() and not each.whole:
                yield Said(bare, max(documents[cited[0] - 1], key=lambda s: holds(s, bare)))


def sections(name: str, locale: str) -> Iterator[Section]:
    raw = (EXAMPLE / "help-center" / name).read_bytes()
    found = extract(name, Fetched(raw, "text/markdown"))
    for section in found.sections:
        yield Section((found.title, *section.heading_path), section.text, locale)


def agents(folder: Path, split: str) -> Iterator[Said]:
    """Sentences of the turn that answered a labelled query, as the next one's history has it."""
    known = {row["id"]: row for row in lines(folder / "sections.jsonl")}
    labels = [row.split("\t") for row in (folder / "qrels_section.tsv").read_text().splitlines()]
    gold = {query: section for query, _, section, _ in labels}
    queries = [row for row in lines(folder / "queries.jsonl") if row["split"] == split]
    asked = {(row["id"].rsplit("_", 1)[0], len(row["history"])): row for row in queries}
    for row in queries:
        talk = row["history"]
        before = asked.get((row["id"].rsplit("_", 1)[0], len(talk) - 2))
        if before is None or talk[-1]["role"] != "agent" or before["id"] not in gold:
            continue
        section = known[gold[before["id"]]]
        heading = tuple(filter(None, (section["title"], section["heading"])))
        for each in statements(talk[-1]["text"]):
            if strip_marks(each.text).strip() and not each.text.rstrip().endswith("?"):
                yield Said(each.text, Section(heading, section["text"], "en"))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


# --- false ones ---------------------------------------------------------------------------------


def other_number(said: Said, _all: Sequence[Said], rng: random.Random) -> str | None:
    written = list(_NUMBER.finditer(said.sentence))
    own = numbers(said.sentence)
    found = {match[0] for match in _NUMBER.finditer(said.section.text)}
    others = sorted(other for other in found if not numbers(other) & own)
    if not written or not others:
        return None
    old = rng.choice(written)
    return said.sentence[: old.start()] + rng.choice(others) + said.sentence[old.end() :]


def negated(said: Said, _all: Sequence[Said], _rng: random.Random) -> str | None:
    if _ANY_NEGATION.search(said.sentence):
        return None
    for verb, negative in _VERBS:
        text, changed = re.subn(verb, negative, said.sentence, count=1)
        if changed:
            return text
    return None


def affirmed(said: Said, _all: Sequence[Said], _rng: random.Random) -> str | None:
    old = _NEGATION.search(said.sentence)
    if old is None:
        return None
    instead = "can" if old[0].lower() == "cannot" else ""
    text = said.sentence[: old.start()] + instead + said.sentence[old.end() :]
    return " ".join(text.split())


def shuffled(said: Said, _all: Sequence[Said], rng: random.Random) -> str | None:
    words = said.sentence.split()
    return " ".join(rng.sample(words, len(words))) if len(words) >= MIN_SHUFFLED else None


def elsewhere(said: Said, every: Sequence[Said], rng: random.Random) -> str | None:
    other = rng.choice(every)
    return other.sentence if other.section != said.section else None


FAULTS: dict[str, Callable[[Said, Sequence[Said], random.Random], str | None]] = {
    "number": other_number,
    "negated": negated,
    "affirmed": affirmed,
    "shuffled": shuffled,
    "elsewhere": elsewhere,
}


if __name__ == "__main__":
    main()
