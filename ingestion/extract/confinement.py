"""The inside of the confined process: limits first, then one file from stdin to stdout."""

import resource
import sys
from typing import Any

MAX_DEPTH = 2000


def main(format: str, cpu: int, memory: int, output: int) -> None:
    """Write JSON: {title, parts: [[kind, level, text, line]]}, or {problem}."""
    megabyte = 1 << 20
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output * megabyte, output * megabyte))
    resource.setrlimit(resource.RLIMIT_AS, (memory * megabyte, memory * megabyte))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    sys.setrecursionlimit(MAX_DEPTH)
    raw = sys.stdin.buffer.read()
    # Behind the limits: an import is cheap, and what it reads is ours.
    import orjson

    from twofold.errors import InvalidInput

    try:
        said: dict[str, Any] = _read(format, raw)
    except InvalidInput as error:
        said = {"problem": error.message}
    except (RecursionError, MemoryError):
        said = {
            "problem": "It is nested or packed too deep to be read. Save it again, or split it."
        }
    sys.stdout.buffer.write(orjson.dumps(said))
    sys.stdout.buffer.flush()


def _read(format: str, raw: bytes) -> dict[str, Any]:
    from ingestion.extract.document import Heading

    if format == "pdf":
        from ingestion.extract.pdf import parse_pdf as parse
    else:
        from ingestion.extract.docx import parse_docx as parse
    parsed = parse(raw)
    parts = [
        ["heading", part.level, _sane(part.text), part.line]
        if isinstance(part, Heading)
        else [part.block.kind, 0, _sane(part.block.text), part.line]
        for part in parsed.parts
    ]
    return {"title": _sane(parsed.title), "parts": parts}


def _sane(text: str) -> str:
    """Text that JSON and the ledger can hold: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
