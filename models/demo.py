"""`make demo-finetune`: the behaviour layer from rows to a promoted release, on two CPU cores.

Everything lies under `.twofold/demo`, apart from what `make run` uses. The tiny base proves the
path, not answer quality: it can copy out of its context, and its context is kept short.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.cli_gate import REFUSED
from models.tiny import BASE

HOME = Path(".twofold/demo")
EXAMPLE = Path("examples/brackwater")
DATASET, ADAPTERS = HOME / "dataset", HOME / "adapters"
TRAIN, VLLM = Path(".venv-train/bin/python"), Path(".venv-vllm/bin/python")
BASE_NAME = "tiny"
ON_CPU = ("--enforce-eager", "--block-size", "32", "--max-num-seqs", "8")
"""vLLM on a CPU: compiling kernels would take minutes; its attention wants blocks of 32."""
QUIET = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
"""One GiB of cache, no core of its own, nobody called."""
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
    step("index", "ingest", EXAMPLE / "help-center", "--source", "help")
    step(
        "rows", "dataset", "build", "--suite", EXAMPLE / "eval",
        "--dialogues", EXAMPLE / "dialogues/approved.yaml", "--examples", "--heldout",
        "--out", DATASET,
    )  # fmt: skip
    step("lint", "dataset", "lint", DATASET, "--tokenizer", BASE / "tokenizer.json")
    folder = ADAPTERS / time.strftime("brackwater-%Y%m%d-%H%M%S")
    step(
        "train", "train", DATASET, "--base", BASE, "--recipe", "tiny-cpu", "--out", folder,
        python=TRAIN, more=ONE_THREAD,
    )  # fmt: skip
    name = step("publish", "model", "publish", folder).strip().splitlines()[-1]
    with vllm():
        told = step("gate", "gate", name, "--dataset", DATASET, "--json", fine=REFUSED)
        gate = json.loads(told.splitlines()[-1])
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
    """Of every command of the demo; the model server gets a free port."""
    return {
        "TWOFOLD_HOME": str(HOME),
        "TWOFOLD_HOUSE": str(EXAMPLE / "house.yaml"),
        "TWOFOLD_CONTEXT_CHUNKS": "2",
        "TWOFOLD_CONTEXT_CHARS": "1600",
        "TWOFOLD_MODEL_NAME": BASE_NAME,
        "TWOFOLD_MODEL_URL": f"http://127.0.0.1:{_free_port()}",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin for each other starve all else
    }


def step(
    name: str,
    *command: str | Path,
    python: str | Path = sys.executable,
    fine: int = 0,
    more: Mapping[str, str] = NOTHING,
) -> str:
    """Run `twofold COMMAND`, note how long it took, and give its standard output; the rest is seen
    as it comes. Another exit code than 0 or `fine` ends the demo with that code."""
    begun = time.monotonic()
    print(f"\n==> {name}: twofold {' '.join(map(str, command))}", file=sys.stderr, flush=True)
    done = subprocess.run(  # noqa: S603
        [python, "-m", "twofold", *map(str, command)],
        stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **more},
    )  # fmt: skip
    minutes[name] = minutes.get(name, 0.0) + (time.monotonic() - begun) / 60
    if done.returncode not in (0, fine):
        print(done.stdout)
        raise SystemExit(done.returncode)
    return done.stdout


@contextmanager
def vllm() -> Iterator[None]:
    """vLLM with what the registry says, at TWOFOLD_MODEL_URL, until the end of the block."""
    url = os.environ["TWOFOLD_MODEL_URL"]
    port = url.rpartition(":")[2]
    args = json.loads(step("serve-args", "model", "serve-args", "--json", "--port", port))
    command = [
        *(str(VLLM), "-m", "vllm.entrypoints.openai.api_server", "--model", args["model"]),
        *args["argv"],
        *ON_CPU,
    ]
    with (HOME / "vllm.log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            command, stdout=log, stderr=log, start_new_session=True,
            env=os.environ | args["env"] | QUIET,
        )  # fmt: skip
    try:
        os.environ["TWOFOLD_MODEL_ADMIN_URL"] = url
        step("vLLM starts", "model", "warm-up")
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _report(gate: dict[str, Any], name: str) -> None:
    base, tuned = gate["arms"][BASE_NAME], gate["arms"][name]

    def line(label: str, key: str) -> None:
        print(f"{label:34} {_shown(base[key]):>22} {_shown(tuned[key]):>22}")

    print(f"\n{'':34} {'base, full prompt':>22} {'adapter, tuned prompt':>22}")
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
