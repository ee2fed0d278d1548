"""The reply that a row teaches: approved and cited anew, made of the sources, or the house's own.

A reply that answers may only say what stands in the passages that the row shows: what does not is
no row. Training on it would teach to invent.
"""

import re
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from models.data.seeds import Cite, Seed
from models.data.sentences import RowPassages, Sentence, joined, sentences
from models.suite.facts import says
from twofold.policy import NOT_IN_SOURCES as GAP
from twofold.policy import HousePolicy
from twofold.reply import Escalation, render
from twofold.text import blocks as prose
from twofold.text.blocks import Span, blocks, items, parts, plain, squeeze

GOLD_NOT_PACKED = "no gold document among the packed"
FACT_NOT_PACKED = "a key fact stands in no gold passage that was packed"
NOT_HELD = "a sentence of the approved reply stands in no passage that was packed"
TOO_LONG = "the reply is longer than the house allows"
HEADER_ROWS = 2
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)]|\d{1,2}(?:\.\d{1,2})+)\s+")
"""What opens a list item, or a clause of a policy."""


class ServiceReply(NamedTuple):
    """What the service itself said to a seed's question, and what its marks mean."""

    action: str
    text: str
    cites: Mapping[int, Cite]


class Target(NamedTuple):
    wire: str
    gold: tuple[int, ...] = ()
    """Marks of the packed documents that hold the answer."""


Marked = tuple[Sentence, int]
"""A sentence and the mark it carries; 0 for one that claims nothing."""


def target(
    seed: Seed, answered: ServiceReply, passages: RowPassages, house: HousePolicy, locale: str
) -> Target | str:
    """Returns the reply on the wire, or why there can be none."""
    if seed.action != "ANSWER":
        return Target(_of_house(seed, house, locale))
    gold = {n for n, d in passages.documents.items() if any(g.means(d.document) for g in seed.gold)}
    if not gold:
        return GOLD_NOT_PACKED
    said = (
        cited_anew(seed.text, seed.cites, passages)
        if seed.text
        else _of_sources(seed, answered, passages, gold)
    )
    if isinstance(said, str):
        return said
    text = joined(said)
    if len(text.split()) > house.style.max_words:
        return TOO_LONG
    return Target(render("ANSWER", text), tuple(sorted(gold & {mark for _, mark in said})))


def gap(house: HousePolicy) -> str:
    """Returns the wire reply where nothing that is shown answers."""
    return render("ESCALATE", escalation=Escalation(house.reasons[GAP].team, GAP))


def _of_house(seed: Seed, house: HousePolicy, locale: str) -> str:
    """Returns the header alone where the house has the words; for a question back its sentence,
    or what people asked."""
    if seed.action == "CLARIFY":
        asked = seed.text if "?" in seed.text else house.say(locale).clarify
        return render("CLARIFY", asked.strip())
    who = Escalation(seed.team, seed.reason) if seed.action == "ESCALATE" else None
    return render(seed.action, escalation=who)


def cited_anew(text: str, cites: Mapping[int, Cite], passages: RowPassages) -> list[Marked] | str:
    """Returns a cited reply with each sentence marked by the packed passage that holds it."""
    said: list[Marked] = []
    for sentence in sentences(text):
        if not sentence.marks and not passages.claims(sentence):
            said.append((sentence, 0))
            continue
        among = [n for mark in sentence.marks for n in _meant(cites.get(mark), passages)]
        mark = passages.holder(sentence, among if sentence.marks else passages.documents)
        if mark is None:
            return NOT_HELD
        said.append((sentence, mark))
    return said


def _meant(cite: Cite | None, passages: RowPassages) -> list[int]:
    """Returns the packed passages of the cited document: those that hold the quote, else all of
    them."""
    if cite is None:
        return []
    own = [n for n, d in passages.documents.items() if cite.means(d.document)]
    quote = squeeze(cite.quote)
    exact = [n for n in own if quote and quote in squeeze(passages.documents[n].text)]
    return exact or own


def _of_sources(
    seed: Seed, answered: ServiceReply, passages: RowPassages, gold: Set[int]
) -> list[Marked] | str:
    """Returns the sentences that carry the key facts: of the service's own verified reply where
    it has them all, else of the gold passages."""
    if answered.action == "ANSWER":
        said = cited_anew(answered.text, answered.cites, passages)
        if not isinstance(said, str):
            own = [(sentence, mark) for sentence, mark in said if mark in gold]
            if chosen := _carrying(own, seed, passages) if seed.facts else own:
                return chosen
    literal = [
        (Sentence(plain(text[span.start : span.end]), (n,), block.kind), n)
        for n in sorted(gold)
        for text in [passages.documents[n].text]
        for block in blocks(text)
        for span in ([block.span] if block.kind in ("table", "code") else parts(text, block))
    ]
    return _carrying(literal, seed, passages) or FACT_NOT_PACKED


def _carrying(said: Sequence[Marked], seed: Seed, passages: RowPassages) -> list[Marked]:
    """Returns the fewest of `said` that state every fact, nearest to the question first chosen,
    in order; nothing where they cannot."""
    question = passages.terms(seed.question)
    worth = [len(question & passages.terms(each.text)) for each, _ in said]
    missing = list(seed.facts)
    chosen: set[int] = set()
    while missing:
        states = [sum(says(each.text, fact) for fact in missing) for each, _ in said]
        best = max(range(len(said)), key=lambda i: (states[i], worth[i], -i), default=None)
        if best is None or not states[best]:
            return []
        chosen.add(best)
        missing = [fact for fact in missing if not says(said[best][0].text, fact)]
    return [
        (piece, said[i][1])
        for i in sorted(chosen)
        for piece in _trimmed(said[i][0], seed.facts, question, passages)
    ]


def _trimmed(
    sentence: Sentence, facts: Sequence[tuple[str, ...]], question: Set[int], passages: RowPassages
) -> list[Sentence]:
    """Returns those sentences of a list item, or rows of a table below its header, that carry
    the facts."""
    text = sentence.text
    if sentence.kind == "code":
        return [sentence]
    if sentence.kind != "table":
        text = _ITEM.sub("", text)
        pieces = [text[span.start : span.end] for span in prose.sentences(text)]
        kept = [piece for piece in pieces if any(says(piece, fact) for fact in facts)]
        whole = all(says(" ".join(kept), fact) == says(text, fact) for fact in facts)
        return [
            sentence._replace(text=piece + "." * piece[-1:].isalnum(), kind="paragraph")
            for piece in (kept if whole and kept else pieces)
        ]
    rows = [text[row.start : row.end].strip() for row in items(text, Span(0, len(text)))]
    head, body = rows[:HEADER_ROWS], rows[HEADER_ROWS:]
    kept = [
        max(able, key=lambda row: len(question & passages.terms(row)))
        for fact in facts
        if (able := [row for row in body if says(row, fact)])
    ]
    body = [row for row in body if row in kept] or body
    return [sentence._replace(text="\n".join([*head, *body]))]
