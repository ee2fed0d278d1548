"""Pieces that only say where to read on: no answer, but for who asks where to read."""

import re

from services.answer.search.units import Piece

LONGEST = 240
"""Characters; what is longer says something itself."""

_DRESS = re.compile(r"[*_`#>|]+|^\W+|\]\([^)\s]*\)|[\[\]]")
"""Marks of Markdown, and where links lead."""
_POINTS = re.compile(
    r"(?:(?:if|when|where|wenn|falls)\b[^.!?,:]{1,120}, (?:please )?)?"
    r"(?:see|see also|refer to|read more|learn more|find out more|more (?:on|about)"
    r"|related (?:\w+ ){0,2}(?:documentation|articles?|topics?|reading|information|content)"
    r"|for (?:(?:more|further|additional|detailed) )?(?:information|details|instructions|help)\b"
    r"[^.!?]*?\b(?:see|refer to|visit|read)"
    r"|(?:using|looking for|new to) [^.!?]{1,60}\?(?: see\b)?"
    r"|siehe(?: auch)?|mehr (?:dazu|über)|weitere informationen)(?!\w)[^.!?]*+[.!?]?",
    re.IGNORECASE,
)
_NAMES_A_PLACE = re.compile(
    r"[^.!?:]{1,160}? in (?:our|the) (?:[\w-]+ ){0,3}"
    r"(?:guide|documentation|docs|knowledge base)\.?",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"^(?:click|open|choose|select|set|enter|go|use)\b"
    r"|\b(?:is|are|was|were|can|must|may|will|should|has|have|do|does|be|you|we|it|not)\b",
    re.IGNORECASE,
)
_ASKS_WHERE = re.compile(
    r"\b(?:where|links?|urls?|pages?|docs?|documentation|guides?|articles?|read|look|wo|seiten?"
    r"|anleitung)\b",
    re.IGNORECASE,
)


def only_points(piece: Piece) -> bool:
    """Returns whether a piece says nothing but where to read on."""
    if piece.link:
        return True
    if len(piece.read) > LONGEST:
        return False
    text = _DRESS.sub("", piece.read).strip()
    if _POINTS.fullmatch(text):
        return True
    return _NAMES_A_PLACE.fullmatch(text) is not None and _SAYS.search(text) is None


def asks_where(question: str) -> bool:
    """Returns whether a question is answered by naming a page."""
    return _ASKS_WHERE.search(question) is not None
