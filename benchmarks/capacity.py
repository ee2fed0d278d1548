"""How large an installation has to be: figures measured here, and a sizing model made of them.

`python -m benchmarks.capacity --measure` asks the example company in this process and keeps what
one question, one chunk and one process cost in `benchmarks/results/capacity.json`. Without it, the
page `docs/operations/capacity.md` is computed from that file. Of GPUs nothing is measured: they are
bounded by memory bandwidth and arithmetic (Williams et al. 2009, "Roofline"), at stated shares.
"""

import argparse
import asyncio
import json
import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import RESULTS, publish
from benchmarks.question import EXAMPLE, WARM_UP, WORKSPACE, questions
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.contract import Ask, Question
from services.answer.pipeline import Parts, ask_once
from services.answer.search import search
from twofold.index.contract import Scope
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

ROOT = Path(__file__).parents[1]
RESULT = RESULTS / "capacity.json"
PAGE = ROOT / "docs/operations/capacity.md"
BUSY = 0.6
"""Share of a core that is planned for; the rest is for peaks and for one zone that is lost."""


class Measured(NamedTuple):
    """Of one process on one machine; CPU times hold for its cores only, ratios travel better."""

    cores: int
    question_cpu_ms: float
    """Guard to record, composed by the composer, embedder and index included."""
    search_cpu_ms: float
    """Retrieval alone, with the embedder and the in-process index."""
    process_mb: float
    chunks_per_document: float
    chunk_cpu_ms: float
    """First ingest, whole: read, split, embed, write."""
    payload_bytes: float
    """Of a chunk as the index stores it."""
    ledger_bytes_per_chunk: float
    answer_bytes: float
    """Of an answer's record in the ledger."""


class Gpu(NamedTuple):
    """A card as its maker describes it, and a price to put in your own for."""

    name: str
    gb: float
    tflops: float
    gb_per_s: float
    per_hour: float


class Model(NamedTuple):
    """Qwen3-4B-Instruct-2507, by its config.json, in bfloat16."""

    name: str = "Qwen3-4B-Instruct-2507"
    parameters: float = 4.0e9
    layers: int = 36
    kv_heads: int = 8
    head: int = 128

    @property
    def weights_gb(self) -> float:
        return self.parameters * 2 / 1e9

    @property
    def kv_kb_per_token(self) -> float:
        return self.layers * self.kv_heads * self.head * 2 * 2 / 1e3


class Load(NamedTuple):
    """What is asked of an installation."""

    name: str
    documents: int
    questions_per_s: float
    changes_per_day: float = 0.02
    """Share of documents that change in a day."""
    prompt_tokens: int = 2200
    """Six passages of the context budget, policy, history and question."""
    reply_tokens: int = 150
    shared_prefix: float = 0.25
    """Of the prompt, read from the prefix cache: policy and documents that questions share."""


LOADS = (
    Load("a team", 1_000, 1),
    Load("a company", 10_000, 10),
    Load("a large help center", 100_000, 100),
    Load("the largest planned for", 1_000_000, 1_000),
)
GPUS = (
    Gpu("L4", 24, 121, 300, 0.8),
    Gpu("L40S", 48, 362, 864, 1.9),
    Gpu("H100", 80, 989, 3350, 4.0),
)
CPU_HOUR = 0.045
"""A core with 4 GB for an hour, in dollars: an assumption, as the cards' prices are."""
PREFILL_SHARE, DECODE_SHARE = 0.45, 0.6
"""Of peak arithmetic and of bandwidth that a server reaches in practice: assumptions."""
SAFE_NODES, SAFE_FROM = 3, 100
"""Qdrant nodes from so many questions a second on: one may be lost, two agree."""
ANSWER_CPU_MS, TOKEN_CPU_MS = 7.0, 0.035
"""Of a request and of each streamed token with many callers: `python -m benchmarks.answer_overhead`
(140 requests in a second of a core; 35 us a token)."""
VECTOR_BYTES = 384 * 4
QDRANT_OVERHEAD = 1.5
"""Qdrant's own rule of thumb for vectors with their graph."""
QDRANT_SEARCH_CPU_MS = 4.0
"""Of one question, dense and keywords, over a shard of a million points: an assumption until a
server is to be had here."""


def gpu_questions_per_s(gpu: Gpu, model: Model, load: Load) -> float:
    """Questions a second that one card answers: prefill bound by arithmetic, decode by memory."""
    fresh = load.prompt_tokens * (1 - load.shared_prefix)
    prefill_s = 2 * model.parameters * fresh / (gpu.tflops * 1e12 * PREFILL_SHARE)
    held = load.prompt_tokens + load.reply_tokens
    kv_gb = held * model.kv_kb_per_token / 1e6
    together = max(1, int((gpu.gb * 0.9 - model.weights_gb - 2) / kv_gb))
    step_s = (model.weights_gb + together * kv_gb) / (gpu.gb_per_s * DECODE_SHARE)
    decode_s = load.reply_tokens * step_s / together
    return 1 / (prefill_s + decode_s)


def sizing(measured: Measured, load: Load, gpu: Gpu) -> dict[str, float]:
    """Counts, gigabytes and dollars a month for a load."""
    chunks = load.documents * measured.chunks_per_document
    vectors_gb = chunks * VECTOR_BYTES * QDRANT_OVERHEAD / 1e9
    quantized_gb = chunks * (VECTOR_BYTES / 4) * QDRANT_OVERHEAD / 1e9
    disk_gb = chunks * (VECTOR_BYTES * 2 + measured.payload_bytes) / 1e9
    with_model_ms = measured.search_cpu_ms + load.reply_tokens * TOKEN_CPU_MS + ANSWER_CPU_MS
    answer_cores = load.questions_per_s * with_model_ms / 1e3 / BUSY
    composed_cores = load.questions_per_s * measured.question_cpu_ms / 1e3 / BUSY
    per_s = load.documents * load.changes_per_day * measured.chunks_per_document / 86_400
    # A whole rebuild within a day, beside the changes of that day.
    worker_cores = (chunks / 86_400 + per_s) * measured.chunk_cpu_ms / 1e3 / BUSY
    qdrant_cores = load.questions_per_s * QDRANT_SEARCH_CPU_MS / 1e3 / BUSY
    cards = math.ceil(load.questions_per_s / gpu_questions_per_s(gpu, Model(), load) / BUSY)
    ledger_gb = chunks * measured.ledger_bytes_per_chunk / 1e9
    answers_gb_month = load.questions_per_s * 86_400 * 30 * measured.answer_bytes / 1e9
    cores = answer_cores + worker_cores + qdrant_cores
    return {
        "chunks": chunks, "vectors_gb": vectors_gb, "quantized_gb": quantized_gb,
        "disk_gb": disk_gb, "answers": max(2, math.ceil(answer_cores)),
        "composers": max(2, math.ceil(composed_cores)),
        "workers": max(1, math.ceil(worker_cores)),
        "qdrant": max(
            SAFE_NODES if load.questions_per_s >= SAFE_FROM else 1,
            math.ceil(max(vectors_gb / 24, qdrant_cores / 8)),
        ),
        "cards": max(1, cards), "ledger_gb": ledger_gb, "answers_gb_month": answers_gb_month,
        "dollars": (math.ceil(cores) * CPU_HOUR + max(1, cards) * gpu.per_hour) * 730,
    }  # fmt: skip


def page(measured: Measured) -> str:
    return "\n".join(_lines(measured)) + "\n"


def _lines(measured: Measured) -> Iterator[str]:
    yield "# Capacity"
    yield ""
    yield (
        "Made by `python -m benchmarks.capacity` from `benchmarks/results/capacity.json`, which"
        " `--measure` writes anew."
    )
    yield (
        f"Measured on {measured.cores} shared CPU cores: take ratios from it, and measure on your"
        " own machine before you buy one."
    )
    yield "Rows about graphics cards, Qdrant's search time and prices are computed from stated"
    yield "assumptions, not measured: no GPU and no Qdrant server ran for this page."
    yield ""
    yield "## Measured"
    yield ""
    yield "| what | figure |"
    yield "|---|---|"
    for told, figure in (
        ("CPU of a question, composed", f"{measured.question_cpu_ms:.0f} ms"),
        (
            "… of its retrieval, embedder and in-process index included",
            f"{measured.search_cpu_ms:.0f} ms",
        ),
        ("Memory of an answer process", f"{measured.process_mb:.0f} MB"),
        ("Chunks of a document", f"{measured.chunks_per_document:.1f}"),
        ("CPU of a chunk's first ingest", f"{measured.chunk_cpu_ms:.1f} ms"),
        ("Payload of a chunk in the index", f"{measured.payload_bytes:.0f} bytes"),
        ("Ledger, for each chunk", f"{measured.ledger_bytes_per_chunk:.0f} bytes"),
        ("Ledger, for each answer", f"{measured.answer_bytes:.0f} bytes"),
    ):
        yield f"| {told} | {figure} |"
    yield ""
    yield from _under_load()
    yield "## Sizes"
    yield ""
    yield f"Planned at {BUSY:.0%} of each core and card. {Model().name}, one release, in bfloat16."
    yield ""
    header = ("", *(f"{load.documents:,} documents, {load.questions_per_s:,.0f}/s"
                    for load in LOADS))  # fmt: skip
    yield f"| {' | '.join(header)} |"
    yield "|---" * len(header) + "|"
    made = [sizing(measured, load, GPUS[1]) for load in LOADS]
    for told, key, form in (
        ("Chunks", "chunks", ",.0f"),
        ("Answer replicas of one core, with a model", "answers", ",.0f"),
        ("… where the composer writes", "composers", ",.0f"),
        ("Worker cores, for a whole rebuild in a day", "workers", ",.0f"),
        ("Qdrant nodes of 8 cores and 32 GB", "qdrant", ",.0f"),
        ("Qdrant memory, full vectors, GB", "vectors_gb", ",.1f"),
        ("… 8-bit copies in memory, GB", "quantized_gb", ",.1f"),
        ("Qdrant disk of one copy, GB", "disk_gb", ",.1f"),
        ("PostgreSQL, documents, GB", "ledger_gb", ",.1f"),
        ("PostgreSQL, answers of 30 days, GB", "answers_gb_month", ",.1f"),
        (f"{GPUS[1].name} cards", "cards", ",.0f"),
        ("Dollars a month, cores and cards alone", "dollars", ",.0f"),
    ):
        yield f"| {told} | {' | '.join(format(each[key], form) for each in made)} |"
    yield ""
    yield "## Cards"
    yield ""
    yield "| card | memory, GB | questions a second | cards for 1,000/s | dollars for a million |"
    yield "|---|---|---|---|---|"
    for gpu in GPUS:
        rate = gpu_questions_per_s(gpu, Model(), LOADS[-1])
        cards = sizing(measured, LOADS[-1], gpu)["cards"]
        dollars = gpu.per_hour / 3600 / (rate * BUSY) * 1e6
        yield f"| {gpu.name} | {gpu.gb:.0f} | {rate:.1f} | {cards:,.0f} | {dollars:,.0f} |"
    yield ""
    yield (ROOT / "benchmarks/capacity_notes.md").read_text().strip()


def _under_load() -> Iterator[str]:
    """What `python -m benchmarks.load` kept: k6 against one process, and py-spy upon it."""
    kept = json.loads((RESULT.parent / "load.json").read_text(encoding="utf-8"))
    load, cpu = kept["result"], kept["result"]["cpu_ms"]
    yield "## Under load"
    yield ""
    yield f"`{kept['command']}` on {kept['date']}, {kept['machine']}: k6 over the loopback address"
    yield "asks one process that composes. A rate holds where 99% of the answers are whole in 2 s"
    yield "and none fails; k6 and all other work of the machine share its cores."
    yield ""
    yield "| questions a second at the SLO | p95, p99 there | what the next rate came to |"
    yield "|---|---|---|"
    for told, mode in (("to the answer service", "composer"), ("through the widget", "widget")):
        held, broke = load[mode], load[mode]["broke_at"]
        yield (
            f"| {held['rate']} {told} | {held['p95']:.2f} s, {held['p99']:.2f} s | at"
            f" {broke['rate']}: p99 {broke['p99']:.2f} s, {broke['failed']} of {broke['asked']}"
            " refused |"
        )
    yield ""
    for told, mode in (("to the answer service", "composer"), ("through the widget", "widget")):
        shares = (f"{room} {share:.0%}" for room, share in load[mode]["time"].items())
        yield f"Where a working thread's time goes, {told}: {', '.join(islice(shares, 6))}."
        yield ""
    yield (
        "Three things were made cheaper by it: a text is embedded once between search and reply and"
        " between the turns of a conversation; a page is cut and read once between questions; and"
        " `TWOFOLD_READ_AHEAD` has every sentence embedded before somebody asks. Processor time of"
        " the server for each question, before and after, in turns: first round after a start"
        f" {cpu['first']['before']:.0f} and {cpu['first']['after']:.0f} ms"
        f" ({cpu['first_ratio']:.2f}), later rounds with new questions"
        f" {cpu['later']['before']:.0f} and {cpu['later']['after']:.0f} ms"
        f" ({cpu['later_ratio']:.2f})."
    )
    yield ""


def measure(count: int) -> Measured:
    """Ask the example company in this process. Takes a minute or two of one core."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), house=EXAMPLE / "house.yaml", threads=1)
        with open_stack(settings) as stack:
            begun = time.process_time()
            report = sync(stack, settings.workspace, Folder("help", EXAMPLE / "help-center"))
            ingest_s = time.process_time() - begun
            chunks = stack.index.retrieve(list(stack.index.ids(settings.workspace)))
            payload = statistics.fmean(len(json.dumps(chunk.payload())) for chunk in chunks)
            parts = open_parts(stack)
            asked = questions()[: count + WARM_UP]
            asyncio.run(_ask(parts, asked[:WARM_UP]))
            before = _ledger_bytes(stack)
            whole_s = asyncio.run(_ask(parts, asked[WARM_UP:]))
            answers = _ledger_bytes(stack) - before
            searched_s = _search(stack, asked[WARM_UP:])
    asked_count = len(asked) - WARM_UP
    return Measured(
        cores=os.cpu_count() or 1,
        question_cpu_ms=whole_s / asked_count * 1e3,
        search_cpu_ms=searched_s / asked_count * 1e3,
        process_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        chunks_per_document=report.chunks / report.added,
        chunk_cpu_ms=ingest_s / report.chunks * 1e3,
        payload_bytes=payload,
        ledger_bytes_per_chunk=before / report.chunks,
        answer_bytes=answers / asked_count,
    )


async def _ask(parts: Parts, asked: Sequence[str]) -> float:
    """CPU seconds of this process."""
    begun = time.process_time()
    for text in asked:
        await ask_once(Ask(message=text, workspace=WORKSPACE), parts)
    return time.process_time() - begun


def _search(stack: Stack, asked: Sequence[str]) -> float:
    begun = time.process_time()
    for text in asked:
        scope = Scope(WORKSPACE, int(time.time()))
        search(Question(asked=text, standalone=text, locale="en", scope=scope, as_of=None), stack)
    return time.process_time() - begun


def _ledger_bytes(stack: Stack) -> int:
    with stack.ledger.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0
        size = connection.exec_driver_sql("PRAGMA page_size").scalar() or 0
    return int(pages) * int(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure anew, then write the page")
    parser.add_argument("--questions", type=int, default=60)
    options = parser.parse_args()
    if options.measure:
        publish("capacity", measure(options.questions)._asdict())
    PAGE.write_text(page(Measured(**json.loads(RESULT.read_text())["result"])))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
