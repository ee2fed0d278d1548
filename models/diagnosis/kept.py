"""Replays that were made once, kept by what they depend on: a run that was broken off goes on.

What a model failed at is not kept: another time it may not.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.jsonl import read_jsonl
from twofold.errors import InvalidInput
from twofold.index.contract import content_hash

FAILED = frozenset({"failed", "broke_off"})
"""What becomes of a model's call that says nothing of the model: too slow, refused, broken off."""


class KeptReplays:
    """Keeps replays in one file a world (`AnswerClient.world`'s digest), a line a replay; without a
    folder it keeps none. Lines that a killed run left half written are passed over."""

    def __init__(self, folder: Path | None, world: str) -> None:
        self._path = folder / f"{world}.jsonl" if folder is not None else None
        self._known: dict[str, dict[str, Any]] = {}
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._path.exists():
                self._read(self._path)

    def get(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        return self._known.get(_key(body))

    def put(self, body: Mapping[str, Any], told: dict[str, Any]) -> None:
        if any(call["outcome"] in FAILED for call in told["calls"]):
            return
        key = _key(body)
        self._known[key] = told
        if self._path is not None:
            line = json.dumps({"key": key, "told": told}, ensure_ascii=False)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def _read(self, path: Path) -> None:
        try:
            for _, row in read_jsonl(path):
                self._known[row["key"]] = row["told"]
        except InvalidInput:
            # Only the last line can be broken: its question is asked again.
            whole = path.read_text(encoding="utf-8").rsplit("\n", 1)[0]
            path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")


def _key(body: Mapping[str, Any]) -> str:
    return content_hash(json.dumps(body, sort_keys=True, ensure_ascii=False))
