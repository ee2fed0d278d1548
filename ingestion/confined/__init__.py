"""What strangers wrote, read in processes of their own that can hurt nobody.

Their time, memory, output and open files are bounded by the kernel, and they see none of our
environment. Whatever a file does to its reader, the sync goes on and the file is recorded as
failed. A process reads one document after another, because starting one costs more than most
documents do.
"""

import atexit
import contextlib
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from twofold.errors import InvalidInput

_ROOT = str(Path(__file__).resolve().parents[2])
_IDLE = 2
"""Processes kept for the next document."""
_MOST_READ = 2000
"""Documents after which a process is replaced, whatever its libraries hold on to."""
_SWOLLEN = 300_000
"""Kilobytes; so is one that once grew by so much."""


class Bounds(NamedTuple):
    """Seconds of processor and of wall clock, and megabytes of memory and of extracted text."""

    cpu: int = 30
    wall: float = 60.0
    memory: int = 1024
    output: int = 64


class _Gone(Exception):
    """Raised where the process ended, or did not answer in time."""


class _Reader:
    """One confined process that reads documents."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.read = 0
        self._process = subprocess.Popen(  # noqa: S603  our own module, no shell
            [sys.executable, "-m", "ingestion.confined.process", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={
                "PYTHONPATH": _ROOT,
                "PYTHONHASHSEED": "0",
                "LC_ALL": "C.UTF-8",
                # Threads of an unused library would count towards its memory.
                "OPENBLAS_NUM_THREADS": "1",
            },
            start_new_session=True,
        )

    def ask(self, asked: bytes, raw: bytes, bounds: Bounds) -> bytes:
        """Raises _Gone."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise _Gone
        try:
            for frame in (asked, raw):
                process.stdin.write(len(frame).to_bytes(8))
                process.stdin.write(frame)
            process.stdin.flush()
        except OSError as error:
            raise _Gone from error
        deadline = time.monotonic() + bounds.wall
        size = int.from_bytes(_received(process.stdout, 8, deadline))
        if size > (bounds.output << 20) + 1000:
            raise _Gone
        self.read += 1
        return _received(process.stdout, size, deadline)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


def _received(pipe: IO[bytes], size: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while size:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise _Gone
            part = os.read(pipe.fileno(), min(size, 1 << 20))
            if not part:
                raise _Gone
            parts.append(part)
            size -= len(part)
    return b"".join(parts)


_idle: list[_Reader] = []
_lock = threading.Lock()
_of_the_parent: list[_Reader] = []
"""After a fork they are not ours; held, so that nobody ends them here."""


def ask(
    reader: str, asked: Mapping[str, Any], raw: bytes, bounds: Bounds | None = None
) -> dict[str, Any]:
    """Returns what the function `reader` ("module:name") makes of `asked` and the bytes, there.
    Raises InvalidInput where it cannot read them, or not within the bounds."""
    bounds = bounds or Bounds()
    limits = {"reader": reader, "cpu": bounds.cpu, "output": bounds.output}
    written = orjson.dumps({**limits, "asked": asked})
    process = _taken(bounds.memory)
    try:
        said: dict[str, Any] = orjson.loads(process.ask(written, raw, bounds))
    except (_Gone, orjson.JSONDecodeError) as error:
        process.end()
        raise _too_much(bounds) from error
    except BaseException:
        process.end()
        raise
    _given_back(process, said.get("grown", 0))
    if said.get("too_much"):
        raise _too_much(bounds)
    if "problem" in said:
        raise InvalidInput(said["problem"])
    found: dict[str, Any] = said["read"]
    return found


def _taken(memory: int) -> _Reader:
    with _lock:
        while _idle:
            at = next((n for n, each in enumerate(_idle) if each.memory == memory), None)
            if at is None:
                break
            reader = _idle.pop(at)
            if reader.alive:
                return reader
            reader.end()
    return _Reader(memory)


def _given_back(reader: _Reader, grown: int) -> None:
    over: _Reader | None = reader
    with _lock:
        if reader.read < _MOST_READ and grown < _SWOLLEN:
            _idle.append(reader)
            # Ends the one idle longest: it may have other bounds, and never be asked again.
            over = _idle.pop(0) if len(_idle) > _IDLE else None
    if over is not None:
        over.end()


def _end_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().end()


def _forget() -> None:
    _of_the_parent.extend(_idle)
    _idle.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget)


def _too_much(bounds: Bounds) -> InvalidInput:
    return InvalidInput(
        f"Reading it takes over {bounds.cpu} s or {bounds.memory} MB, or crashes its reader. Save"
        " it again with another program, or split it."
    )
