"""How the text of a page is broken: other values, lost sentences, letters run together."""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from models.suite.facts import says
from twofold.text import blocks as prose

_WHOLE = re.compile(r"(?<![\w.,])\d+(?![\w]|[.,]\d)|(?<![\w.,])\d+(?=[a-zA-Z%])")
"""A whole number that can be exchanged where it stands. `twofold.text.numbers` reads more: `1,5`
and `1.000` are left alone here, since which of them is a decimal depends on the language."""
Facts = Sequence[tuple[str, ...]]


def pieces(text: str) -> list[tuple[int, int]]:
    """Returns sentences, items, rows and code blocks, by offsets, in order."""
    return [
        (span.start, span.end) for block in prose.blocks(text) for span in prose.parts(text, block)
    ]


def holding(text: str, facts: Facts) -> list[tuple[int, int]]:
    """Returns the pieces that hold a fact."""
    return [(a, b) for a, b in pieces(text) if any(says(text[a:b], fact) for fact in facts)]


def other_number(text: str, random: Random) -> str:
    """Returns the text with its first number another one; the same where it has none."""
    match = _WHOLE.search(text)
    if match is None:
        return text
    old = int(match[0])
    new = old
    while str(new) in (match[0], "0"):
        new = max(1, old + random.choice((-1, 1)) * random.randint(1, max(9, old // 2)))
    return f"{text[: match.start()]}{new}{text[match.end() :]}"


def falsified(text: str, facts: Facts, random: Random) -> str | None:
    """Returns the text with another value in place of every fact that is a number; None where
    none is."""
    out = text
    for fact in facts:
        for spelling in fact:
            false = other_number(spelling, random)
            if false != spelling:
                out = out.replace(spelling, false)
    if out == text or any(says(out, fact) for fact in facts if _is_number(fact)):
        return None
    return out


def without(text: str, facts: Facts) -> str:
    """Returns the text without the pieces that hold a fact."""
    for a, b in reversed(holding(text, facts)):
        text = text[:a] + text[b:]
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def garbled(text: str, facts: Facts) -> str:
    """Returns the pieces that hold a fact as a bad reader leaves them: no blanks, letters lost."""
    for a, b in reversed(holding(text, facts)):
        run = re.sub(r"\s+", "", text[a:b])
        text = text[:a] + re.sub(r"[aeo0-9]", "\ufffd", run) + text[b:]
    return text


def cut_in(text: str, facts: Facts) -> tuple[str, str] | None:
    """Returns two texts, cut inside the first piece that holds a fact: inside the fact where it
    has several words, before it where it has one."""
    for a, b in holding(text, facts):
        piece = text[a:b]
        for fact in facts:
            for spelling in fact:
                at = piece.lower().find(spelling.lower())
                if at <= 0:
                    continue
                blank = spelling.find(" ")
                place = a + at + (max(0, blank))
                return text[:place].rstrip(), text[place:].lstrip()
    return None


def sections_with(
    sections: Sequence[dict[str, Any]], change: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Returns a version's sections with their texts changed; those left empty are gone."""
    changed = []
    for section in sections:
        text = change(section["text"])
        if text.strip():
            kept = {key: value for key, value in section.items() if key != "blocks"}
            changed.append({**kept, "text": text})
    return changed


def _is_number(fact: tuple[str, ...]) -> bool:
    return all(_WHOLE.search(spelling) for spelling in fact)
