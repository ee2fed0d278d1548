"""Outputs that a system gave at some other time: JSON lines of `id`, `output`, and perhaps the
`context` it was given and the `seconds` and tokens it took."""

from pathlib import Path
from typing import Any, NamedTuple

from models.jsonl import read_jsonl
from twofold.errors import InvalidInput, NotFound


class Output(NamedTuple):
    """`context` is what the system had before it; None where nobody recorded that."""

    text: str
    context: tuple[str, ...] | None
    seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None


def load_outputs(path: Path) -> dict[str, Output]:
    """Returns recorded outputs by their task's id. Raises NotFound, or InvalidInput naming file
    and line."""
    if not path.is_file():
        raise NotFound(f"There is no {path}. It has one object a line: id, output, context?")
    found: dict[str, Output] = {}
    for line, row in read_jsonl(path):
        id, text = row.get("id"), row.get("output")
        if not isinstance(id, str) or not isinstance(text, str):
            raise InvalidInput(f"{path}: line {line} has no `id` and `output`, both texts.")
        if id in found:
            raise InvalidInput(f"{path}: line {line}: {id!r} stands there twice.")
        found[id] = Output(
            text,
            _context(path, line, row.get("context")),
            _number(row.get("seconds")),
            _count(row.get("prompt_tokens")),
            _count(row.get("completion_tokens")),
        )
    return found


def _context(path: Path, line: int, value: Any) -> tuple[str, ...] | None:
    if value is None or isinstance(value, str):
        return None if value is None else (value,)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise InvalidInput(f"{path}: line {line}: `context` is a text or a list of texts.")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
