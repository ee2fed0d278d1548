"""What ingestion costs around the embedder: first ingest, nothing changed, one percent changed.

    .venv/bin/python benchmarks/ingest.py --documents 800
    .venv/bin/python benchmarks/ingest.py --corpus ../shared/data/helpcenter_magento/current

Every figure is a ratio of two times taken in this one run on this one machine. The last line is
JSON.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingestion.pipeline import sync
from ingestion.sources import Folder
from twofold.clients.embedder import Embedder
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

REPEATS = 5
_TITLE = re.compile(r"^title:[ ]*([\"']?)", re.MULTILINE)


class Recording:
    """The real embedder, and what it was given."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.name, self.dimension, self.max_tokens = inner.name, inner.dimension, inner.max_tokens
        self.count_tokens = inner.count_tokens
        self.texts: list[str] = []
        self.seconds = 0.0

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        start = time.perf_counter()
        vectors = self.inner.embed(texts)
        self.seconds += time.perf_counter() - start
        self.texts += texts
        return vectors


class Row(NamedTuple):
    name: str
    value: float
    target: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=800)
    parser.add_argument("--corpus", type=Path, default=Path("examples/brackwater/help-center"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        grow(arguments.corpus, tree, arguments.documents)
        with open_stack(Settings(home=Path(temporary) / "home")) as stack:
            rows = measure(stack, tree)
    for row in rows:
        print(f"{row.name:<44}{row.value:>12.3f}  {row.target}")
    print(json.dumps({row.name: round(row.value, 4) for row in rows}))


def grow(corpus: Path, tree: Path, documents: int) -> None:
    """Copies of the corpus's files until there are enough; copies differ in title and text."""
    files = [path for path in sorted(corpus.rglob("*.md")) if path.name != "README.md"]
    for number in range(documents):
        source = files[number % len(files)]
        copy = number // len(files)
        target = tree / f"part{copy}" / source.relative_to(corpus)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        if copy:
            text = _TITLE.sub(rf"title: \1Edition {copy} of ", text, count=1)
        target.write_text(text, encoding="utf-8")


def measure(stack: Stack, tree: Path) -> list[Row]:
    embedder = Recording(stack.embedder)
    stack = replace(stack, embedder=embedder)
    embedder.inner.embed(["warm up"] * 64)

    def ingest() -> float:
        start = time.perf_counter()
        report = sync(stack, "default", Folder("bench", tree))
        assert not report.failed, report.failures[:3]
        return time.perf_counter() - start

    first = ingest()
    texts, inside = list(embedder.texts), embedder.seconds
    alone = timed(lambda: embedder.inner.embed(texts))
    unchanged = min(ingest() for _ in range(REPEATS))
    reading = min(timed(lambda: read_and_hash(tree)) for _ in range(REPEATS))
    assert len(embedder.texts) == len(texts), "an unchanged sync embedded something"
    edit(tree, share=0.01)
    edited = ingest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Row("chunks", len(texts), ""),
        Row("first ingest, seconds", first, ""),
        Row("first ingest, chunks/s", len(texts) / first, ""),
        Row("embedder alone, chunks/s", len(texts) / alone, ""),
        Row("throughput of the embedder kept", alone / first, "at least .85"),
        Row("share of the ingest inside the embedder", inside / first, ""),
        Row("unchanged, seconds", unchanged, ""),
        Row("read and hash, seconds", reading, ""),
        Row("unchanged / read and hash", unchanged / reading, "at most 1.2"),
        Row("1% changed, seconds", edited, ""),
        Row("1% changed / first ingest", edited / first, "at most .025"),
        Row("peak memory, MB", peak, "under 600"),
    ]


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def read_and_hash(tree: Path) -> None:
    """The least that noticing a change by content can cost."""
    for folder, _, names in os.walk(tree):
        for name in sorted(names):
            with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123  the plainest way
                hashlib.sha256(file.read()).hexdigest()


def edit(tree: Path, share: float) -> None:
    files = sorted(tree.rglob("*.md"))
    for path in files[:: int(1 / share)]:
        with path.open("a", encoding="utf-8") as file:
            file.write("\nOne more sentence stands here since today.\n")


if __name__ == "__main__":
    main()
