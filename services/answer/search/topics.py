"""Questions for a thing as such ("Do you have an SLA?", "Is there SSO?"): what opens the page that
is called so answers them, or the row of a table. A reader of questions and sentences does not see
that: each sentence of such a page is about something else of the thing."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from services.answer.search.expand import Synonyms
from services.answer.search.pointers import only_points
from services.answer.search.units import CutChunk, Piece

WORDS: Final = 4
"""Words of what is asked for; of more, some property of it is asked for."""
ACRONYM: Final = range(2, 6)
"""Letters that may be the initials of a name."""
TITLE, SECTION, ROW = 0.5, 0.75, 0.25
"""Least share that the thing's name has in the words of a title, a section's heading or a row's
first cell, for these to be about the thing and not about something that has to do with it."""

_AROUND = r"\A\W*+(?:(?:hi|hello|hey|hallo|ok(?:ay)?|so|and|but|also|und|aber|auch)\b\W*+)*+"
_LEAD = (
    r"(?:(?:do|does) (?:\w+ ){1,3}?(?:have|offer|support|provide|include|sell|do)"
    r"|have you got|(?:is|are) there|got|any"
    r"|(?:habt|bietet|unterstützt|macht) ihr|(?:haben|bieten|unterstützen|machen) sie"
    r"|gibt(?:'?s| es))"
)
_ARTICLE = r"(?:(?:an?|any|the|your|some|also|such|ein\w{0,2}|der|die|das|auch)\s++)*+"
_TAIL = (
    r"(?:\s++(?:available|yet|already|too|as well|here|there|please|now|at all|or not|or something"
    r"|included|an|auch|bei euch|schon|denn))*+"
)
_NAME = rf"(?P<what>[^\s,;:?!]++(?:\s[^\s,;:?!]++){{0,{WORDS - 1}}}?)"
_IS_THERE, *_OTHERS = (
    re.compile(rf"{_AROUND}{form}{_TAIL}\W*+\Z", re.IGNORECASE)
    for form in (
        rf"{_LEAD}\s++{_ARTICLE}{_NAME}",
        rf"(?:what(?:'?s| is| are)|was (?:ist|sind)|tell me about|explain)\s++{_ARTICLE}{_NAME}",
        rf"what (?:does|do)\s++{_ARTICLE}{_NAME} (?:do|mean)",
        rf"(?:what|which|welche) {_NAME} (?:are there|do you (?:have|offer|sell)|exist"
        r"|gibt es|habt ihr|haben sie|bietet ihr)",
    )
)
_COSTS = re.compile(
    rf"{_AROUND}(?:how much (?:is|are|does|do)\s++{_ARTICLE}{_NAME}(?: cost)?"
    rf"|what (?:does|do)\s++{_ARTICLE}(?P<price>[^\s,;:?!]++) cost"
    rf"|(?:what(?:'?s| is) )?(?:the )?price (?:of|for)\s++{_ARTICLE}(?P<of>[^\s,;:?!]++)"
    rf"|was kostet\s++{_ARTICLE}(?P<was>[^\s,;:?!]++))"
    r"(?: (?:plan|tarif|a month|per month|monthly|pro monat|im monat))?\W*+\Z",
    re.IGNORECASE,
)
_PRICE = re.compile(r"\b(?:price|cost|fee|preis|kosten)", re.IGNORECASE)
_MONEY = re.compile(r"[$€£]\s?\d|\d\s?(?:€|USD|EUR)|\b(?:free|kostenlos)\b", re.IGNORECASE)
_NO_NAME = frozenset(
    """a about an and any anybody anyone as at auf bei by für for from from how i if in it like me
    mit my no of on one or oder per than that there this to under us von was way we what when which
    who with you zu""".split()  # noqa: SIM905  a list of so many is no list
)
"""Words that are part of no name: where one stands, more is asked than whether there is a thing."""
_DOING = frozenset(
    """a add an and change check choose configure connect create edit find for get how in install
    make manage of on or our read see send set the to up use view with your""".split()  # noqa: SIM905
)
"""Words of a title that are not part of what the page is about."""
_OF_ITSELF = re.compile(
    r"\A\W*+this (?:agreement|article|document|guide|note|page|policy|section|topic)s?\b",
    re.IGNORECASE,
)
_POLAR = re.compile(r"\A\W{0,3}(?:yes|no|ja|nein|included|✓|✗)\b", re.IGNORECASE)
_DEFINES = re.compile(
    r"\A\W*+(?:(?:an?|the|ein\w?|der|die|das)\s+)?(?P<what>[\w-]+(?: [\w-]+){0,3}?) "
    r"(?:is|are|ist|sind) (?:an?|the|ein\w*|der|die|das)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")


def subject(question: str) -> str:
    """Returns the name of what a question asks for as such; empty where it asks something else."""
    forms = (_IS_THERE, *_OTHERS)
    asked = next(filter(None, (form.match(question) for form in forms)), None)
    return asked["what"] if asked and _NO_NAME.isdisjoint(asked["what"].lower().split()) else ""


def sought(question: str, also: Synonyms) -> str:
    """Returns what a question for a thing as such, or for its price, is searched for as well; empty
    for other questions."""
    if thing := _priced(question):
        return f"{thing} plan price per month"
    thing = subject(question)
    return f"{thing} {also.beside(thing)}".strip()


def _priced(question: str) -> str:
    """Returns the name of the thing whose price a question asks for; empty where it does not."""
    asked = _COSTS.match(question)
    thing = next(filter(None, asked.groups()), "") if asked else ""
    return thing if _NO_NAME.isdisjoint(thing.lower().split()) else ""


def named(question: str, pages: Sequence[CutChunk], also: Synonyms) -> dict[str, float]:
    """Returns the pieces, below their headings, that stand for what the question asks for as such:
    rows, and of pages and sections that are called so what they begin with; of each the share
    (0..1) of the thing's name in what it is called. No release notes: what they begin with is news
    of the thing."""
    if thing := _priced(question):
        names = [_words(thing)]
        return {text: 1.0 for page in pages for piece, text in _read(page) if _prices(piece, names)}
    asked = subject(question)
    if not asked:
        return {}
    whether = _IS_THERE.match(question) is not None
    names = [_words(asked), *map(_words, filter(None, also.beside(asked).split(", ")))]
    lasting = [page for page in pages if page.candidate.chunk.kind != "release_note"]
    lasting.sort(key=lambda page: page.candidate.chunk.position)
    found: dict[tuple[str, ...], tuple[str, float]] = {}
    opened: set[tuple[str, ...]] = set()
    for page in lasting:
        chunk = page.candidate.chunk
        titled, headed = _share(chunk.title, names), 0.0
        if chunk.heading_path:
            headed = _share(chunk.heading_path[-1], names)
        if _OF_ITSELF.match(chunk.text):
            titled = headed = 0.0
        headings = {
            (chunk.document, *chunk.heading_path): headed if headed >= SECTION else 0.0,
            (chunk.document,): titled if titled >= TITLE else 0.0,
        }
        called = next((place for place, share in headings.items() if share), None)
        for piece, text in _read(page):
            has_it = whether and _says_who_has_it(piece)
            cell = _share(piece.cells[0], names) if has_it else 0.0
            if cell >= ROW:
                found[chunk.id, text] = text, cell
            elif called is not None and not whether and _defines(piece, names):
                found[chunk.id, text] = text, 1.0
            elif called is not None and called not in opened and _says_something(piece):
                opened.add(called)
                same = (
                    each
                    for each in _read(page)
                    if each[0].kind == piece.kind == "row" and each[0].block == piece.block
                )
                for row in (text, *(each[1] for each in same)):
                    found[chunk.id, row] = row, headings[called]
    return dict(found.values())


def _read(page: CutChunk) -> Iterator[tuple[Piece, str]]:
    return zip(page.pieces, page.headed, strict=True)


def _prices(piece: Piece, names: Sequence[Sequence[str]]) -> bool:
    """Returns whether a row says the price of the thing: a row of prices in the column called so,
    or the row called so in a column of prices."""
    if not piece.cells or len(piece.head) < 2:
        return False
    said = list(zip(piece.head, piece.cells, strict=False))[1:]
    if _PRICE.search(piece.cells[0]):
        return any(_share(name, names) == 1 and _MONEY.search(cell) for name, cell in said)
    called = _share(piece.cells[0], names) == 1
    return called and any(_PRICE.search(name) and _MONEY.search(cell) for name, cell in said)


def _defines(piece: Piece, names: Sequence[Sequence[str]]) -> bool:
    """Returns whether the sentence says what the thing is ("A lane is a queue ...")."""
    said = _DEFINES.match(piece.shown) if piece.kind == "sentence" else None
    return said is not None and any(set(_words(said["what"])) <= set(name) for name in names)


def _says_who_has_it(piece: Piece) -> bool:
    """Returns whether it is a row of yes and no, of a thing and not of something to do."""
    said = any(_POLAR.match(cell) for cell in piece.cells[1:])
    return said and _DOING.isdisjoint(_words(piece.cells[0])[:1])


def _says_something(piece: Piece) -> bool:
    if piece.kind == "row":
        return True
    return piece.kind == "sentence" and not only_points(piece)


def _share(title: str, names: Sequence[Sequence[str]]) -> float:
    """Returns the share (0..1) of the words of a title that the best of the names has in it, if all
    of it stands there, or its initials."""
    words = _words(title)
    about = [word for word in words if word not in _DOING] or words
    shares = [0.0]
    for name in filter(None, names):
        if set(name) <= set(words):
            shares.append(len(set(name)) / len(about))
        elif len(name) == 1 and len(name[0]) in ACRONYM and name[0] in _initials(words, name[0]):
            shares.append(len(name[0]) / len(about))
    return max(shares)


def _initials(words: Sequence[str], name: str) -> Iterator[str]:
    """Yields the initials of as many words in a row as the name has letters."""
    for at in range(len(words) - len(name) + 1):
        yield "".join(word[0] for word in words[at : at + len(name)])


def _words(text: str) -> list[str]:
    """Returns the words in lower case; one and many alike."""
    found = _WORD.findall(text.lower())
    return [word.removesuffix("s") if len(word) > 3 else word for word in found]
