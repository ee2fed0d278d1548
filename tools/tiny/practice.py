"""Generated practice: documents, questions about them, and the sentence that answers each.

A reply is a sentence of a document, to the letter, and the document's mark: `Text. [2]`; a row of a
table below its head, and the mark; or ABSENT where no document holds it. There is no header, team
or reason in it: the reply contract is what an adapter learns. One row asks several questions about
the same documents, so that reading them pays.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tools.tiny import facts
from tools.tiny.corpus import COMMON, WORD, Corpus, Mapping, Quotable, Section, invented
from tools.tiny.synonyms import SYNONYMS
from twofold.index.contract import Chunk
from twofold.index.sparse import Bm25Encoder
from twofold.prompt import Message, documents_block
from twofold.text.blocks import plain

ABSENT = "The documents do not say {topic}."
"""`topic` are words of the question: what a reply says back has to be read as well."""
_ENCODER = Bm25Encoder()
_PART = re.compile(r"[^\W_][\w'-]*")
TOPIC_WORDS = 6
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)]|\d{1,2}(?:\.\d{1,2})+)\s+")
"""What opens a list item, or a clause of a policy: replies go without."""
_FRAMES = (
    *("{w}?", "{w}", "What about {w}?", "How does {w} work?", "Tell me about {w}.", "Is it {w}?"),
    *("What is the rule for {w}?", "I have a question on {w}.", "How do I {w}?", "Can I {w}?"),
    *("Does {w} matter?", "why {w}", "When is {w}?", "What happens with {w}?", "Where is {w}?"),
    *("Hi, {w} please", "we need {w}, what now", "how long {w}", "how many {w}", "do you {w}?"),
    *("Wie ist das mit {w}?", "Was ist {w}?", "Kann ich {w}?", "Please explain {w}."),
)
_ASIDES = (
    *("Hi,", "hello team,", "Quick question:", "thanks!", "We are on the {w} plan.", "Hallo,"),
    *("pls", "I read about {w} already.", "a colleague asks:", "Our {w} is up.", "Before we {w}:"),
    *("Nobody is {w} right now.", "it is about our {w}.", "We had 2 {w} last week.", "Danke!"),
    *("I'm writing a page on {w}.", "just in case,", "asking for {w},", "Wir nutzen {w}."),
    *("We have {n} {w}.", "since {n}", "error {n}", "on {n}", "{n} {w} -", "It is about {n}."),
    *("We went {n} {w} over on {w}.", "after {n} {w}", "code {n}", "seit {n}", "{n}:"),
)
_SYSTEMS = (
    *("{c} support.", "{c} support.", "{c} support.", "You answer customers of {c}."),
    *("Answer from the documents.", "Use only what the documents say.", "You work for {c}."),
)


TABLES = 0.35
"""Share of documents of invented facts that are a table."""
MISTYPED = 0.12
"""Share of a question's words that are written otherwise than in the document."""
REWORDED = 0.3
"""Share of a question's words with synonyms that are one of these."""
AGAIN = 3
"""How often each piece may be asked for in one row, in other words each time."""
BESIDE = 0.3
"""Share of questions that say more than they ask."""


class Level(NamedTuple):
    """How hard a row is. `pieces` is the most quotable pieces of one document."""

    length: int
    documents: int
    pieces: int
    absent: float
    """Share of questions that no document answers."""
    facts: float
    """Share of rows about invented facts; the others are about scrambled text."""


class Row(NamedTuple):
    """A conversation over documents; every assistant turn is to be learned."""

    system: str
    turns: tuple[tuple[str, str], ...]
    """(question, reply), in order."""

    def messages(self, turns: int | None = None) -> list[Message]:
        found = [Message("system", self.system)]
        for question, reply in self.turns[:turns]:
            found += [Message("user", question), Message("assistant", reply)]
        return found


class _Piece(NamedTuple):
    """Something that can be quoted: `document` counts from 1. A fact brings its own question."""

    document: int
    text: str
    question: str = ""
    head: str = ""
    """Of the table that `text` is a row of."""

    @property
    def reply(self) -> str:
        if self.head:
            return plain(f"{self.head}\n{self.text}") + f"\n\n[{self.document}]"
        return f"{_ITEM.sub('', plain(self.text))} [{self.document}]"


def rows(corpus: Corpus, level: Level, rng: random.Random, turns: int) -> Iterator[Row]:
    """Rows without end, each with at most `turns` questions."""
    while True:
        yield _row(corpus, level, rng, turns)


def _row(corpus: Corpus, level: Level, rng: random.Random, turns: int) -> Row:
    make = _of_facts if rng.random() < level.facts else _of_text
    chunks, pieces, outside = make(corpus, level, rng)
    company = invented(rng).capitalize()
    line = rng.choice(_SYSTEMS).format(c=company)
    asked = []
    order = [piece for _ in range(AGAIN) for piece in rng.sample(pieces, len(pieces))]
    for _ in range(turns):
        if outside and (rng.random() < level.absent or not pieces):
            held = [p.text for p in pieces]
            question = _question(rng.choice(outside), held, corpus, rng)
            asked.append((question, ABSENT.format(topic=_topic(question))))
        elif order:
            piece = order.pop()
            others = [p.text for p in pieces if p is not piece]
            asked.append((_question(piece, others, corpus, rng), piece.reply))
    return Row(f"{line}\n{documents_block(chunks)}", tuple(asked))


def _topic(question: str) -> str:
    """The first words that carry a question, quoted; "…" where none does. Bare numbers are left
    out: a model that misreads one states another."""
    words = [
        word
        for word in _PART.findall(question)
        if not word.isdigit() and _ENCODER.query(word, "en").indices
    ]
    return f"“{' '.join(words[:TOPIC_WORDS])}”" if words else "…"


_Made = tuple[list[Chunk], list[_Piece], list[_Piece]]
"""Chunks, what they hold, and what they do not."""


def _of_text(corpus: Corpus, level: Level, rng: random.Random) -> _Made:
    mapping = Mapping(rng, corpus.words, share=rng.choice((0.3, 0.6, 0.9)))
    count = rng.randint(0 if level.absent and rng.random() < 0.05 else 1, level.documents)
    chosen = rng.sample(corpus.sections, count + 1)
    chunks: list[Chunk] = []
    pieces: list[_Piece] = []
    for number, section in enumerate(chosen, start=1):
        size = rng.randint(1, min(level.pieces, len(section.pieces)))
        first = rng.randrange(len(section.pieces) - size + 1)
        window = section.pieces[first : first + size]
        if number <= count:
            title, path = mapping(section.title), tuple(map(mapping, section.heading_path))
            chunks.append(_chunk(title, path, mapping(_shown(section, window))))
        for span, head in window:
            text = mapping(section.text[span.start : span.end])
            if 3 <= len(text.split()) <= 45 and "\n" not in text:
                top = mapping(section.text[head.start : head.end]) if head else ""
                pieces.append(_Piece(number, text, head=top))
    held = [p for p in pieces if p.document <= count]
    return chunks, held, [p for p in pieces if p.document > count]


def _shown(section: Section, window: Sequence[Quotable]) -> str:
    """The text of these pieces; a table whose first rows are cut off keeps its head."""
    opening, end = window[0], window[-1].span.end
    if opening.head is None:
        return section.text[opening.span.start : end]
    head = section.text[opening.head.start : opening.head.end]
    return f"{head}\n{section.text[opening.span.start : end]}"


def _of_facts(corpus: Corpus, level: Level, rng: random.Random) -> _Made:
    count = rng.randint(1, level.documents)
    sizes = [rng.randint(1, level.pieces) for _ in range(count)]
    names = facts.names(rng, rng.randint(1, 1 + sum(sizes) // 2))
    made = facts.facts(rng, names, sum(sizes) + 2)
    chunks: list[Chunk] = []
    pieces: list[_Piece] = []
    start = 0
    for number, size in enumerate(sizes, start=1):
        title = f"{rng.choice(names)} {rng.choice(corpus.words)}"
        if rng.random() < TABLES:
            others = facts.names(rng, size)
            title = others[0]
            head, own = facts.table(rng, others, title, size)
            text = "\n".join((head, *(fact.statement for fact in own)))
        else:
            head, own = "", made[start : start + size]
            joint = rng.choice((" ", " ", "\n\n", "\n- "))
            text = "- " * (joint == "\n- ") + joint.join(fact.statement for fact in own)
        start += size
        chunks.append(_chunk(title, (), text))
        pieces += [_Piece(number, fact.statement, fact.question, head) for fact in own]
    return chunks, pieces, [_Piece(0, fact.statement, fact.question) for fact in made[start:]]


def _question(piece: _Piece, others: list[str], corpus: Corpus, rng: random.Random) -> str:
    """As people ask: in other words, some mistyped, at times with something beside the matter."""
    text = piece.question or _singling_out(piece, others, rng)
    elsewhere = {word.lower() for other in others for word in WORD.findall(other)}
    text = WORD.sub(lambda w: _reworded(w[0], elsewhere, rng), text)
    text = WORD.sub(lambda w: _mistyped(w[0], rng) if rng.random() < MISTYPED else w[0], text)
    while rng.random() < BESIDE:
        aside = rng.choice(_ASIDES).format(w=rng.choice(corpus.words), n=facts.figure(rng))
        text = f"{aside} {text}" if rng.random() < 0.7 else f"{text} {aside}"
    return text


def _reworded(word: str, elsewhere: set[str], rng: random.Random) -> str:
    """A synonym, unless it could mean something else that stands in the documents."""
    others = SYNONYMS.get(word.lower(), frozenset())
    if not others or others & elsewhere or rng.random() >= REWORDED:
        return word
    return rng.choice(sorted(others))


def _mistyped(word: str, rng: random.Random) -> str:
    """Another form of the word, or two letters the wrong way round."""
    at = rng.randrange(1, len(word) - 1)
    turned = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return rng.choice((turned, word[:-1], word + "s", word + "ing", word.rstrip("sed")))


def _singling_out(piece: _Piece, others: list[str], rng: random.Random) -> str:
    """A frame around words that only the piece has, and some of its others, mostly in order."""
    words = list(dict.fromkeys(w for w in WORD.findall(piece.text) if w.lower() not in COMMON))
    if not words:
        words = piece.text.split()[:6]
    elsewhere = {w.lower() for text in others for w in WORD.findall(text)}
    own = [w for w in words if w.lower() not in elsewhere]
    size = rng.choice((1, 2, 2, 3, 3, 4, 5))
    keep = set(rng.sample(own, min(len(own), max(1, size - 1)))) if own else set()
    rest = [w for w in words if w not in keep]
    keep |= set(rng.sample(rest, min(len(rest), max(0, size - len(keep)))))
    chosen = [w.lower() if rng.random() < 0.7 else w for w in words if w in keep]
    if rng.random() < 0.2:
        rng.shuffle(chosen)
    joint = rng.choice((" ", " ", " ", " and ", " the ", " of the "))
    text = rng.choice(_FRAMES).format(w=joint.join(chosen))
    return text[0].upper() + text[1:] if rng.random() < 0.6 else text


def _chunk(title: str, path: tuple[str, ...], text: str) -> Chunk:
    return Chunk("", "", "", "", "", 1, title, path, text, position=0)
