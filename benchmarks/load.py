"""Questions a second at the SLO, for the composer and through the widget, and where the time goes.

    .venv/bin/python -m benchmarks.load [--against TREE] [--rounds 3] [--seconds 8]

k6 asks over the loopback address what `twofold serve` answers from the example help center, by the
composer, with one thread for its embedder. At each rate questions arrive evenly, whether or not
others are answered; the highest rate counts at which 99% are whole within 2 s, and none fails or is
left out. py-spy samples the server meanwhile. `--against` serves another checkout as well: rounds
of both take turns, and what counts is processor time of the server for each question: of a first
round after a start, and of further ones with questions that nobody asked before on pages that were
read before. Prints a table, and last one line of JSON, which is kept in results/load.json.
"""

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.answering import Child, raise_open_files
from benchmarks.harness import publish
from benchmarks.question import EXAMPLE, questions

ROOT = Path(__file__).parent.parent
OPS = ROOT / ".venv-ops/bin"
ORIGIN = "https://shop.example.com"
SLO_S = 2.0
RATES = (4, 8, 12, 16, 24, 32, 48, 64, 96)
POLITE = ("", " Thanks!", " Thank you.", " Please help.", " Thanks in advance.")
IDLE_SHARE = 0.1
MOST_SETTLE_S = 120.0
ROOMS = (
    ("embedder", r"onnxruntime|clients/(?:embedder|minilm)"),
    ("index", r"twofold/index/"),
    ("ledger", r"sqlalchemy|twofold/ledger|answer/record|sqlite"),
    ("composer: weighing", r"generate/(?:weigh|asked|units|sentences)"),
    ("composer: the rest", r"answer/generate/"),
    ("search", r"answer/search/"),
    ("decide", r"answer/decide/"),
    ("verify", r"answer/verify|twofold/text/"),
    ("widget", r"services/widget/"),
    ("HTTP", r"uvicorn|starlette|fastapi|services/http|answer/(?:endpoints|access)|httptools"),
)
"""Where a sample belongs: the first that its innermost frame of these is in."""


class Arm(NamedTuple):
    """One server; the words are its address, key, site and ticket."""

    name: str
    child: Child


class Told(NamedTuple):
    """What k6 saw of one phase. Times in seconds."""

    asked: int
    failed: int
    left_out: int
    p95: float
    p99: float

    @property
    def holds(self) -> bool:
        return self.asked > 0 and not self.failed and not self.left_out and self.p99 <= SLO_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="TREE", help="another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each phase")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_open_files()
    if options.serve:
        serve(options.serve)
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "questions.json"
        file.write_text(json.dumps(questions()))
        trees = {"before": options.against, "after": ROOT} if options.against else {"after": ROOT}
        arms = [Arm(name, stack.enter_context(served(tree))) for name, tree in trees.items()]
        if options.against:
            found["cpu_ms"] = compared(arms, file, options.rounds, options.seconds)
        arm = arms[-1]
        for mode in ("composer", "widget"):
            found[mode] = at_the_slo(arm, file, mode, options.seconds)
            rate = max(2, found[mode]["rate"] * 2 // 3)
            found[mode]["time"] = profiled(arm, file, mode, rate, options.seconds)
    publish("load", found, table_of(found))


def serve(secret: str) -> None:
    """The server; prints its address, a key, the site, and a ticket for it."""
    from pydantic import SecretStr

    from ingestion.sources.folder import Folder
    from ingestion.sync.pipeline import sync
    from services.answer.access.keys import create_key
    from services.answer.app import open_parts
    from services.http import server
    from services.standalone.app import create_app
    from services.widget.sites import read_config
    from twofold.settings import Settings
    from twofold.stack import open_stack

    plenty = dict.fromkeys(
        ("address_per_minute", "site_per_minute", "visitor_per_minute", "messages_per_minute"),
        10**6,
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            home=Path(folder), house=EXAMPLE / "house.yaml", threads=1,
            widget_secret=SecretStr(secret),
            **{f"widget_{name}": most for name, most in plenty.items()},
        )  # fmt: skip
        with open_stack(settings) as stack:
            sync(stack, settings.workspace, Folder("help-center", EXAMPLE / "help-center"))
            key = create_key(stack.ledger, "bench", "default", ["answer", "read"], rate=10**6)
            app = create_app(open_parts(stack))
            widget = app.state.widget
            site = widget.sites.add(read_config({"name": "shop", "origins": [ORIGIN]}))
            ticket = widget.tokens.ticket(site.id, ORIGIN)
            bound = server.bind("127.0.0.1", 0)
            url = server.address("127.0.0.1", bound)
            words = (url, key.plain, site.id, ticket)
            server.run(app, bound, url, lambda: print(*words, flush=True))


@contextmanager
def served(tree: Path) -> Iterator[Child]:
    """A server of that checkout, once it has nothing more to do."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), "--serve", secrets.token_hex(24)],
        cwd=tree, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(tree.resolve()), "TWOFOLD_READ_AHEAD": "true"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while not (line := process.stdout.readline()).startswith("http"):
            if process.poll() is not None:
                raise RuntimeError(f"the server of {tree} ended")
        child = Child(process.pid, line.split())
        until = time.monotonic() + MOST_SETTLE_S
        before = child.cpu()
        while time.monotonic() < until:
            time.sleep(1.0)
            spent, before = child.cpu() - before, child.cpu()
            if spent < IDLE_SHARE:
                break
        yield child
    finally:
        process.terminate()
        process.wait()


def ask(arm: Arm, file: Path, mode: str, seconds: int, *, rate: int = 0, suffix: str = "") -> Told:
    """A phase of k6: at a rate, or by two callers who ask again as soon as they are answered."""
    url, key, site, ticket = arm.child.words[:4]
    said = {"URL": url, "KEY": key, "SITE": site, "TICKET": ticket, "ORIGIN": ORIGIN,
            "QUESTIONS": str(file), "MODE": mode, "RATE": str(rate), "SECONDS": str(seconds),
            "SUFFIX": suffix}  # fmt: skip
    given = [word for name, value in said.items() for word in ("-e", f"{name}={value}")]
    done = subprocess.run(
        [OPS / "k6", "run", "--quiet", "--no-usage-report", *given, ROOT / "benchmarks/load.js"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    metrics: Mapping[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    times = metrics["http_req_duration{name:ask}"]["values"]
    return Told(
        asked=int(metrics["http_reqs{name:ask}"]["values"]["count"]),
        failed=int(metrics["checks"]["values"]["fails"]),
        left_out=int(metrics.get("dropped_iterations", {}).get("values", {}).get("count", 0)),
        p95=times["p(95)"] / 1000,
        p99=times["p(99)"] / 1000,
    )


def compared(arms: Sequence[Arm], file: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Milliseconds of the server's processor for each question, in turns; and their ratios."""
    spent: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for number in range(rounds + 1):
        for arm in arms if number % 2 else arms[::-1]:
            before = arm.child.cpu()
            told = ask(arm, file, "composer", seconds, suffix=POLITE[number % len(POLITE)])
            spent[arm.name].append((arm.child.cpu() - before) * 1000 / told.asked)
    first = {name: values[0] for name, values in spent.items()}
    later = {name: sorted(values[1:])[rounds // 2] for name, values in spent.items()}
    return {
        "first": first, "first_ratio": first["after"] / first["before"],
        "later": later, "later_ratio": later["after"] / later["before"],
    }  # fmt: skip


def at_the_slo(arm: Arm, file: Path, mode: str, seconds: int) -> dict[str, Any]:
    """The highest rate that holds, and what it looks like there and at the one that does not."""
    held: dict[str, Any] = {"rate": 0}
    for rate in RATES:
        told = ask(arm, file, mode, seconds, rate=rate)
        if not told.holds:
            return {**held, "broke_at": {"rate": rate, **told._asdict()}}
        held = {"rate": rate, **told._asdict()}
    return held


def profiled(arm: Arm, file: Path, mode: str, rate: int, seconds: int) -> dict[str, float]:
    """Share of the samples of working threads, by room."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "samples"
        sampler = subprocess.Popen(
            [OPS / "py-spy", "record", "--pid", str(arm.child.pid), "--duration", str(seconds),
             "--rate", "100", "--format", "raw", "--output", out],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ask(arm, file, mode, seconds, rate=rate)
        sampler.wait(60)
        counts: Counter[str] = Counter()
        for line in out.read_text().splitlines():
            frames, count = line.rsplit(" ", 1)
            if (room := _room(frames.split(";"))) is not None:
                counts[room] += int(count)
    total = counts.total() or 1
    return {room: round(count / total, 3) for room, count in counts.most_common()}


def _room(frames: Sequence[str]) -> str | None:
    """None for a thread that waits for work."""
    if re.search(r"concurrent/futures/thread|selectors|threading\.py", frames[-1]):
        return None
    for frame in reversed(frames):
        for room, pattern in ROOMS:
            if re.search(pattern, frame):
                return room
    return "other"


def table_of(found: Mapping[str, Any]) -> Table:
    table = Table("what", "figure")
    if compare := found.get("cpu_ms"):
        for when in ("first", "later"):
            before, after = compare[when]["before"], compare[when]["after"]
            ratio = compare[f"{when}_ratio"]
            table.add_row(
                f"processor time of a question, {when} round: before, after, ratio",
                f"{before:.1f} ms, {after:.1f} ms, {ratio:.2f}",
            )
    for mode in ("composer", "widget"):
        table.add_row(f"{mode}: questions a second at the SLO", str(found[mode]["rate"]))
        for room, share in found[mode]["time"].items():
            table.add_row(f"  {room}", f"{share:.0%}")
    return table


if __name__ == "__main__":
    main()
