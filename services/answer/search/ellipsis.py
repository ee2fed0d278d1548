"""Asks an ellipsis in full: after "How do I set up SSO with Okta?", "and with Entra?" means "How do
I set up SSO with Entra?"."""

import re
from collections.abc import Sequence
from typing import Final

from twofold.clients.embedder import Embedder

WORDS: Final = 4
"""Words of what is named; a longer piece asks something by itself."""
ALIKE: Final = 0.3
"""Cosine from which two names may stand in one place."""
SAME_SHAPE: Final = 0.3
"""Added to the cosine of two that look alike: names, codes, figures."""

_LEAD = re.compile(
    r"\A\W*+(?:(?:ok(?:ay)?|and|but|or|und|oder|aber|also|the same|same|then|dann)\b[\s,]*+)*+"
    r"(?:(?:what|how) about\b|(?:q|question|thing)? ?(?:goes )?(?:about\b ?|(?=(?:for|with)\b))"
    r"|was ist mit\b|wie (?:ist|sieht) es (?:mit|bei|aus mit)\b)?+\s*+",
    re.IGNORECASE,
)
_TAIL = re.compile(r"(?:\s+(?:then|too|as well|instead|dann|auch))?\W*\Z", re.IGNORECASE)
_PLACE = (
    r"with|on|in|for|at|from|to|via|by|per|under|using|against"
    r"|mit|bei|beim|im|am|für|auf|pro|von|zum|zur"
)
_PLACED = re.compile(rf"\A({_PLACE})\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"\A(?:the|an?|der|die|das|den|dem)\s+", re.IGNORECASE)
_WORD = re.compile(r"[\w$€%][\w.'’/-]*(?<![.'’/-])|[^\w\s]")
_NO_NAME = re.compile(
    rf"(?:{_PLACE}|how|what|whats|which|who|whom|when|where|why|if|can|could|do|does|did|is|are|was"
    r"|were|be|been|will|would|may|should|must|have|has|had|get|got|need|use|cost|costs|mean|means"
    r"|it|its|this|that|these|those|they|them|there|i|we|you|my|our|your|me|us|he|she|one|ones|not"
    r"|and|or|the|a|an|of|as|than|many|much|long|often|old|far|big|wenn|wie|was|welche[rsn]?|wer"
    r"|wann|wo|warum|kann|können|darf|ist|sind|gibt|muss|kostet|ich|wir|sie|es|er|das|dies\w*|der"
    r"|die|den|dem|ein|eine|einen|nicht|viele?|lange|oft|man|mein|unser|habe|haben|what's)",
    re.IGNORECASE,
)

Span = tuple[int, int]


def in_full(message: str, before: str, embedder: Embedder) -> str | None:
    """Returns the question `before` with what the message names in the place of its like; None
    where the message is no such ellipsis, or nothing there is like it."""
    named = _TAIL.sub("", _LEAD.sub("", message))
    words = named.split()
    place = _PLACED.match(named)
    name = _ARTICLE.sub("", named[place.end() :] if place else named)
    if not 0 < len(words) <= WORDS or any(map(_NO_NAME.fullmatch, name.split())):
        return None
    placed = _placed(before, place[1]) if place else []
    found = _likeness(name, before, placed or _names(before), embedder)
    likeness, (start, end) = max(found, default=(0.0, (0, 0)))
    if likeness < (0.0 if placed else ALIKE) or before[start:end].lower() == name.lower():
        return None
    return before[:start] + name + before[end:]


def _likeness(
    name: str, before: str, spans: Sequence[Span], embedder: Embedder
) -> list[tuple[float, Span]]:
    if not spans:
        return []
    vectors = embedder.embed([name, *(before[slice(*span)] for span in spans)])
    found = []
    for vector, span in zip(vectors[1:], spans, strict=True):
        alike = _shape(name) != "word" and _shape(before[slice(*span)]) == _shape(name)
        found.append((float(vector @ vectors[0]) + SAME_SHAPE * alike, span))
    return found


def _placed(before: str, place: str) -> list[Span]:
    """What stands behind the same preposition."""
    found = []
    for match in re.finditer(rf"\b{place}\s+(?:(?:the|a|an)\s+)?", before, re.IGNORECASE):
        run = _run(before, match.end())
        if run:
            found.append((run[0][0], run[-1][1]))
    return found


def _names(before: str) -> list[Span]:
    """Whatever may be a name: up to three words in a row that are no others."""
    found = []
    for match in _WORD.finditer(before):
        run = _run(before, match.start())
        found += [(run[0][0], run[size][1]) for size in range(len(run))]
    return found


def _run(text: str, start: int) -> list[Span]:
    """The words from there on, up to three, before one that is part of no name."""
    run: list[Span] = []
    for match in _WORD.finditer(text, start):
        if len(run) == 3 or _NO_NAME.fullmatch(match[0]) or not match[0][0].isalnum():
            break
        run.append(match.span())
    return run


def _shape(text: str) -> str:
    if any(map(str.isdigit, text)):
        return "code"
    return "name" if text[:1].isupper() else "word"
