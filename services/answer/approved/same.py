"""Whether two questions ask the same, so strictly that an answer to one is an answer to the other.

Vectors cannot tell: "rotate" and "revoke", "Creek" and "River" lie as near as two ways to say one
thing (on the example's pairs the cosine is right in .59 of the comparisons). So the words decide:
what is left of both, without what carries nothing and with synonyms made one, must be the same, and
so must be the kind of answer that is asked for. Wherever that is in doubt, they differ.
"""

import re
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

import yaml

from services.answer.search.expand import Group
from twofold.index.sparse import Bm25Encoder
from twofold.remembered import remembered

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:-[^\W_]+)*")
_GENITIVE = re.compile(r"['’]s\b")
_STEMS: Final = Bm25Encoder()
LONGEST: Final = 600
"""Characters of a question that is remembered as it was read."""


class Asking(NamedTuple):
    """What a question comes down to: the kind of answer (or "") that it wants, and its words."""

    kind: str
    words: frozenset[str]
    light: frozenset[str]
    """Those of `words` that the other question need not have."""


class QuestionReader:
    """Reads questions, with a house's own synonyms beside those of the field."""

    def __init__(self, house: tuple[Group, ...]) -> None:
        text = files("services.answer.approved").joinpath("same.yaml").read_text("utf-8")
        known = yaml.safe_load(text)
        self._nothing = {word for line in known["nothing"] for word in _words(str(line))}
        self._light = set(_words(known["light"]))
        self._kinds = {
            kind: re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")
            for kind, pattern in known["kinds"].items()
        }
        self._alike = {kind: group[0] for group in known["alike"] for kind in group}
        groups = [*house, *known["same"]]
        phrases = sorted(
            (
                (_words(str(word)), f"={number}")
                for number, group in enumerate(groups)
                for word in group
            ),
            key=lambda each: -len(each[0]),
        )
        self._phrases = [each for each in phrases if each[0]]
        self.read = remembered(4096, LONGEST)(self._read)

    def same(self, one: str, two: str, locale: str) -> bool:
        """Returns whether they ask the same; False in any doubt."""
        return self.alike(self.read(one, locale), self.read(two, locale))

    def alike(self, first: Asking, second: Asking) -> bool:
        """Returns the same as `same`, of questions that were read before."""
        kinds = {self._alike.get(each.kind, each.kind) for each in (first, second)} - {""}
        if first.words < second.words:
            first, second = second, first
        more = first.words - second.words
        return (
            second.words <= first.words
            and more <= first.light
            and len(kinds) < 2
            and bool(second.words)
        )

    def _read(self, question: str, locale: str) -> Asking:
        text = question.lower()
        kind = ""
        for name, pattern in self._kinds.items():
            if pattern.search(text):
                kind = name
                text = pattern.sub(" ", text)
                break
        words, found, light = _words(text), set(), set()
        for phrase, group in self._phrases:
            at = 0
            while at <= len(words) - len(phrase):
                if tuple(words[at : at + len(phrase)]) == tuple(phrase):
                    words[at : at + len(phrase)] = [group]
                    found.add(group)
                    if self._light.issuperset(phrase):
                        light.add(group)
                at += 1
        for word in words:
            if word in found or word in self._nothing:
                continue
            own = {str(stem) for stem in _STEMS.terms(word, locale)} or {word}
            found |= own
            if word in self._light:
                light |= own
        return Asking(kind, frozenset(found), frozenset(light))


@lru_cache(8)
def reader(house: tuple[Group, ...] = ()) -> QuestionReader:
    """Returns a house's reader."""
    return QuestionReader(house)


def _words(text: str) -> list[str]:
    return _WORD.findall(_GENITIVE.sub("", text.lower()))
