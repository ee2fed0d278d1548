"""How likely each piece of what is packed answers a question: clues, weighed.

The weights, one set for likeness as the matcher sees it and one for the embedder's, are made by
`python -m tools.fit.composer`, which writes `weights.json`.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.answer.generate import asked
from services.answer.generate.asked import WantedAnswer
from services.answer.generate.sentences import Sentences
from services.answer.search.asks import sentence_that_asks
from services.answer.search.condense import asks_what_changed
from services.answer.search.match import Match
from services.answer.search.pack import Terms
from services.answer.search.pointers import asks_where, only_points
from services.answer.search.units import READ, CutChunk, Piece, pieces_of
from twofold.index.contract import Chunk
from twofold.remembered import remembered
from twofold.text.blocks import STOPS

CLUES: Final = (
    *("score", "dense", "first", "likeness", "less_like", "coverage", "with_heading", "heading"),
    *("soft", "less_soft", "number", "no_number", "time", "money", "count", "polar", "who"),
    *(
        "plan",
        "version",
        "where",
        "figure",
        "steps",
        "row",
        "code",
        "leads",
        "leans",
        "points",
        "note",
        "question",
    ),
    *("list", "solves", "symptom", "unasked", "intro", "opening", "news", "policy", "counted"),
    *("past", "read", "less_read"),
)
_READ: Final = CLUES.index("read")
WEIGHTS: Final[dict[str, dict[str, float]]] = json.loads(
    files("services.answer.generate").joinpath("weights.json").read_text("utf-8")
)
ALIKE: Final = (0.35, 0.5)
"""Cosines of two words: below the first they have nothing to do with each other; from their sum on
they mean the same."""
MOST_ASKED: Final = 80
"""Words of a question whose meaning is looked up: each costs a run of the embedder, and takes the
place of a word of the sources among those that are kept."""
LONGEST: Final = 600
"""Characters of a text whose words are remembered: most pieces have fewer."""
HEADING: Final = 0.8
"""What a word of the headings counts, against one of the piece."""

_WORD = re.compile(r"[A-Za-zÄÖÜäöüß0-9_$€%][\w'’.-]*")
_KINDS = ("time", "money", "count", "polar", "who", "plan", "version", "where")
_EMPTY = frozenset(
    """the a an of to in on at for is are was were be been do does did it its this that i we he she
    you they them my our your me us and or but with by from as if so not no can could will would
    should may have has had how what when where which who whom why there then than just please any
    some all one get der die das ein eine und oder ist sind wir ich sie es zu von im für mit nicht
    wie was wann wo wer kann den dem des""".split()  # noqa: SIM905  a list of so many is no list
)
_LEANS = re.compile(
    r"\A\W*+(?:it|its|they|them|their|this|that|these|those|he|she|then|after that|otherwise|both"
    r"|so|but|er|sie|es|dies\w*|das|danach|dann|sonst|beide|dabei|damit|dafür)\b",
    re.IGNORECASE,
)
"""A sentence that begins so says little without the one before it."""
_JOINS = re.compile(
    r"\A\W*+(?:otherwise|in (?:this|that|these|those|such(?: a)?) (?:cases?|situations?)"
    r"|if (?:so|not)\b|as a result|however|instead|also\b|in addition|additionally|alternatively"
    r"|therefore|thus\b|likewise|similarly|to do (?:this|that|so)"
    r"|(?:until|by|after|because of|for) (?:that|this|then)"
    r"|sonst\b|andernfalls|in diesem fall|stattdessen|außerdem|deshalb|dazu\b)",
    re.IGNORECASE,
)
"""A sentence that begins so says nothing without the one before it."""
_ABOUT = re.compile(
    r"\A\W*+th(?:is|e) (?:article|topic|page|document|guide)s? (?:\w+ ){0,2}?"
    r"(?:provides?|gives?|recommends?|explains?|describes?|discusses?|talks?|suggests?|offers?|shows?"
    r"|covers?|is about|contains?|helps?)\b",
    re.IGNORECASE,
)
"""What a page says of itself."""
_ENDS = re.compile(rf"[{STOPS}][\"'”’»)*_`\]」』）]*$")
_POINTS = re.compile(
    r"\b(?:above|below|following|this (?:page|policy|article)|siehe oben|unten|diese seite)\b",
    re.IGNORECASE,
)

_PAST = re.compile(
    r"\b(?:old|former|previous(?:ly)?|earlier|used to|until now|no longer|before that|was changed"
    r"|bisher|früher|alte[rnms]?)\b",
    re.IGNORECASE,
)
"""What was so before, where nobody asks for it."""
_SOLVES = re.compile(
    r"\b(?:solutions?|fix|resolution|workaround|answer|steps|lösung|schritte)\b", re.IGNORECASE
)
_SYMPTOM = re.compile(
    r"\b(?:issues?|symptoms?|affected|steps to reproduce|problem|description|related)\b",
    re.IGNORECASE,
)
"""Sections of a page about a problem."""

Vector = npt.NDArray[np.float32]


class Unit(NamedTuple):
    """A piece of the chunk that `mark` names (its place among the packed, from 1)."""

    mark: int
    piece: Piece
    terms: frozenset[int]
    clues: tuple[float, ...]
    soft: float
    """Share (0..1) of the question's words, by rarity, that it or its headings mean."""
    worth: float = 0.0
    """Log odds, against the others, that it answers."""

    @property
    def likely(self) -> bool:
        """Whether the reader holds it for an answer rather than for none."""
        return self.sure > 0

    @property
    def sure(self) -> float:
        """The reader's log odds that it is an answer."""
        return self.clues[_READ]

    @property
    def leans(self) -> bool:
        return self.joins or _LEANS.match(self.piece.lines[0]) is not None

    @property
    def joins(self) -> bool:
        """Whether it goes on with the sentence before it, whoever knows what that is about."""
        return _JOINS.match(self.piece.lines[0]) is not None


def words_meant(chunk: Chunk) -> list[str]:
    """Returns the words whose meaning is asked for where this chunk is packed."""
    said = (chunk.heading, *(piece.read for piece in pieces_of(chunk)))
    return list(dict.fromkeys(word for text in said for word in words_of(text)))


def weigh(
    text: str,
    last: str,
    vector: Vector,
    pages: Sequence[CutChunk],
    terms: Terms,
    meaning: "Meaning | None",
    matched: Mapping[str, Match],
) -> list[Unit]:
    """Returns every piece that holds with its clues for the question `text`, whose embedding is
    `vector` (d,), in the order of the pages.

    `last` is its last message, which says what kind of answer is wanted. Without `meaning` only
    words are compared. `matched` is how each piece matches as matcher and reader see it; where
    it is empty, the embedder's likeness is taken."""
    wants = asked.read(sentence_that_asks(last))
    own = terms.question & terms.of(text)
    whole = terms.weight(own) or 1.0
    best = max(abs(page.candidate.score) for page in pages) or 1.0
    dense = max(page.candidate.dense for page in pages)
    rarity = _rarity(pages)
    news, where = asks_what_changed(text), asks_where(text)
    least = Match(0.0, min((each.odds for each in matched.values()), default=0.0))
    found: list[Unit] = []
    for mark, page in enumerate(pages, start=1):
        heading = page.candidate.chunk.heading
        chunk = page.candidate.chunk
        section = (chunk.heading_path or ("",))[-1]
        place = (
            float(not chunk.heading_path),
            float(chunk.kind == "release_note" and not news),
            float(chunk.kind == "policy"),
        )
        head_terms = terms.of(heading)
        for piece, read in zip(page.pieces, page.headed, strict=True):
            held = terms.of(piece.read)
            own_match = matched.get(read, least)
            if not own_match.holds or (only_points(piece) and not where):
                continue
            cosine = own_match.near
            if meaning is None:
                soft = terms.weight(own & (held | head_terms)) / whole
            else:
                soft = meaning.soft(text, piece.read, heading, rarity)
                if not matched:
                    cosine = float(meaning.of[read] @ vector)
            clues = (
                page.candidate.score / best,
                page.candidate.dense - dense,
                float(mark == 1),
                cosine,
                cosine,
                terms.weight(own & held) / whole,
                terms.weight(own & (held | head_terms)) / whole,
                terms.weight(own & head_terms) / whole,
                soft,
                soft,
                *_looks(wants, piece, section),
                place[0],
                float(piece.place == 0),
                *place[1:],
                float(wants.counted_in(piece.read)),
                float(not _PAST.search(text) and _PAST.search(piece.read) is not None),
                own_match.sure,
                own_match.sure,
            )
            if piece.kind != "step" or wants.value_in(piece.read):
                found.append(Unit(mark, piece, held, clues, soft))
    return _weighed(found, WEIGHTS["matched" if matched else "embedded"])


class Meaning:
    """Vectors of the pieces and of all words, of one set of pages."""

    def __init__(self, of: dict[str, Vector]) -> None:
        self.of = of
        self._known: dict[tuple[str, str], npt.NDArray[np.float64]] = {}

    @classmethod
    def read(
        cls,
        questions: Sequence[str],
        pages: Sequence[CutChunk],
        sentences: Sentences,
        until: float,
        *,
        pieces: bool,
    ) -> "Meaning | None":
        """Returns the meaning of the words, and of whole `pieces` where wanted; None where the
        embedder has not answered by `until` (time.monotonic)."""
        texts = [text for page in pages for text in page.headed] if pieces else []
        known = [page.candidate.chunk.heading for page in pages]
        known += [piece.read for page in pages for piece in page.pieces]
        words = [word for text in known for word in words_of(text)]
        words += [word for text in questions for word in words_asked(text)]
        vectors = sentences.vectors([*questions, *texts, *words], until)
        return cls(vectors) if vectors is not None else None

    def soft(self, question: str, text: str, heading: str, rarity: dict[str, float]) -> float:
        """Returns the share (0..1) of the question's words, by rarity, that the text or its
        heading means."""
        wanted = words_asked(question)
        if not wanted:
            return 0.0
        weight = np.array([rarity.get(word, rarity[""]) for word in wanted])
        alike = np.maximum(self._alike(wanted, text), HEADING * self._heading(question, heading))
        return float(weight @ alike / weight.sum())

    def _heading(self, question: str, heading: str) -> npt.NDArray[np.float64]:
        """Returns the heading's likeness to the question's words, computed once a page."""
        known = self._known.get((question, heading))
        if known is None:
            wanted = words_asked(question)
            known = self._known[question, heading] = self._alike(wanted, heading)
        return known

    def _alike(self, wanted: Sequence[str], text: str) -> npt.NDArray[np.float64]:
        words = words_of(text)
        if not words:
            return np.zeros(len(wanted))
        mine = np.array([self.of[word] for word in wanted], np.float32)
        cosines = (mine @ np.array([self.of[word] for word in words], np.float32).T).max(axis=1)
        alike: npt.NDArray[np.float64] = np.clip((cosines - ALIKE[0]) / ALIKE[1], 0.0, 1.0)
        return alike


def leads(piece: Piece) -> bool:
    """Returns whether the sentence only leads to what follows."""
    return piece.kind == "sentence" and unfinished(piece)


def is_about(unit: Unit) -> bool:
    """Returns whether the sentence only says what its page is about."""
    return unit.piece.kind == "sentence" and _ABOUT.match(unit.piece.shown) is not None


def unfinished(piece: Piece) -> bool:
    return not _ENDS.search(piece.shown)


def words_asked(question: str) -> list[str]:
    """Returns the words whose meaning is asked for, each once; of a long question the last ones."""
    return list(dict.fromkeys(words_of(question)))[-MOST_ASKED:]


@remembered(8 * READ, LONGEST)
def words_of(text: str) -> tuple[str, ...]:
    """Returns the words in lower case, without those that carry nothing."""
    words = (word.lower().strip(".'-’") for word in _WORD.findall(text))
    return tuple(word for word in words if len(word) > 1 and word not in _EMPTY)


def _rarity(pages: Sequence[CutChunk]) -> dict[str, float]:
    """Returns how rare each word is among the pieces; "" stands for a word that none has."""
    texts = [set(words_of(piece.read)) for page in pages for piece in page.pieces]
    counts = Counter(word for words in texts for word in words)
    rare = {word: float(np.log(1 + len(texts) / (1 + n))) for word, n in counts.items()}
    return rare | {"": float(np.log(1 + len(texts)))}


def _looks(wants: WantedAnswer, piece: Piece, section: str) -> tuple[float, ...]:
    text = piece.read
    like = wants.answered_by(text)
    return (
        float("number" in like),
        float("number" in wants.kinds and "number" not in like),
        *(float(kind in like) for kind in _KINDS),
        float(wants.shares_figure(text)),
        float(wants.steps and piece.kind == "steps"),
        float(piece.kind == "row"),
        float(piece.kind == "code"),
        float(leads(piece)),
        float(_LEANS.match(text) is not None),
        float(_POINTS.search(text) is not None),
        float(text.startswith(("**", "Note"))),
        float(text.endswith(("?", "？", "؟"))),
        float(piece.kind == "list"),
        float(_SOLVES.search(section) is not None),
        float(_SYMPTOM.search(section) is not None),
        float(not wants.steps and piece.kind == "steps"),
    )


def _weighed(units: Sequence[Unit], weights: Mapping[str, float]) -> list[Unit]:
    """Returns the pieces with their clues; `less_...` is how far one stands behind the best."""
    behind = {
        at: max((unit.clues[at] for unit in units), default=0.0)
        for at, name in enumerate(CLUES)
        if name.startswith("less_")
    }
    found = []
    for unit in units:
        clues = tuple(clue - behind.get(at, 0.0) for at, clue in enumerate(unit.clues))
        worth = sum(weights[name] * clue for name, clue in zip(CLUES, clues, strict=True))
        found.append(unit._replace(clues=clues, worth=worth))
    return found
