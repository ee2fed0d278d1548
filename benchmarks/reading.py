"""What matcher and reader add on help centers that they never saw: answers among the first
passages, questions without an answer told from those with one, and what it costs a question.

    python -m benchmarks.reading

The eight made-up help centers that were kept from their training; every question without a history
is searched without both, with the matcher, and with both. A passage answers where it holds a piece
that was labelled as the answer, whole. The AUROC is of the best piece that is packed: its cosine,
and its odds. Prints a table, and last one line of JSON.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks.harness import percentiles, publish
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from models.stats import auroc
from services.answer.contract import Clues, Question
from services.answer.search import Searched, search
from tools.matcher.centers import DEV_CENTERS, load_center
from twofold.index.contract import Scope
from twofold.settings import Settings
from twofold.stack import Stack, open_stack
from twofold.text.blocks import squeeze

FIRST: Final = (1, 2, 6)
WAYS: Final = ("neither", "matcher", "both")


def main() -> None:
    places: dict[str, list[int]] = {way: [] for way in WAYS}
    asking: dict[str, list[float]] = {way: [] for way in WAYS}
    clues: list[Clues] = []
    answered: list[bool] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in DEV_CENTERS:
            center = load_center(name)
            with open_stack(Settings(home=Path(folder, name))) as stack:
                index(stack, center["pages"], Path(folder, f"{name}-pages"))
                ways = dict(
                    zip(
                        WAYS,
                        (replace(stack, matcher=None), replace(stack, reader=None), stack),
                        strict=True,
                    )
                )
                for row in center["questions"]:
                    if row["history"]:
                        continue
                    # Vectors of pieces are remembered now, as in use; what is read cannot be.
                    search(asked(row["question"]), ways["matcher"])
                    answered.append(bool(row["answers"]))
                    for way, each in ways.items():
                        start = time.perf_counter()
                        found = search(asked(row["question"]), each)
                        if row["answers"]:
                            asking[way].append(1000 * (time.perf_counter() - start))
                            places[way].append(place(found, row["answers"]))
                    clues.append(found.evidence.clues)  # with both, the last way
    table = Table("", *(f"among the first {n}" for n in FIRST), "search, p50 ms")
    has = np.array(answered)
    result: dict[str, Any] = {"questions": len(places["both"]), "unanswerable": int((~has).sum())}
    for name in ("cosine", "matched", "read"):
        values = np.array([getattr(each, name) for each in clues])
        result[f"auroc_{name}"] = round(auroc(values, has, range(len(has))).value, 3)
    for way, found in places.items():
        shares = {f"first {n}": round(float(np.mean(np.array(found) < n)), 3) for n in FIRST}
        milliseconds = percentiles(asking[way], 50)["p50"]
        table.add_row(way, *map(str, shares.values()), str(milliseconds))
        result[way] = shares | {"search_p50_ms": milliseconds}
    publish("reading", result, table)


def index(stack: Stack, pages: dict[str, str], folder: Path) -> None:
    folder.mkdir()
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    sync(stack, stack.settings.workspace, Folder("help", folder))


def asked(text: str) -> Question:
    scope = Scope("default", int(time.time()), frozenset())
    return Question(text, text, "en", scope, None)


def place(found: Searched, answers: Sequence[dict[str, str]]) -> int:
    """Of the first candidate that answers, from 0; beyond all where none does."""
    quotes = [squeeze(answer["quote"]) for answer in answers]
    texts = [squeeze(candidate.chunk.text) for candidate in found.found.candidates]
    holds = (at for at, text in enumerate(texts) if any(quote in text for quote in quotes))
    return next(holds, len(texts))


if __name__ == "__main__":
    main()
