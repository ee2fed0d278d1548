"""What an answer costs with each prompt, on this machine: `twofold model economics`, and memory.

    python -m benchmarks.economics --dataset DATASET [--rows 40]

Serves SmolLM2, and the same with the shipped adapter merged, each by a vLLM of its own, and has the
command ask them held-out rows: the base with the `full` prompt, and with three whole examples in
it; the tuned one with its own. Memory is what each server's processes hold after that, shared pages
counted once. Prints the command's JSON as the last line. `--from-answers`: as the command's.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import smollm2
from benchmarks.harness import publish
from models.manifest import read_adapter
from models.serve.local import merged_args, python, running
from tools.demo import free_port
from tools.smollm2 import ADAPTER
from twofold.settings import Settings

PRICES = {"read": "0.40", "cached": "0.10", "written": "1.60"}
"""Dollars for a million tokens of a larger model: an example."""
MACHINE_HOUR = "0.10"
GIB = 2**20
"""In KiB, as the system counts memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=40, help="held-out rows that each is asked")
    parser.add_argument("--from-answers", action="store_true")
    args = parser.parse_args()
    home = Settings().home
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    ports = {"base": free_port(), "tuned": free_port()}
    names = {"base": smollm2.BASE, "tuned": read_adapter(ADAPTER).name}
    folders = {which: smollm2.weights(home, which) for which in ports}
    command: dict[str, list[str]] = {
        which: [
            *python(""),
            *merged_args(folders[which], names[which], ports[which], smollm2.LENGTH),
        ]
        for which in ports
    }
    urls = {which: f"http://127.0.0.1:{port}" for which, port in ports.items()}
    wait = smollm2.HEALTHY_S
    with (
        running(command["base"], urls["base"], home / "vllm-base.log", wait) as base,
        running(command["tuned"], urls["tuned"], home / "vllm-tuned.log", wait) as tuned,
    ):
        result = _told(args, folders["base"] / "tokenizer.json", urls)
        result["memory_gib"] = {
            which: round(_held(server.pid) / GIB, 2)
            for which, server in (("base", base), ("tuned", tuned))
        }
    table = Table("", "memory")
    for which, held in result["memory_gib"].items():
        table.add_row(which, f"{held:.2f} GiB")
    publish("economics", result, table)


def _told(args: argparse.Namespace, tokenizer: Path, urls: dict[str, str]) -> dict[str, Any]:
    prices = [word for name, each in PRICES.items() for word in (f"--price-{name}", each)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "twofold", "model", "economics", str(args.dataset)),
            *("--tokenizer", str(tokenizer), *prices, "--machine-hour", MACHINE_HOUR),
            *("--base-url", urls["base"], "--tuned-url", urls["tuned"], "--rows", str(args.rows)),
            *(["--from-answers"] if args.from_answers else []),
            "--json",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _held(session: int) -> int:
    """KiB that the processes of a session hold, pages that several share divided among them."""
    held = 0
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # Its name, in brackets, may hold spaces; the session is the fourth word after it.
            of = int((place / "stat").read_text().rpartition(")")[2].split()[3])
            if of == session:
                lines = (place / "smaps_rollup").read_text().splitlines()
                held += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return held


if __name__ == "__main__":
    main()
