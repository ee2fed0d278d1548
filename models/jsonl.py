"""JSON lines: one object a line, cut at line feeds only."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twofold.errors import InvalidInput


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects of a file with the numbers of their lines; empty lines are left out.

    Raises FileNotFoundError, or InvalidInput naming file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 ({error}). Save it as UTF-8.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise InvalidInput(f"{path}: line {number} is not a JSON object.")
        yield number, value
