"""What is built: its sizes, and its words in every language."""

import json
import re
from itertools import chain
from pathlib import Path

import pytest

from tools.widget_sizes import APP_LIMIT, LOADER_LIMIT, sizes

LOCALES = Path(__file__).parents[3] / "services" / "widget" / "frontend" / "locales"
CHAT = sorted(LOCALES.glob("chat/*.json"))
DESK = sorted(LOCALES.glob("desk/*.json"))


def words(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text())
    return found


def test_loader_and_app_are_small() -> None:
    found = sizes()
    assert found.loader <= LOADER_LIMIT
    assert found.app <= APP_LIMIT


def test_there_are_languages_enough() -> None:
    spoken = {path.stem for path in CHAT}
    assert {"en", "de", "fr", "es", "pt-BR", "it", "ja", "ar", "he"} <= spoken


@pytest.mark.parametrize("path", [*CHAT, *DESK], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_language_says_everything_that_english_says(path: Path) -> None:
    here, english = words(path), words(path.with_stem("en"))
    assert list(here) == list(english)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", here[key])) == sorted(re.findall(r"\{\w+\}", text)), (
            key
        )
        assert bool(here[key]) == bool(text), key


@pytest.mark.parametrize(
    ("folder", "sources"), [("chat", ["app", "shared"]), ("desk", ["desk", "shared"])]
)
def test_every_key_that_is_said_has_words(folder: str, sources: list[str]) -> None:
    root = LOCALES.parent / "src"
    code = "\n".join(
        path.read_text()
        for path in chain.from_iterable((root / each).rglob("*.ts*") for each in sources)
    )
    said = set(re.findall(r'\bt\(\s*"(\w+)"', code))
    assert said
    assert said <= set(words(LOCALES / folder / "en.json"))
    unused = {key for key in words(LOCALES / folder / "en.json") if f'"{key}"' not in code}
    assert unused <= {"launcher", *(key for key in unused if key.startswith("action"))}
