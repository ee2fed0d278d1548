"""The example company's models on this machine: SmolLM2-135M, and the shipped adapter merged into
it, each by a vLLM of its own."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from models.base.smollm2 import NAME as BASE
from models.manifest import read_adapter
from models.serve.local import merged_args, python, running
from tools.demo import free_port
from tools.smollm2 import ADAPTER

LENGTH = 8192
"""The `full` prompt and all of a gold page."""
HEALTHY_S = 900.0
SHORT = {"context_chunks": 2, "context_chars": 1600}
"""The context that the adapter was trained with."""
PATIENT = {"model_first_token_s": 120.0, "deadline_s": 300.0}
"""A CPU that others use answers late; what it says is measured apart from how long it takes."""


def arguments(parser: argparse.ArgumentParser, *names: str) -> None:
    """One for each of `base` and `tuned` that is named: a server which runs already."""
    for name in names:
        help = f"URL of a server of the {name} model; without it, one is started"
        parser.add_argument(f"--{name}", default="", help=help)


@contextmanager
def served(home: Path, **urls: str) -> Iterator[dict[str, Any]]:
    """Settings that name the models. Of each of `base` and `tuned` that is asked for and has no URL
    a server is started, and ended with the block; weights and logs lie below `home`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    release = read_adapter(ADAPTER).name
    with ExitStack() as stack:
        for which, url in urls.items():
            if url:
                continue
            port = free_port()
            urls[which] = f"http://127.0.0.1:{port}"
            folder = weights(home, which)
            name = BASE if which == "base" else release
            command = [*python(""), *merged_args(folder, name, port, LENGTH)]
            log = home / f"vllm-{which}.log"
            stack.enter_context(running(command, urls[which], log, HEALTHY_S))
        base = {"model_name": BASE} if "base" in urls else {}
        tuned = {"model_adapter": release} if "tuned" in urls else {}
        first, last = next(iter(urls.values())), urls.get("tuned", "")
        yield {"model_url": first, "model_adapter_url": last, **base, **tuned, **PATIENT}


def weights(home: Path, which: str) -> Path:
    """The folder of `base` or `tuned`, made where it is not there."""
    base = home / "bases" / "smollm2"
    _told(home, "model", "base", "smollm2", "--out", base)
    if which == "base":
        return base.resolve()
    return Path(_told(home, "model", "merge", ADAPTER, "--base", base)).resolve()


def _told(home: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "twofold", *map(str, command)],
        stdout=subprocess.PIPE, text=True, check=True,
        env=os.environ | {"TWOFOLD_HOME": str(home)},
    )  # fmt: skip
    return done.stdout.strip().splitlines()[-1]
