"""Generated practice: documents, questions about them, and the sentence that answers each.

A reply is a sentence of a document, to the letter, and the document's mark: `Text. [2]`; or ABSENT
where no document holds it. There is no header, team or reason in it: the reply contract is what an
adapter learns. One row asks several questions about the same documents, so that reading them pays.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from models.tiny import facts
from models.tiny.corpus import COMMON, WORD, Corpus, Mapping, invented
from twofold.index import Chunk
from twofold.prompt import Message, documents_block

ABSENT = "The documents do not say."
_FRAMES = (
    *("{w}?", "{w}", "What about {w}?", "How does {w} work?", "Tell me about {w}.", "Is it {w}?"),
    *("What is the rule for {w}?", "I have a question on {w}.", "How do I {w}?", "Can I {w}?"),
    *("Does {w} matter?", "why {w}", "When is {w}?", "What happens with {w}?", "Where is {w}?"),
    *("Hi, {w} please", "we need {w}, what now", "how long {w}", "how many {w}", "do you {w}?"),
    *("Wie ist das mit {w}?", "Was ist {w}?", "Kann ich {w}?", "Please explain {w}."),
)
_SYSTEMS = (
    *("{c} support.", "{c} support.", "{c} support.", "You answer customers of {c}."),
    *("Answer from the documents.", "Use only what the documents say.", "You work for {c}."),
)


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
    order = rng.sample(pieces, len(pieces)) + rng.sample(pieces, len(pieces))
    for _ in range(turns):
        if outside and (rng.random() < level.absent or not pieces):
            asked.append((_question(rng.choice(outside), [p.text for p in pieces], rng), ABSENT))
        elif order:
            piece = order.pop()
            others = [p.text for p in pieces if p is not piece]
            quote = piece.text.removeprefix("- ")
            asked.append((_question(piece, others, rng), f"{quote} [{piece.document}]"))
    return Row(f"{line}\n{documents_block(chunks)}", tuple(asked))


_Made = tuple[list[Chunk], list[_Piece], list[_Piece]]
"""Chunks, what they hold, and what they do not."""


def _of_text(corpus: Corpus, level: Level, rng: random.Random) -> _Made:
    mapping = Mapping(rng, corpus.words, share=rng.choice((0.3, 0.6, 0.9)))
    count = rng.randint(0 if level.absent and rng.random() < 0.05 else 1, level.documents)
    chosen = rng.sample(corpus.sections, count + 1)
    chunks: list[Chunk] = []
    pieces: list[_Piece] = []
    for number, section in enumerate(chosen, start=1):
        size = rng.randint(1, min(level.pieces, len(section.spans)))
        first = rng.randrange(len(section.spans) - size + 1)
        spans = section.spans[first : first + size]
        text = mapping(section.text[spans[0].start : spans[-1].end])
        if number <= count:
            title, path = mapping(section.title), tuple(map(mapping, section.heading_path))
            chunks.append(_chunk(title, path, text))
        for span in spans:
            piece = mapping(section.text[span.start : span.end])
            if 3 <= len(piece.split()) <= 45 and "\n" not in piece:
                pieces.append(_Piece(number, piece))
    held = [p for p in pieces if p.document <= count]
    return chunks, held, [p for p in pieces if p.document > count]


def _of_facts(corpus: Corpus, level: Level, rng: random.Random) -> _Made:
    count = rng.randint(1, level.documents)
    sizes = [rng.randint(1, level.pieces) for _ in range(count)]
    names = facts.names(rng, rng.randint(1, 1 + sum(sizes) // 2))
    made = facts.facts(rng, names, sum(sizes) + 2)
    chunks: list[Chunk] = []
    pieces: list[_Piece] = []
    start = 0
    for number, size in enumerate(sizes, start=1):
        own = made[start : start + size]
        start += size
        joint = rng.choice((" ", " ", "\n\n", "\n- "))
        text = joint.join(fact.statement for fact in own)
        title = f"{rng.choice(names)} {rng.choice(corpus.words)}"
        chunks.append(_chunk(title, (), "- " + text if joint == "\n- " else text))
        pieces += [_Piece(number, fact.statement, fact.question) for fact in own]
    return chunks, pieces, [_Piece(0, fact.statement, fact.question) for fact in made[start:]]


def _question(piece: _Piece, others: list[str], rng: random.Random) -> str:
    """Words that single the piece out: in a frame, in order, and now and then mistyped."""
    if piece.question:
        return piece.question
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
