"""Other words for what is asked: of the field (synonyms.yaml) and of the house."""

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import yaml

MOST = 6
"""Words added to one question."""

_UMLAUTS = tuple(
    (re.compile(rf"(?<![aeqAEQ]){pair}"), umlaut)
    for pair, umlaut in (
        ("ae", "ä"),
        ("oe", "ö"),
        ("ue", "ü"),
        ("Ae", "Ä"),
        ("Oe", "Ö"),
        ("Ue", "Ü"),
    )
)
"""Not behind the vowels and the q of "neue", "bequem", "Frauen"."""

Group = tuple[str, ...]


class Synonyms:
    """Groups of words that say one thing."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = [(group, _any_of(group)) for group in groups]

    def beside(self, text: str) -> str:
        """Returns synonyms of the text's words, joined by blanks; empty where none is known."""
        found: dict[str, None] = {}
        for group, pattern in self._groups:
            if pattern.search(text):
                found |= dict.fromkeys(word for word in reversed(group) if not _holds(text, word))
        return ", ".join([*found][:MOST])


def respelt(text: str, locale: str) -> str:
    """Returns German that was typed without umlauts, with them; the same text where there are
    none."""
    if not locale.startswith("de"):
        return text
    for pair, umlaut in _UMLAUTS:
        text = pair.sub(umlaut, text)
    return text


@lru_cache(8)
def synonyms(house: tuple[Group, ...] = ()) -> Synonyms:
    """Returns the synonyms of the field and of the house."""
    text = files("services.answer.search").joinpath("synonyms.yaml").read_text("utf-8")
    return Synonyms([*house, *(tuple(group) for group in yaml.safe_load(text))])


def _any_of(group: Group) -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in group)
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


def _holds(text: str, word: str) -> bool:
    return word.lower() in text.lower()
