"""What ingestion costs around the embedder: first ingest, nothing changed, one percent changed.

    .venv/bin/python -m benchmarks.ingest --documents 800
    .venv/bin/python -m benchmarks.ingest --corpus ../shared/data/helpcenter_magento/current
    .venv/bin/python -m benchmarks.ingest --documents 10000 --instant
    .venv/bin/python -m benchmarks.ingest --documents 300 --peer-python /tmp/peer/bin/python

With `--peer-python` LlamaIndex takes the same files, as benchmarks/peer_ingest.py says.

Every figure is a ratio of two times taken in this one run on this one machine. The last line is
JSON.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.harness import publish
from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from twofold.clients.embedder import Embedder
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

REPEATS = 7
_TITLE = re.compile(r"^title:[ ]*([\"']?)", re.MULTILINE)


class Recording:
    """The real embedder, and what it was given. `paired` embeds everything a second time, outside
    the ingest's time: both then met the same neighbours on the machine."""

    def __init__(self, inner: Embedder, *, paired: bool = True) -> None:
        self.inner = inner
        self.name, self.dimension, self.max_tokens = inner.name, inner.dimension, inner.max_tokens
        self.count_tokens = inner.count_tokens
        self.paired = paired
        self.texts = 0
        self.seconds = 0.0
        self.alone = 0.0

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
        start = time.perf_counter()
        vectors = self.inner.embed(texts, passages=passages)
        self.seconds += time.perf_counter() - start
        if self.paired:
            self.alone += timed(lambda: self.inner.embed(texts, passages=passages))
        self.texts += len(texts)
        return vectors


class Instant:
    """Vectors at no cost: for what ten thousand documents cost around the embedder."""

    def __init__(self, inner: Embedder) -> None:
        self.name, self.dimension, self.max_tokens = inner.name, inner.dimension, inner.max_tokens
        self.count_tokens = inner.count_tokens
        self._random = np.random.default_rng(0)

    def embed(
        self,
        texts: Sequence[str],
        *,
        passages: bool = False,  # noqa: ARG002
    ) -> npt.NDArray[np.float32]:
        vectors = self._random.standard_normal((len(texts), self.dimension), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Row(NamedTuple):
    name: str
    value: float
    target: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=800)
    parser.add_argument("--corpus", type=Path, default=Path("examples/brackwater/help-center"))
    parser.add_argument("--peer-python", type=Path, help="see benchmarks/peer_ingest.py")
    parser.add_argument("--instant", action="store_true", help="an embedder that costs nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        grow(arguments.corpus, tree, arguments.documents)
        settings = Settings(home=Path(temporary) / "home")
        with open_stack(settings) as stack:
            if arguments.instant:
                stack = replace(stack, embedder=Instant(stack.embedder))
            rows = measure(stack, tree, paired=not arguments.instant)
        rows += peer(arguments.peer_python, tree, settings, rows, instant=arguments.instant)
    table = Table("figure", "value", "aim")
    for row in rows:
        table.add_row(row.name, f"{row.value:.3f}", row.target)
    name = "ingest_instant" if arguments.instant else "ingest"
    publish(name, {row.name: round(row.value, 4) for row in rows}, table)


def peer(
    python: Path | None, tree: Path, settings: Settings, ours: Sequence[Row], *, instant: bool
) -> list[Row]:
    """With the real embedder, durable as ours is and in memory. With the instant one in memory
    alone: its first run is no comparison, and with nothing to write both are the same."""
    if python is None:
        print("LlamaIndex is not measured: give --peer-python, as benchmarks/peer_ingest.py says.")
        return []
    if instant:
        return _beside(_run_peer(python, tree, settings, "memory", "instant"), ours, "in memory")[
            -2:
        ]
    with tempfile.TemporaryDirectory(dir=tree.parent) as store:
        durable = _run_peer(python, tree, settings, store, "real")
    memory = _run_peer(python, tree, settings, "memory", "real")
    return _beside(durable, ours, "durable") + _beside(memory, ours, "in memory")


def _run_peer(
    python: Path, tree: Path, settings: Settings, store: str, embedder: str
) -> dict[str, float]:
    script = Path(__file__).with_name("peer_ingest.py")
    weights = sysconfig.get_path("purelib")
    values = [tree, settings.home / "models", settings.threads, settings.chunk_tokens, weights]
    ran = subprocess.run(
        [python, script, *map(str, values), store, embedder],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(script.parents[1])},
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"The peer failed:\n{ran.stderr[-2000:]}")
    told: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return told


def _beside(told: dict[str, float], ours: Sequence[Row], how: str) -> list[Row]:
    mine = {row.name: row.value for row in ours}
    name = f"LlamaIndex {how}"
    first, again = ("1.5", "2") if how == "durable" else ("", "")
    rows = [
        Row(f"{name}: chunks", told["texts"], ""),
        Row(f"{name}: first ingest, seconds", told["first"], ""),
        Row(f"{name}: share inside the embedder", told["inside"] / told["first"], ""),
        Row(f"first: {name} / ours", told["first"] / mine["first ingest, seconds"], first),
    ]
    if told["alone"]:
        kept = told["alone"] / told["first"]
        mine_kept = mine["throughput of the embedder kept"]
        rows += [
            Row(f"{name}: throughput of the embedder kept", kept, ""),
            # What else the machine did meanwhile cancels out here.
            Row(f"first, in units of the embedder: {name} / ours", mine_kept / kept, first),
        ]
    return [
        *rows,
        Row(f"{name}: unchanged, seconds", told["unchanged"], ""),
        Row(f"unchanged: {name} / ours", told["unchanged"] / mine["unchanged, seconds"], again),
    ]


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


def measure(stack: Stack, tree: Path, *, paired: bool) -> list[Row]:
    embedder = Recording(stack.embedder, paired=paired)
    stack = replace(stack, embedder=embedder)
    embedder.inner.embed(["warm up"] * 64)

    def ingest() -> float:
        start = time.perf_counter()
        report = sync(stack, "default", Folder("bench", tree))
        assert not report.failed, report.failures[:3]
        return time.perf_counter() - start

    first = ingest() - embedder.alone
    texts, inside, alone = embedder.texts, embedder.seconds, embedder.alone
    pairs = [(ingest(), timed(lambda: read_and_hash(tree))) for _ in range(REPEATS)]
    unchanged, reading = (min(times) for times in zip(*pairs, strict=True))
    assert embedder.texts == texts, "an unchanged sync embedded something"
    edit(tree, share=0.01)
    embedder.paired = False
    edited = ingest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        Row("documents", sum(1 for _ in tree.rglob("*.md")), ""),
        Row("chunks", texts, ""),
        Row("first ingest, seconds", first, ""),
        Row("first ingest, chunks/s", texts / first, ""),
        Row("unchanged, seconds", unchanged, ""),
        Row("read and hash, seconds", reading, ""),
        Row("unchanged / read and hash", unchanged / reading, "at most 1.2"),
        Row("1% changed, seconds", edited, ""),
        Row("peak memory, MB", peak, "under 600"),
    ]
    if paired:
        rows += [
            Row("1% changed / first ingest", edited / first, "at most .025"),
            Row("embedder alone, chunks/s", texts / alone, ""),
            Row("throughput of the embedder kept", alone / first, "at least .85"),
            Row("share of the ingest inside the embedder", inside / first, ""),
        ]
    return rows


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
