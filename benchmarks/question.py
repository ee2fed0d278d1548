"""One question on the embedded default: where its milliseconds go.

    .venv/bin/python benchmarks/question.py [--chunks 10000] [--rounds 3]

The example help center is indexed once and copied, with a little noise on the vectors, until the
index holds the chunks asked for. Every answerable question of the example suite is then asked, one
at a time. Prints a table, and last one line of JSON (milliseconds).
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from ingestion.pipeline import sync
from ingestion.sources.folder import Folder
from services.answer.app import open_parts
from services.answer.contract import Ask
from services.answer.pipeline import Parts, ask_once
from services.answer.retrieve import DEPTH
from twofold.index import Embedded, Scope
from twofold.ledger.models import Document
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

EXAMPLE = Path(__file__).parent.parent / "examples" / "brackwater"
WORKSPACE = "default"
FLOOR = "embedding + index query"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), house=EXAMPLE / "house.yaml", workspace=WORKSPACE)
        with open_stack(settings) as stack:
            console.print(f"Indexing the example help center, copied to {args.chunks:,} chunks")
            sync(stack, WORKSPACE, Folder("help-center", EXAMPLE / "help-center"))
            fill(stack, args.chunks)
            parts = open_parts(stack)
            steps = asyncio.run(measure(parts, questions(), args.rounds))
    report(steps, args.chunks)


def fill(stack: Stack, chunks: int) -> None:
    """Copies of what is indexed, as further documents, live in the ledger."""
    originals = stack.index.retrieve(list(stack.index.ids(WORKSPACE)))
    vectors = stack.embedder.embed([chunk.embedded_text for chunk in originals])
    with stack.ledger.session() as session:
        documents = {d.id: d for d in session.scalars(select(Document))}
    random = np.random.default_rng(0)
    copy = 0
    while (room := chunks - stack.index.count()) > 0:
        copy += 1
        ids = {id: str(uuid4()) for id in documents}
        with stack.ledger.session() as session:
            session.add_all(
                Document(id=new, workspace=WORKSPACE, source=f"copy-{copy}", live=1,
                         external_id=documents[old].external_id)
                for old, new in ids.items()
            )  # fmt: skip
        noise = vectors + random.normal(0, 0.02, vectors.shape).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        points = [
            Embedded(
                replace(c, id=str(uuid4()), document=ids[c.document], source=f"copy-{copy}"),
                vector,
                stack.sparse.document(c.embedded_text, c.locale),
            )
            for c, vector in list(zip(originals, noise, strict=True))[:room]
        ]
        stack.index.upsert(points)


def questions() -> list[str]:
    cases = [
        case
        for path in sorted((EXAMPLE / "eval").glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]
    return [case["question"] for case in cases if case["expect"]["action"] == "ANSWER"]


async def measure(parts: Parts, asked: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each step, of the whole, and of the floor, over all questions and rounds."""
    steps: dict[str, list[float]] = defaultdict(list)
    for question in asked[:20]:
        await ask_once(Ask(question, WORKSPACE), parts)
    for _ in range(rounds):
        for question in asked:
            started = time.perf_counter()
            answered = await ask_once(Ask(question, WORKSPACE), parts)
            steps["whole answer"].append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
            await asyncio.to_thread(floor, parts.stack, question)
            steps[FLOOR].append((time.perf_counter() - started) * 1000)
            for step, seconds in answered.timings.items():
                steps[step].append(seconds * 1000)
    return steps


def floor(stack: Stack, question: str) -> None:
    """Embedding and index query alone: what retrieval cannot be quicker than."""
    vector = stack.embedder.embed([question])[0]
    keywords = stack.sparse.query(question)
    stack.index.search(vector, keywords, Scope(WORKSPACE, int(time.time())), DEPTH)


def report(steps: dict[str, list[float]], chunks: int) -> None:
    whole = statistics.median(steps["whole answer"])
    table = Table(title=f"One question, {chunks:,} chunks, milliseconds")
    for column in ("step", "p50", "p95", "share of p50"):
        table.add_column(column, justify="left" if column == "step" else "right")
    result: dict[str, object] = {"chunks": chunks, "questions": len(steps["whole answer"])}
    for step, taken in steps.items():
        p50, p95 = statistics.median(taken), float(np.percentile(taken, 95))
        table.add_row(step, f"{p50:.2f}", f"{p95:.2f}", f"{p50 / whole:.0%}")
        result[step] = {"p50": round(p50, 2), "p95": round(p95, 2)}
    ratio = statistics.median(steps["retrieve"]) / statistics.median(steps[FLOOR])
    result["retrieval_over_floor"] = round(ratio, 2)
    Console().print(table)
    print(f"Retrieval takes {ratio:.2f}x of embedding + index query.")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
