"""The corpus of small pages: what must be read of each, what must not, and who may see it.

Each folder of `conformance/` is a kind of fault; its `expected.yaml` says what holds for the files
beside it, and `generated` names files that `conformance_files.py` makes. To add a case, add a file
and its lines. Keys: `reads` and `lacks` (in the text, literally), `together` and `apart` (texts
that one chunk holds; that no chunk holds at once), `chunks` (how many), and title, kind, locale,
audience, visible, skipped, error as `ingest --dry-run` prints them, the last two in part.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ingestion.preview import Preview, preview
from tests.ingestion import conformance_files
from twofold.settings import Settings

ROOT = Path(__file__).parent / "conformance"
KEYS = {"reads", "lacks", "together", "apart", "chunks", "skipped", "error"}


class Case(NamedTuple):
    folder: Path
    name: str
    expected: dict[str, Any]


CASES = [
    Case(path.parent, name, expected)
    for path in sorted(ROOT.glob("*/expected.yaml"))
    for name, expected in yaml.safe_load(path.read_text(encoding="utf-8")).items()
]


def test_there_are_enough_and_each_file_has_its_lines() -> None:
    assert len(CASES) >= 150
    files = {path for path in ROOT.glob("*/*") if path.name != "expected.yaml"}
    named = {case.folder / case.name for case in CASES if case.folder.name != "generated"}
    assert files == named


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.folder.name}/{case.name}")
def test_a_page_means_what_it_says(case: Case, tmp_path: Path) -> None:
    path = case.folder / case.name
    if case.folder.name == "generated":
        path = tmp_path / case.name
        path.write_bytes(conformance_files.MADE[case.name]())
    (seen,) = preview(Settings(home=tmp_path / "none", house=None), [path])
    check(seen, case.expected)


def check(seen: Preview, expected: dict[str, Any]) -> None:
    wrong = []
    for key in ("error", "skipped"):
        said = getattr(seen, key)
        if (key in expected) != (said is not None) or expected.get(key, "") not in (said or ""):
            wrong.append(f"{key}: {said}")
    wrong += [f"not read: {text!r}" for text in expected.get("reads", ()) if text not in seen.text]
    wrong += [f"read: {text!r}" for text in expected.get("lacks", ()) if text in seen.text]
    for texts in expected.get("together", ()):
        if not any(all(text in chunk for text in texts) for chunk in seen.chunks):
            wrong.append(f"in no chunk together: {texts}")
    for texts in expected.get("apart", ()):
        if any(all(text in chunk for text in texts) for chunk in seen.chunks):
            wrong.append(f"in one chunk: {texts}")
    if len(seen.chunks) != expected.get("chunks", len(seen.chunks)):
        wrong.append(f"{len(seen.chunks)} chunks")
    for key in expected.keys() - KEYS:
        said = getattr(seen, key)
        if (list(said) if key == "audience" else said) != expected[key]:
            wrong.append(f"{key}: {said!r}")
    assert not wrong, "\n".join([*wrong, "", seen.text])
