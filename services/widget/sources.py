"""A cited document as a visitor sees it: its sections, the quoted words marked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.widget.schemas import SectionOut, SourceOut
from twofold.text.links import host_of, settled

MOST_CHARS: Final = 60_000
"""Of a preview. A longer document is shown around what is quoted."""


def preview(cited: Mapping[str, Any], version: Mapping[str, Any]) -> SourceOut:
    """Returns the version's sections, with every place marked where the quote stands in the first
    section that has it. A quote that runs over several sections is marked in none.

    Links lead to the page's own host alone: whoever planted another one in the page gets its words
    shown, and no click.
    """
    own = frozenset({host_of(cited["url"] or version["url"])})
    quote = settled(cited["quote"], own)
    sections = [{**each, "text": settled(each["text"], own)} for each in version["sections"]]
    at, marks = _find(sections, quote)
    start, end = _around(sections, at)
    return SourceOut(
        n=cited["n"],
        title=cited["title"] or version["title"],
        url=cited["url"] or version["url"],
        document=cited["document"],
        version=cited["version"],
        current=version["live"],
        heading=list(sections[at]["heading_path"]) if sections else [],
        quote=cited["quote"],
        sections=[
            SectionOut(
                heading=list(section["heading_path"]),
                text=section["text"],
                marks=marks if number == at else [],
            )
            for number, section in enumerate(sections[start:end], start)
        ],
        at=at - start,
    )


def _find(sections: Sequence[Mapping[str, Any]], quote: str) -> tuple[int, list[tuple[int, int]]]:
    """Returns the section that holds the quote, and where; the first section where none does."""
    for number, section in enumerate(sections):
        if marks := spans(section["text"], quote):
            return number, marks
    return 0, []


def spans(text: str, quote: str) -> list[tuple[int, int]]:
    """Returns where `quote` stands in `text`, in code points; white space counts as one blank."""
    words = quote.split()
    if not words:
        return []
    plain, places = _squeezed(text)
    wanted = " ".join(words)
    found, start = [], plain.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        found.append((places[start], places[end - 1] + 1))
        start = plain.find(wanted, end)
    return found


def _squeezed(text: str) -> tuple[str, list[int]]:
    """Returns the text with single blanks, and where each of its characters stands in `text`."""
    kept: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character.isspace():
            if kept and kept[-1] != " ":
                kept.append(" ")
                places.append(place)
        else:
            kept.append(character)
            places.append(place)
    return "".join(kept), places


def _around(sections: Sequence[Mapping[str, Any]], at: int) -> tuple[int, int]:
    """Returns which sections to show: all, or as many as fit, grown from the one at `at`."""
    start, end = at, min(at + 1, len(sections))
    room = MOST_CHARS - sum(len(section["text"]) for section in sections[start:end])
    while room > 0 and (start > 0 or end < len(sections)):
        if end < len(sections):
            room -= len(sections[end]["text"])
            end += room > 0
            if room <= 0:
                break
        if start > 0:
            room -= len(sections[start - 1]["text"])
            start -= room > 0
    return start, end
