"""`make demo-finetune`: the behaviour layer from rows to a promoted release, on two CPU cores.

The base is SmolLM2-135M-Instruct, and the adapter the one that lies in ADAPTER, which is taken by
its hash; with FRESH=1 in the environment it goes on from there with rows of today (a quarter of an
hour of one quiet core). Everything lies under `.twofold/demo`, apart from what `make run` uses.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.base.smollm2 import NAME as BASE_NAME
from models.cli.gate import REFUSED
from models.serve.local import merged_args, python, running
from tools.smollm2 import ADAPTER

HOME = Path(".twofold/demo")
EXAMPLE = Path("examples/brackwater")
DATASET = HOME / "dataset"
TRAIN = Path(".venv-train/bin/python")
LENGTH = 8192
"""The house's `full` prompt has 5,000 tokens."""
BASE_ROWS = 40
"""Held-out rows that the base is asked with the `full` prompt."""
HEALTHY_S = 900.0
FRESH_TOKENS = 150_000
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""For training in small matrices: a second thread waits more than it works, and memory that is
given back to the system has to be fetched again at the next step. 1.5 times as fast."""
QUESTIONS = (
    "How many endpoints do I get on Creek?",
    "Somebody else logged into our account, please help!",
    "What is the capital of Peru?",
)
NOTHING: Mapping[str, str] = {}
minutes: dict[str, float] = {}
"""How long each step took."""


def main() -> None:
    started = time.monotonic()
    os.environ |= environment()
    base = Path(step("base", "model", "base", "smollm2").strip().splitlines()[-1])
    step("index", "ingest", EXAMPLE / "help-center", "--source", "help")
    step(
        "rows", "dataset", "build", "--suite", EXAMPLE / "eval",
        "--dialogues", EXAMPLE / "dialogues", "--examples", "--heldout", "--out", DATASET,
    )  # fmt: skip
    step("lint", "dataset", "lint", DATASET, "--tokenizer", base / "tokenizer.json", fine=1)
    folder = trained(base) if os.environ.get("FRESH") else shipped()
    name = step("publish", "model", "publish", folder).strip().splitlines()[-1]
    whole = Path(step("merge", "model", "merge", folder, "--base", base).strip())
    ports = free_port(), free_port()
    base_url, url = (f"http://127.0.0.1:{port}" for port in ports)
    command = python("")
    begun = time.monotonic()
    with (
        running([*command, *merged_args(base.resolve(), BASE_NAME, ports[0], LENGTH)], base_url,
                HOME / "vllm-base.log", HEALTHY_S),
        running([*command, *merged_args(whole.resolve(), name, ports[1], LENGTH)], url,
                HOME / "vllm.log", HEALTHY_S),
    ):  # fmt: skip
        minutes["vLLM starts"] = (time.monotonic() - begun) / 60
        os.environ |= {"TWOFOLD_MODEL_URL": base_url, "TWOFOLD_MODEL_NAME": BASE_NAME}
        told = step(
            "gate", "gate", name, "--dataset", DATASET, "--at", url,
            "--base-rows", str(BASE_ROWS), "--json", fine=REFUSED,
        )  # fmt: skip
        gate = json.loads(told.splitlines()[-1])
        # What is promoted is asked where it is served merged; without it, the composer answers.
        os.environ |= {"TWOFOLD_MODEL_URL": url, "TWOFOLD_MODEL_NAME": name}
        if gate["passed"]:
            step("promote", "model", "promote", name)
            for question in QUESTIONS:
                print(step("ask", "ask", question))
        print(step("list", "model", "list"))
    minutes["all"] = (time.monotonic() - started) / 60
    _report(gate, name)
    if not gate["passed"]:
        raise SystemExit("The gate refused it: " + "; ".join(gate["reasons"]))


def environment() -> dict[str, str]:
    """Of every command of the demo. The context is short: the base is small."""
    return {
        "TWOFOLD_HOME": str(HOME),
        "TWOFOLD_HOUSE": str(EXAMPLE / "house.yaml"),
        "TWOFOLD_CONTEXT_CHUNKS": "2",
        "TWOFOLD_CONTEXT_CHARS": "1600",
        "TWOFOLD_MODEL_FIRST_TOKEN_S": "60",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin for each other starve all else
    }


def shipped() -> Path:
    """The adapter that lies here, in a folder of the demo's own."""
    folder = HOME / "adapters" / "shipped"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ADAPTER, folder)
    return folder


def trained(base: Path) -> Path:
    """The shipped adapter, gone on with on today's rows."""
    rows, folder = HOME / "house.jsonl", HOME / "adapters" / time.strftime("fresh-%Y%m%d-%H%M%S")
    run("rows beside", sys.executable, "-m", "tools.smollm2.house", DATASET, "--out", rows)
    run(
        "train", TRAIN, "-m", "tools.smollm2.read", rows, "--base", base, "--start", ADAPTER,
        "--tokens", str(FRESH_TOKENS),
        "--out", HOME / "training", more=ONE_THREAD,
    )  # fmt: skip
    run(
        "adapter", TRAIN, "-m", "tools.smollm2.adapter", HOME / "training/last",
        "--base", base, "--dataset", DATASET, "--out", folder,
    )  # fmt: skip
    return folder


def step(name: str, *command: str | Path, fine: int = 0) -> str:
    """Run `twofold COMMAND`; see `run`."""
    return run(name, sys.executable, "-m", "twofold", *command, fine=fine)


def run(name: str, *command: str | Path, fine: int = 0, more: Mapping[str, str] = NOTHING) -> str:
    """Run a command, note how long it took, and give its standard output; the rest is seen as it
    comes. Another exit code than 0 or `fine` ends the demo with that code."""
    begun = time.monotonic()
    print(f"\n==> {name}: {' '.join(map(str, command[2:]))}", file=sys.stderr, flush=True)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **more}
    )
    minutes[name] = minutes.get(name, 0.0) + (time.monotonic() - begun) / 60
    if done.returncode not in (0, fine):
        print(done.stdout)
        raise SystemExit(done.returncode)
    return done.stdout


def _report(gate: dict[str, Any], name: str) -> None:
    base, tuned = gate["arms"][BASE_NAME], gate["arms"][name]

    def line(label: str, key: str) -> None:
        print(f"{label:34} {_shown(base[key]):>22} {_shown(tuned[key]):>22}")

    print(f"\n{'':34} {'base, full prompt':>22} {'adapter, tuned prompt':>22}")
    line("held-out rows asked", "rows")
    line("contract kept, unconstrained", "contract")
    line("action as expected", "action")
    line("escalated without need", "over_escalated")
    line("not escalated though needed", "under_escalated")
    line("escalation F1", "escalation_f1")
    line("a gold document cited", "citation_recall")
    line("key facts stated", "facts")
    line("instruction tokens", "instruction_tokens")
    book, facts = gate["closed_book"], gate["changed_facts"]
    print(f"closed-book probes that leak: {book['leaks']} of {book['probes']}")
    print(f"changed facts followed, one fact in the context: {_shown(facts['alone'])}")
    print(f"changed facts followed, as packed: {_shown(facts['packed'])}")
    took = {step: round(spent, 2) for step, spent in minutes.items()}
    print(f"minutes: {took}")
    print(json.dumps({"release": name, "minutes": took, "gate": gate}))


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:,}"
    if not value["n"]:
        return "-"  # nothing tells: of no reply without a header can be said what it decided
    low, high = value["ci"]
    return f"{value['value']:.3f} [{low:.3f}, {high:.3f}]"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
