"""Our service and a model server, each a process of its own, for benchmarks that call them.

    .venv/bin/python -m benchmarks.answering --model http://127.0.0.1:9001 [--set max_in_flight=8]

The service knows two documents, embeds by hashing and is served as `twofold serve` does it; a key
is needed and its rate counted. Prints its address and the key.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
CPUCLOCK_SCHED = 2
"""Linux's clock of a process, all its threads: clock_getcpuclockid(3)."""
KEY_RATE = 1_000_000
"""Requests a minute: counted, and never reached."""


class Child(NamedTuple):
    pid: int
    words: list[str]
    """The first line that it printed."""

    @property
    def url(self) -> str:
        return self.words[0]

    def cpu(self) -> float:
        """Seconds of processor time so far, counted and not sampled: a process that wakes for
        every token sleeps through most ticks, or none."""
        return time.clock_gettime(~self.pid << 3 | CPUCLOCK_SCHED)

    def memory(self) -> float:
        """Resident KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return float(found[1])


@contextmanager
def child(*command: str) -> Iterator[Child]:
    """A process of this interpreter that prints a line beginning with its address."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        while not (line := process.stdout.readline()).startswith("http"):
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended")
        yield Child(process.pid, line.split())
    finally:
        process.terminate()
        process.wait()


@contextmanager
def service(model_url: str, **settings: int) -> Iterator[Child]:
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    with child(__file__, "--model", model_url, *given) as ours:
        yield ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    given = dict(each.split("=") for each in args.set)
    serve(args.model, {name: int(value) for name, value in given.items()})


def serve(model_url: str, given: dict[str, int]) -> None:
    from services.answer.access.bulkhead import Bulkhead
    from services.answer.access.keys import create_key
    from services.answer.app import create_app
    from services.http import server
    from tests.services.answer.asking import knowing, with_model, with_settings

    raise_open_files()
    with tempfile.TemporaryDirectory() as folder, knowing(Path(folder)) as parts:
        parts = with_settings(parts, **given)
        settings = parts.stack.settings
        calls = Bulkhead(settings.model_calls, settings.model_queue, "full")
        asked = with_model(parts, model_url, calls=calls)
        key = create_key(parts.stack.ledger, "bench", "default", ["answer", "read"], rate=KEY_RATE)
        bound = server.bind("127.0.0.1", 0)
        url = server.address("127.0.0.1", bound)
        server.run(create_app(asked), bound, url, lambda: print(url, key.plain, flush=True))


def raise_open_files() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
