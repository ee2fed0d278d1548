"""What the index in this process costs: writes, and searches with and without payload indexes.

    python -m benchmarks.index --points 10000

The last line is JSON.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from rich.table import Table

from benchmarks.harness import publish
from twofold.index import edge
from twofold.index.contract import (
    Chunk,
    DocumentRef,
    Embedded,
    Fingerprint,
    Scope,
    SparseVector,
    point_id,
)
from twofold.index.edge import EdgeIndex

DIMENSION = 384
CALL = 500
WORDS = 30_000
PRINT = Fingerprint("bench", "bench", "bench", "bench")
SCOPES = {
    "nine tenths": Scope("large", as_of=100),
    "a tenth": Scope("small", as_of=100, audiences=frozenset({"staff"}), source="help"),
}
"""The share of the points that a scope admits; every search has a filter."""


class Row(NamedTuple):
    indexes: str
    scope: str
    upserts_per_s: float
    p50_ms: float
    p95_ms: float


def terms(rng: np.random.Generator, count: int) -> SparseVector:
    indices = np.unique(np.minimum(rng.zipf(1.3, count), WORDS)).tolist()
    return SparseVector(indices, rng.uniform(0.5, 2, len(indices)).tolist())


def points(count: int) -> list[Embedded]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        document = DocumentRef("large", "help", str(number // 8)).id
        chunk = Chunk(
            id=point_id(document, (str(number),), "hash", 0),
            workspace="large",
            source="help",
            document=document,
            key=f"help/{number // 8}",
            since=1,
            title="A page of the help center",
            heading_path=("Chapter", "Section"),
            text="a passage of two hundred tokens " * 33,
            position=number,
        )
        if number % 10 == 0:
            chunk = replace(chunk, workspace="small", audience=("staff",), expires_at=10**9)
        made.append(
            Embedded(chunk, rng.standard_normal(DIMENSION).astype(np.float32), terms(rng, 80))
        )
    return made


def searched(index: EdgeIndex, scope: Scope, searches: int) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    times = []
    for _ in range(searches):
        dense = rng.standard_normal(DIMENSION).astype(np.float32)
        words = terms(rng, 8)
        start = time.perf_counter()
        index.search(dense, words, scope, 20)
        times.append(time.perf_counter() - start)
    p50, p95 = np.percentile(times, [50, 95]) * 1e3
    return float(p50), float(p95)


def run(chunks: list[Embedded], folder: Path, *, indexed: bool, searches: int) -> list[Row]:
    with patch.dict(edge._INDEXED, clear=not indexed):
        index = EdgeIndex.open(folder, PRINT, DIMENSION)
    start = time.perf_counter()
    for at in range(0, len(chunks), CALL):
        index.upsert(chunks[at : at + CALL])
    rate = len(chunks) / (time.perf_counter() - start)
    rows = [
        Row("yes" if indexed else "no", name, rate, *searched(index, scope, searches))
        for name, scope in SCOPES.items()
    ]
    index.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where to write; the disk decides the upserts")
    options = parser.parse_args()
    chunks = points(options.points)
    rows = []
    for indexed in (True, False):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rows += run(chunks, Path(folder), indexed=indexed, searches=options.searches)
    table = Table("payload indexes", "scope admits", "upserts/s", "search p50 ms", "p95 ms")
    for row in rows:
        speeds = f"{row.upserts_per_s:.0f}", f"{row.p50_ms:.2f}", f"{row.p95_ms:.2f}"
        table.add_row(row.indexes, row.scope, *speeds)
    result = {
        "points": options.points,
        "dimension": DIMENSION,
        "cores": os.cpu_count(),
        "rows": [row._asdict() for row in rows],
    }
    publish("index", result, table)


if __name__ == "__main__":
    main()
