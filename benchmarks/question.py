"""One question on the embedded default: where its milliseconds go.

    .venv/bin/python -m benchmarks.question [--chunks 10000] [--rounds 3] [--peer-python PYTHON]

The example help center is indexed once and copied, with a little noise on the vectors, until the
index holds the chunks asked for. Every answerable question of the example suite is then asked, one
at a time; each answer is recorded in the ledger, on disk when it is told.

Beside LlamaIndex and Haystack (benchmarks/peer_question.py) it is processor time from the question
to the prompt that counts: in all, and without what the embedder and each one's own indexes took,
which is what the framework adds. Ours has the ledger's versions, audiences and near-repeats in it,
theirs nothing of the kind.
Prints tables, and last one line of JSON (milliseconds).
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from benchmarks.harness import percentiles, publish
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.contract import Ask
from services.answer.pipeline import Parts, ask_once, understand
from services.answer.search import search
from services.answer.search.retrieve import DEPTH
from twofold.index.contract import Embedded, Scope
from twofold.ledger.models import Document
from twofold.prompt import Message, render_prompt
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

EXAMPLE = Path(__file__).parent.parent / "examples" / "brackwater"
WORKSPACE = "default"
FLOOR = "embedding + index query"
PEERS = ("LlamaIndex", "Haystack")
WARM_UP = 20
COMPARED = 100
"""Questions asked of each framework: one of them needs a third of a second for each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", type=Path, help="see benchmarks/peer_question.py")
    args = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(
            home=Path(home) / "home", house=EXAMPLE / "house.yaml", workspace=WORKSPACE
        )
        with open_stack(settings) as stack:
            console.print(f"Indexing the example help center, copied to {args.chunks:,} chunks")
            sync(stack, WORKSPACE, Folder("help-center", EXAMPLE / "help-center"))
            texts, vectors = fill(stack, args.chunks)
            parts = open_parts(stack)
            steps = asyncio.run(measure(parts, questions(), args.rounds))
            spent = {"Twofold": to_the_prompt(parts, questions()[:COMPARED])}
        if args.peer_python is not None:
            write_for_peers(Path(home), texts, vectors, questions()[:COMPARED])
            for peer in PEERS:
                console.print(f"The same through {peer}")
                spent[peer] = run_peer(args.peer_python, peer, Path(home), settings)
    result, table = report(steps, args.chunks)
    compared, beside = report_spent(spent)
    publish("question", result | compared, table, beside)


def fill(stack: Stack, chunks: int) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Copies of what is indexed, as further documents, live in the ledger. All texts and vectors
    that the index then holds."""
    originals = stack.index.retrieve(list(stack.index.ids(WORKSPACE)))
    vectors = stack.embedder.embed([chunk.embedded_text for chunk in originals])
    with stack.ledger.session() as session:
        documents = {d.id: d for d in session.scalars(select(Document))}
    random = np.random.default_rng(0)
    texts, kept = [chunk.embedded_text for chunk in originals], [vectors]
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
        texts += [point.chunk.embedded_text for point in points]
        kept.append(noise[:room])
    return texts, np.concatenate(kept)


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
    for question in asked[:WARM_UP]:
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


class Spent(NamedTuple):
    """Processor milliseconds of each question up to its prompt."""

    whole: list[float]
    own: list[float]
    """Without embedding, and encoding for and asking the indexes."""


class Inside:
    """Processor seconds spent in the calls that it has wrapped."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, thing: object, *names: str) -> Any:
        """`thing`, these methods of it counted."""
        timed = SimpleNamespace()
        for name in dir(thing):
            if not name.startswith("_"):
                call = getattr(thing, name)
                setattr(timed, name, self._counted(call) if name in names else call)
        return timed

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return call(*args, **named)
            finally:
                self.seconds += time.process_time() - started

        return counted


def to_the_prompt(parts: Parts, asked: Sequence[str]) -> Spent:
    inside, stack = Inside(), parts.stack
    counted = replace(
        stack,
        embedder=inside.timed(stack.embedder, "embed"),
        index=inside.timed(stack.index, "search", "score"),
        sparse=inside.timed(stack.sparse, "query"),
    )
    with_counts = replace(parts, stack=counted)
    spent = Spent([], [])
    for question in asked[:WARM_UP]:
        assemble(question, with_counts)
    for question in asked:
        inside.seconds, started = 0.0, time.process_time()
        assemble(question, with_counts)
        taken = time.process_time() - started
        spent.whole.append(taken * 1000)
        spent.own.append((taken - inside.seconds) * 1000)
    return spent


def assemble(text: str, parts: Parts) -> Sequence[Message]:
    """The prompt that a model would be sent."""
    searched = search(understand(Ask(text, WORKSPACE), parts), parts.stack)
    documents, question = [each.chunk for each in searched.packed], searched.question
    return render_prompt(parts.house, "full", documents, question.history, question.asked)


def write_for_peers(
    folder: Path, texts: Sequence[str], vectors: npt.NDArray[np.float32], asked: Sequence[str]
) -> None:
    (folder / "chunks.json").write_text(json.dumps(texts))
    (folder / "questions.json").write_text(json.dumps(asked))
    np.save(folder / "vectors.npy", vectors)


def run_peer(python: Path, peer: str, data: Path, settings: Settings) -> Spent:
    script = Path(__file__).with_name("peer_question.py")
    values = [peer.lower(), data, settings.home / "models", sysconfig.get_path("purelib")]
    ran = subprocess.run(
        [python, script, *map(str, values)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"{peer} failed:\n{ran.stderr[-2000:]}")
    return Spent(**json.loads(ran.stdout.splitlines()[-1]))


def report_spent(spent: dict[str, Spent]) -> tuple[dict[str, object], Table]:
    table = Table(title="Processor time from question to prompt, milliseconds (p50)")
    for column in ("framework", "in all", "without embedder and index", "p95 of that"):
        table.add_column(column, justify="left" if column == "framework" else "right")
    own = {name: statistics.median(each.own) for name, each in spent.items()}
    whole = {name: statistics.median(each.whole) for name, each in spent.items()}
    for name, each in spent.items():
        p95 = float(np.percentile(each.own, 95))
        table.add_row(name, f"{whole[name]:.2f}", f"{own[name]:.2f}", f"{p95:.2f}")
    told: dict[str, object] = {"cpu_to_prompt_ms": whole, "cpu_added_ms": own}
    if len(spent) == 1:
        table.caption = "LlamaIndex and Haystack are not measured: give --peer-python."
        return told, table
    added = own["Twofold"] / min(own[peer] for peer in PEERS)
    in_all = whole["Twofold"] / min(whole[peer] for peer in PEERS)
    table.caption = f"Ours adds {added:.2f}x of what the best peer adds; in all {in_all:.2f}x."
    shares = {"added_over_best_peer": round(added, 3), "in_all_over_best_peer": round(in_all, 3)}
    return told | shares, table


def report(steps: dict[str, list[float]], chunks: int) -> tuple[dict[str, object], Table]:
    whole = statistics.median(steps["whole answer"])
    table = Table(title=f"One question, {chunks:,} chunks, milliseconds")
    for column in ("step", "p50", "p95", "share of p50"):
        table.add_column(column, justify="left" if column == "step" else "right")
    result: dict[str, object] = {"chunks": chunks, "questions": len(steps["whole answer"])}
    for step, taken in steps.items():
        found = percentiles(taken)
        p50, p95 = found["p50"], found["p95"]
        table.add_row(step, f"{p50:.2f}", f"{p95:.2f}", f"{p50 / whole:.0%}")
        result[step] = found
    ratio = statistics.median(steps["retrieve"]) / statistics.median(steps[FLOOR])
    result["retrieval_over_floor"] = round(ratio, 2)
    result["answer_over_floor"] = round(whole / statistics.median(steps[FLOOR]), 2)
    table.caption = f"Retrieval takes {ratio:.2f}x of embedding + index query."
    return result, table


if __name__ == "__main__":
    main()
