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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.tiny import BASE

HOME = Path(".twofold/demo")
EXAMPLE = Path("examples/brackwater")
DATASET, ADAPTER = HOME / "dataset", HOME / "adapters"
TRAIN, VLLM = Path(".venv-train/bin/python"), Path(".venv-vllm/bin/python")
ON_CPU = ("--enforce-eager", "--block-size", "32", "--max-num-seqs", "8")
"""vLLM on a CPU: compiling kernels would take minutes; its attention wants blocks of 32."""
QUESTIONS = (
    "How many endpoints do I get on Creek?",
    "Somebody else logged into our account, please help!",
    "What is the capital of Peru?",
)


def main() -> None:
    started = time.monotonic()
    port = _free_port()
    environment = {
        "TWOFOLD_HOME": str(HOME),
        "TWOFOLD_HOUSE": str(EXAMPLE / "house.yaml"),
        "TWOFOLD_CONTEXT_CHUNKS": "2",
        "TWOFOLD_CONTEXT_CHARS": "1600",
        "TWOFOLD_MODEL_NAME": "tiny",
        "TWOFOLD_MODEL_URL": f"http://127.0.0.1:{port}",
    }
    os.environ |= environment
    minutes = {}

    def step(name: str, *command: str | Path, python: str | Path = sys.executable) -> str:
        begun = time.monotonic()
        _say(f"{name}: twofold {' '.join(map(str, command))}")
        out = _run(python, *command)
        minutes[name] = round((time.monotonic() - begun) / 60, 2)
        return out

    step("index", "ingest", EXAMPLE / "help-center", "--source", "help")
    step(
        "rows", "dataset", "build", "--suite", EXAMPLE / "eval",
        "--dialogues", EXAMPLE / "dialogues/approved.yaml", "--examples", "--heldout",
        "--out", DATASET,
    )  # fmt: skip
    step("lint", "dataset", "lint", DATASET, "--tokenizer", BASE / "tokenizer.json")
    folder = ADAPTER / time.strftime("brackwater-%Y%m%d-%H%M%S")
    step(
        "train", "train", DATASET, "--base", BASE, "--recipe", "tiny-cpu", "--out", folder,
        python=TRAIN,
    )  # fmt: skip
    name = step("publish", "model", "publish", folder).strip().splitlines()[-1]
    begun = time.monotonic()
    with _vllm(port):
        minutes["vllm start"] = round((time.monotonic() - begun) / 60, 2)
        gate = json.loads(
            step("gate", "gate", name, "--dataset", DATASET, "--json").splitlines()[-1]
        )
        step("promote", "model", "promote", name)
        for question in QUESTIONS:
            print(step("ask", "ask", question))
        print(step("list", "model", "list"))
    _report(gate, name, minutes, (time.monotonic() - started) / 60)


def _report(gate: dict[str, Any], name: str, minutes: dict[str, float], whole: float) -> None:
    base, tuned = gate["arms"]["tiny"], gate["arms"][name]

    def line(label: str, key: str) -> None:
        before, after = base[key], tuned[key]
        print(f"{label:48} {_shown(before):>22} {_shown(after):>22}")

    print(f"\n{'':48} {'base, full prompt':>22} {'adapter, tuned prompt':>22}")
    line("contract kept, unconstrained", "contract")
    line("escalated without need", "over_escalated")
    line("not escalated though needed", "under_escalated")
    line("escalation F1", "escalation_f1")
    line("a gold document cited", "citation_recall")
    line("key facts stated", "facts")
    line("instruction tokens", "instruction_tokens")
    book, facts = gate["closed_book"], gate["changed_facts"]
    print(f"closed-book probes that leak: {book['leaks']} of {book['probes']}")
    print(
        f"changed facts followed: alone {_shown(facts['alone'])}, packed {_shown(facts['packed'])}"
    )
    print(
        json.dumps({"release": name, "minutes": minutes | {"all": round(whole, 1)}, "gate": gate})
    )


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:,}"
    low, high = value["ci"]
    return f"{value['value']:.3f} [{low:.3f}, {high:.3f}]"


def _run(python: str | Path, *command: str | Path) -> str:
    """Standard output; the rest is seen as it comes. A failed step ends the demo with its code."""
    done = subprocess.run(  # noqa: S603
        [python, "-m", "twofold", *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout)
        raise SystemExit(done.returncode)
    return done.stdout


@contextmanager
def _vllm(port: int) -> Iterator[None]:
    """vLLM with what the registry says, until the end of the block."""
    args = json.loads(_run(sys.executable, "model", "serve-args", "--json", "--port", str(port)))
    _say(f"vllm serve {args['model']} {' '.join(args['argv'])}")
    environment = os.environ | args["env"] | {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    entry = ["-m", "vllm.entrypoints.openai.api_server", "--model", args["model"]]
    with (HOME / "vllm.log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [VLLM, *entry, *args["argv"], *ON_CPU],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        os.environ["TWOFOLD_MODEL_ADMIN_URL"] = os.environ["TWOFOLD_MODEL_URL"]
        _run(sys.executable, "model", "warm-up")
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _say(text: str) -> None:
    print(f"\n==> {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
