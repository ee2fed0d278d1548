"""Question to passages: retrieve, rerank, overrule, match, pack, weigh, rest; `search` is the one
way."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from services.answer.contract import Candidate, Evidence, Found, Question, Turn
from services.answer.search.asks import asks, bare, of_two_things, sides_of
from services.answer.search.condense import ALONE, chosen, condense, leans, meant_before
from services.answer.search.ellipsis import in_full
from services.answer.search.evidence import weigh, weigh_given
from services.answer.search.expand import Synonyms, respelt, synonyms
from services.answer.search.match import Matched, best, match, nearest_first
from services.answer.search.pack import Terms, pack
from services.answer.search.precedence import drop_overruled
from services.answer.search.rerank import Rerank
from services.answer.search.rest import with_rest
from services.answer.search.retrieve import KEPT, encode, score
from services.answer.search.retrieve import retrieve as retrieved
from services.answer.search.topics import sought
from services.answer.search.units import cut
from twofold.index.contract import Chunk
from twofold.stack import Stack

Step = Callable[[str], AbstractContextManager[None]]
"""Times a stage by its name."""
Amend = Callable[[Question, Found], Found]
"""Changes what was found, for a replay in another world."""


LOOKED_AT = 6
"""Candidates by which is decided whether a message leans on earlier turns."""
PERHAPS = -2.5
"""Log odds from which a piece may answer a question of one of two things, where its headings name
that one and not the other."""
_WORD = re.compile(r"\w{3,}")
BETTER_WORDS = 0.01
"""Other words are taken where the best passage is so much more like (cosine) the question then."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What the sources hold on a question: candidates, those that a reply is made from, and how
    well these seem to cover it."""

    question: Question
    found: Found
    packed: tuple[Candidate, ...]
    terms: Terms
    evidence: Evidence
    matched: Matched = field(default_factory=dict)
    """How the pieces of what is packed match the question; nothing without a matcher."""


def search(
    question: Question,
    stack: Stack,
    rerank: Rerank | None = None,
    step: Step = lambda _: nullcontext(),
    also: Synonyms | None = None,
    amend: Amend = lambda _, found: found,
) -> Searched:
    """Searches the sources; `also` are the house's other words, beside the field's. Whatever index,
    embedder or ledger raise is raised.

    Here is decided what the message leans on: it is searched for alone, and with the turns before
    it, and what finds better passages is taken.
    """
    also = also or synonyms()
    with step("retrieve"):
        question, found = _retrieved(question, stack, also)
    found = amend(question, found)
    if rerank is not None:
        with step("rerank"):
            found = rerank(question.standalone, found)
    found = drop_overruled(found, question)
    with step("match"):
        matched: Matched = {}
        if stack.matcher is not None:
            matched = match(question, found, stack.matcher, stack.reader, also)
        if rerank is None:
            found = nearest_first(question, found, matched)
    with step("pack"):
        searched = packed(question, found, stack, matched, also)
        whole = with_rest(searched.packed, found, question, stack)
        every = {each.chunk.id: each for each in (*found.candidates, *whole)}
        return replace(
            searched, packed=whole, found=replace(found, candidates=tuple(every.values()))
        )


def _retrieved(question: Question, stack: Stack, also: Synonyms) -> tuple[Question, Found]:
    """Returns the question as it is understood, and what is found. Where a message asks several
    things, each is searched for; what it may ask of two things with one verb, where other pieces
    answer each."""
    message = bare(question.asked)
    if sides := sides_of(message):
        asked, found = _each(question, sides, stack, also, in_turn=False)
        if _answered_apart(asked, found, stack):
            return asked, found
    apart = asks(message)
    if len(apart) > 1:
        return _each(question, apart, stack, also)
    if two := of_two_things(message):
        asked, found = _each(question, two, stack, also, in_turn=False)
        if _answered_apart(asked, found, stack):
            return asked, found
    return _one(question, stack, also)


def _each(
    question: Question,
    apart: Sequence[str],
    stack: Stack,
    also: Synonyms,
    in_turn: bool = True,
) -> tuple[Question, Found]:
    """Returns the same of several questions, the best for each in turn; each is searched for as if
    it came after the one before, where they are asked `in_turn`."""
    parts: list[Question] = []
    lists = []
    history = question.history
    for text in apart:
        one = replace(question, asked=text, standalone=text, history=history)
        part, found = _one(one, stack, also, ALONE if text is apart[0] else 1.0)
        parts += part.parts or (part if part.leans else replace(part, history=question.history),)
        lists.append(found.candidates)
        first = frozenset(each.chunk.document for each in found.candidates[:1])
        if in_turn:
            history = (*history, Turn("user", text, standalone=part.standalone, documents=first))
    turns = (each for row in zip_longest(*lists) for each in row if each is not None)
    mixed = {each.chunk.id: each for each in turns}
    whole = replace(question, leans=parts[0].leans, parts=tuple(parts))
    if whole.leans:
        whole = replace(whole, standalone=condense(question.asked, question.history))
    said = whole if whole.leans else replace(whole, history=())
    return whole, Found(tuple(mixed.values())[:KEPT], *encode(said, stack))


def _answered_apart(question: Question, found: Found, stack: Stack) -> bool:
    """Returns whether each part of the question has a passage of its own, of which a piece is more
    likely than not to answer it, or may where its headings name what that part alone does: two rows
    of one table answer the whole."""
    if stack.matcher is None or stack.reader is None:
        return False
    matched = match(question, found, stack.matcher, stack.reader)
    chunks = {text: page.candidate.chunk for page in cut(found.candidates) for text in page.headed}
    words = [_words(part.asked) for part in question.parts]
    own = set()
    for part, named in zip(question.parts, words, strict=True):
        found_for = matched.get(part.standalone if part.leans else part.asked, {})
        pieces = {text: each for text, each in found_for.items() if each.holds}
        alone = named.difference(*(each for each in words if each is not named))
        for text in sorted(pieces, key=lambda text: -pieces[text].likely):
            of_it = not alone.isdisjoint(_words(chunks[text].heading))
            if pieces[text].odds > (PERHAPS if of_it else 0.0):
                own.add(chunks[text].id)
                break
    return len(own) == len(question.parts)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _one(
    question: Question, stack: Stack, also: Synonyms, scale: float = ALONE
) -> tuple[Question, Found]:
    """Returns the same of one question: whether it leans on the turns before it is decided here.
    Where it does not, they count `scale` times their weight."""
    alone = replace(question, history=())
    by_itself = _with_its_page(alone, retrieved(alone, stack), stack, also)
    earlier = meant_before(question.history)
    if not earlier:
        return question, _expanded(alone, by_itself, stack, also) or by_itself
    if (title := chosen(question.asked, question.history)) is not None:
        meant = f"{earlier[-1]}\n{title}"
        found = retrieved(replace(alone, asked=meant, standalone=meant), stack)
        return replace(question, standalone=meant, leans=True), found
    joined = replace(question, standalone=condense(question.asked, question.history), leans=True)
    in_turn = retrieved(joined, stack)
    gain = _likeness(joined, in_turn, stack) - _likeness(alone, by_itself, stack)
    if not leans(question.asked, gain):
        if (other := _expanded(alone, by_itself, stack, also)) is not None:
            return question, other
        near = retrieved(question, stack, scale)
        return question, replace(near, vector=by_itself.vector, keywords=by_itself.keywords)
    asked_in_full = in_full(question.asked, earlier[-1], stack.embedder)
    if asked_in_full is not None:
        one = replace(alone, asked=asked_in_full, standalone=asked_in_full)
        full, found = _retrieved(one, stack, also)
        if _likeness(full, found, stack) >= _likeness(joined, in_turn, stack):
            return replace(joined, standalone=asked_in_full, parts=full.parts or (full,)), found
    return joined, in_turn


def _with_its_page(question: Question, found: Found, stack: Stack, also: Synonyms) -> Found:
    """Returns what is found; of a question for a thing as such, in turn with what is found for its
    name alone, which opens the page about it."""
    meant = sought(question.asked, also)
    if not meant:
        return found
    other = retrieved(replace(question, asked=meant, standalone=meant), stack)
    turns = zip_longest(found.candidates, other.candidates)
    mixed = {each.chunk.id: each for row in turns for each in row if each is not None}
    return replace(found, candidates=tuple(mixed.values())[:KEPT])


def _likeness(question: Question, found: Found, stack: Stack) -> float:
    """Returns how like the question what is found is: the best passage as the embedder sees it,
    and the piece that answers most likely, as matcher and reader do."""
    first = found.candidates[:LOOKED_AT]
    if stack.matcher is None:
        return _cosine(found)
    matched = match(question, replace(found, candidates=first), stack.matcher, stack.reader)
    return _cosine(found) + best(matched, first).likely


def _expanded(question: Question, found: Found, stack: Stack, also: Synonyms) -> Found | None:
    """Returns what is found in other words, where that is better."""
    spelt = respelt(question.asked, question.locale)
    words = also.beside(spelt)
    if not words and spelt == question.asked:
        return None
    meant = f"{spelt} ({words})" if words else spelt
    other = retrieved(replace(question, asked=meant), stack)
    return other if _cosine(other) > _cosine(found) + BETTER_WORDS else None


def _cosine(found: Found) -> float:
    return max((candidate.dense for candidate in found.candidates), default=0.0)


def search_given(question: Question, chunks: Sequence[Chunk], stack: Stack) -> Searched:
    """Returns the same as `search`, where these chunks are all there is."""
    given = packed(question, score(question, chunks, stack), stack)
    return replace(given, evidence=weigh_given(question, given.found, given.packed, given.terms))


def packed(
    question: Question,
    found: Found,
    stack: Stack,
    matched: Matched | None = None,
    also: Synonyms | None = None,
) -> Searched:
    """Chooses the candidates to answer from, and weighs what evidence they are."""
    terms = Terms(stack.sparse, question.locale, found)
    kept = pack(found, terms, stack.settings.context_chunks, stack.settings.context_chars)
    evidence = weigh(question, found, kept, terms, matched, also)
    return Searched(question, found, kept, terms, evidence, matched or {})
