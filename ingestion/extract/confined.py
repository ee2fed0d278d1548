"""PDF and DOCX, read in a process of their own that can hurt nobody.

Its time, memory, output and open files are bounded by the kernel, and it sees none of our
environment. Whatever a file does to it, the sync goes on and the file is recorded as failed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from ingestion.extract.document import Block, Heading, Located, Parsed
from twofold.errors import InvalidInput

MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "application/pdf": "pdf",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    }
)
"""Media type -> format."""

_ROOT = str(Path(__file__).resolve().parents[2])


class Bounds(NamedTuple):
    """Seconds of processor and of wall clock, and megabytes of memory and of extracted text."""

    cpu: int = 30
    wall: float = 60.0
    memory: int = 1024
    output: int = 64


def parse_confined(media_type: str, raw: bytes, bounds: Bounds | None = None) -> Parsed:
    """Raises InvalidInput where it cannot be read, or not within the bounds."""
    bounds = bounds or Bounds()
    format = MEDIA_TYPES[media_type]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as made:
        given.write(raw)
        given.seek(0)
        code = _run(format, bounds, given, made)
        if code != 0:
            raise _too_much(format, bounds)
        made.seek(0)
        return _parsed(made.read(), format, bounds)


def _run(format: str, bounds: Bounds, given: Any, made: Any) -> int:
    """The exit code; -SIGKILL where the wall clock ran out."""
    limits = [str(each) for each in (bounds.cpu, bounds.memory, bounds.output)]
    process = subprocess.Popen(  # noqa: S603  our own module, no shell
        [sys.executable, "-m", "ingestion.extract.confinement", format, *limits],
        stdin=given,
        stdout=made,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"PYTHONPATH": _ROOT, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    try:
        return process.wait(bounds.wall)
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _parsed(output: bytes, format: str, bounds: Bounds) -> Parsed:
    try:
        said = orjson.loads(output)
    except orjson.JSONDecodeError as error:
        raise _too_much(format, bounds) from error
    if "problem" in said:
        raise InvalidInput(said["problem"])
    parts: list[Heading | Located] = []
    for kind, level, text, line in said["parts"]:
        parts.append(
            Heading(level, text, line) if kind == "heading" else Located(Block(kind, text), line)
        )
    return Parsed(said["title"], parts)


def _too_much(format: str, bounds: Bounds) -> InvalidInput:
    return InvalidInput(
        f"Reading this {format.upper()} takes over {bounds.cpu} s or {bounds.memory} MB, or"
        " crashes its reader. Save it again with another program, or split it."
    )
