"""The inside of a confined process: limits first, then one document after another.

A request is two frames on stdin, what is asked as JSON and the document's bytes; its answer is one
frame of JSON on stdout. A frame is its length in eight bytes, then that many bytes.
"""

import os
import resource
import select
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, BinaryIO

Reader = Callable[[Mapping[str, Any], bytes], Mapping[str, Any]]
"""Makes JSON values of a document. Raises InvalidInput saying why it cannot."""

MAX_DEPTH = 2000
IDLE_SECONDS = 120.0
"""A process that nobody asks for so long ends."""


def main(memory: int) -> None:
    """Serves until stdin ends. `memory` is in megabytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory << 20, memory << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    # The process writes to a pipe, and to no file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    sys.setrecursionlimit(MAX_DEPTH)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    # Imported once the limits apply.
    import orjson

    while select.select([source], [], [], IDLE_SECONDS)[0] and (head := source.read(8)):
        asked = orjson.loads(source.read(int.from_bytes(head)))
        raw = source.read(int.from_bytes(source.read(8)))
        # First, so that loading what it needs is not the document's time.
        reader = _named(asked["reader"])
        _allow(asked["cpu"])
        said = orjson.dumps(_answer(reader, asked["asked"], raw))
        if len(said) > asked["output"] << 20:
            said = orjson.dumps({"too_much": True})
        _send(sink, said)
        del raw, said


def _named(reader: str) -> Reader:
    module, _, name = reader.partition(":")
    found: Reader = getattr(import_module(module), name)
    return found


def _resident() -> int:
    """Returns the most kilobytes that this process ever held, or its parent before it became a
    program of its own."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


_at_start = _resident()


def _allow(seconds: int) -> None:
    """Allows this much processor time for the next document; the kernel ends what takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _answer(reader: Reader, asked: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    from twofold.errors import InvalidInput

    try:
        said = _all_sane(reader(asked, raw))
    except InvalidInput as error:
        return {"problem": _sane(error.message)}
    except (RecursionError, MemoryError):
        return {
            "problem": "It is nested or packed too deep to be read. Save it again, or split it."
        }
    except Exception as error:
        return {"problem": f"Its reader failed ({type(error).__name__}). Tell us, with the file."}
    return {"read": said, "grown": _resident() - _at_start}


def _all_sane(value: Any) -> Any:
    if isinstance(value, str):
        return _sane(value)
    if isinstance(value, dict):
        return {_sane(key): _all_sane(each) for key, each in value.items()}
    return [_all_sane(each) for each in value] if isinstance(value, list | tuple) else value


def _sane(text: str) -> str:
    """Returns text that JSON and the ledger can hold: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _send(sink: BinaryIO, said: bytes) -> None:
    sink.write(len(said).to_bytes(8) + said)
    sink.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
