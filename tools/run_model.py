"""`make run MODEL=smollm2`: the whole product with a model of our own, on a laptop's CPU.

Three processes: vLLM with the merged adapter, the service with its page and widget, and this one,
which ends them together. A reply of the model is told only where verification holds it.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from models.manifest import read_adapter
from models.serve.local import merged_args, python, running
from tools.demo import free_port
from tools.smollm2 import ADAPTER

LENGTH = 4096
HEALTHY_S = 900.0
EXPECT = """
A model of 135 million parameters answers here, in place of the composer. It shows how the behaviour
layer works; it is no model to serve customers with: it picks the wrong passage far more often than
the composer does (docs/behaviour.md has the figures). Each sentence of it is held against its
source before it is told, and what does not hold the composer answers instead.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=["smollm2"])
    parser.add_argument("--company", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--index", required=True)
    args = parser.parse_args()
    home, house = ((args.company / name).resolve() for name in (".twofold", "house.yaml"))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ |= {"TWOFOLD_HOME": str(home), "TWOFOLD_HOUSE": str(house)}
    base = _told("model", "base", args.model)
    merged = Path(_told("model", "merge", ADAPTER, "--base", base)).resolve()
    name, port = read_adapter(ADAPTER).name, free_port()
    url = f"http://127.0.0.1:{port}"
    print("Starting vLLM: a minute on a quiet machine, several on a busy one.", flush=True)
    with running(
        [*python(""), *merged_args(merged, name, port, LENGTH)], url, home / "vllm.log", HEALTHY_S
    ):
        print(EXPECT, flush=True)
        # The context that it was trained with, and time for a CPU to read it.
        more = {
            "TWOFOLD_MODEL_URL": url,
            "TWOFOLD_MODEL_ADAPTER": name,
            "TWOFOLD_MODEL_FIRST_TOKEN_S": "15",
            "TWOFOLD_CONTEXT_CHUNKS": "2",
            "TWOFOLD_CONTEXT_CHARS": "1600",
        }
        service = subprocess.Popen(
            [*_twofold(), "-C", str(args.company), "serve", "--port", str(args.port), "--index",
             args.index],
            env=os.environ | more,
        )  # fmt: skip
        signal.signal(signal.SIGTERM, lambda *_: service.terminate())
        try:
            code = service.wait()
        except KeyboardInterrupt:
            code = service.wait()
    sys.exit(code)


def _twofold() -> list[str]:
    return [sys.executable, "-m", "twofold"]


def _told(*command: str | Path) -> str:
    """The last line that `twofold COMMAND` prints; its errors end us."""
    done = subprocess.run(
        [*_twofold(), *map(str, command)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
