"""The packaged embedder: 200-token chunks a second, query latency, load time, memory.

    python -m benchmarks.embedder [--cache FOLDER] [--seconds 6]

Prints a table, and last one line of JSON. Figures of a shared machine compare within one run only.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.harness import publish
from twofold.clients.embedder import MiniLM

SENTENCE = (
    "To send an item back, open Orders, choose the item, print the label and drop the parcel at "
    "any pick-up point; we refund the card you paid with after five business days. "
)
QUESTIONS = (
    "How do I get my money back?",
    "where is my parcel",
    "Can I change the delivery address after ordering?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, help="keep the built model here")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0, help="per batch size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments.cache or Path(folder), arguments.threads, arguments.seconds)
    table = Table("batch", "chunks/s", "ms/batch p50")
    for size, row in result["batches"].items():
        table.add_row(str(size), f"{row['chunks_per_second']:.1f}", f"{row['p50_ms']:.1f}")
    print(f"query p50 {result['query_p50_ms']:.2f} ms, p95 {result['query_p95_ms']:.2f} ms")
    print(f"first open {result['build_s']:.2f} s, later {result['load_s']:.2f} s")
    print(f"memory {result['rss_loaded_mb']:.0f} MB loaded, {result['rss_peak_mb']:.0f} MB peak")
    publish("embedder", result, table)


def measure(cache: Path, threads: int, seconds: float) -> dict[str, Any]:
    start = time.perf_counter()
    MiniLM.open(cache, threads)
    build_s = time.perf_counter() - start
    start = time.perf_counter()
    model = MiniLM.open(cache, threads)
    load_s = time.perf_counter() - start
    rss_loaded = _rss_mb()

    chunk = _chunk(model, 200)
    batches = {}
    for size in (1, 8, 16):
        times = _times(model, [[chunk] * size], seconds)
        p50 = statistics.median(times)
        batches[size] = {"chunks_per_second": size / p50, "p50_ms": p50 * 1e3}
    queries = sorted(_times(model, [[question] for question in QUESTIONS], seconds / 2))
    return {
        "embedder": model.name,
        "build_s": build_s,
        "load_s": load_s,
        "rss_loaded_mb": rss_loaded,
        "rss_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "query_p50_ms": statistics.median(queries) * 1e3,
        "query_p95_ms": queries[int(len(queries) * 0.95)] * 1e3,
        "batches": batches,
    }


def _times(model: MiniLM, inputs: list[list[str]], seconds: float) -> list[float]:
    """Seconds of each call, for about `seconds` in all and at least three calls."""
    model.embed(inputs[0])
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        model.embed(inputs[len(times) % len(inputs)])
        times.append(time.perf_counter() - start)
    return times


def _chunk(model: MiniLM, tokens: int) -> str:
    """Words of about `tokens` tokens, and never more."""
    words = (SENTENCE * tokens).split()[:tokens]
    while model.count_tokens([" ".join(words)])[0] > tokens:
        words.pop()
    return " ".join(words)


def _rss_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = [row for row in status.read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
