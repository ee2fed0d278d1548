"""Question to passages: retrieve, rerank, overrule, match, pack, weigh; `search` is the one way."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from services.answer.contract import Candidate, Evidence, Found, Question, Turn
from services.answer.search.asks import asks
from services.answer.search.condense import ALONE, chosen, condense, leans
from services.answer.search.evidence import weigh, weigh_given
from services.answer.search.expand import Synonyms, respelt, synonyms
from services.answer.search.match import Matched, match, nearest_first
from services.answer.search.pack import Terms, pack
from services.answer.search.precedence import drop_overruled
from services.answer.search.rerank import Rerank
from services.answer.search.retrieve import KEPT, score
from services.answer.search.retrieve import retrieve as retrieved
from twofold.index.contract import Chunk
from twofold.stack import Stack

Step = Callable[[str], AbstractContextManager[None]]
"""Times a stage by its name."""
Amend = Callable[[Question, Found], Found]
"""Changes what was found, for a replay in another world."""


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
    with step("retrieve"):
        question, found = _retrieved(question, stack, also or synonyms())
    found = amend(question, found)
    if rerank is not None:
        with step("rerank"):
            found = rerank(question.standalone, found)
    found = drop_overruled(found, question)
    with step("match"):
        matched = match(question, found, stack.matcher, stack.reader) if stack.matcher else {}
        if rerank is None:
            found = nearest_first(question, found, matched)
    with step("pack"):
        return packed(question, found, stack, matched)


def _retrieved(question: Question, stack: Stack, also: Synonyms) -> tuple[Question, Found]:
    alone = replace(question, history=())
    if not question.history:
        return question, _each(alone, stack, also)
    asked_before = next((t.text for t in reversed(question.history) if t.role == "user"), "")
    if (title := chosen(question.asked, question.history)) is not None:
        meant = f"{asked_before}\n{title}"
        found = retrieved(replace(alone, asked=meant, standalone=meant), stack)
        return replace(question, standalone=meant, leans=True), found
    by_itself, joined = retrieved(alone, stack), retrieved(question, stack)
    seen = (packed(question, found, stack).evidence.clues for found in (by_itself, joined))
    if leans(question.asked, *seen):
        standalone = condense(question.asked, question.history)
        return replace(question, standalone=standalone, leans=True), joined
    near = retrieved(question, stack, ALONE)
    mixed = replace(near, vector=by_itself.vector, keywords=by_itself.keywords)
    return question, _each(alone, stack, also, mixed)


def _each(question: Question, stack: Stack, also: Synonyms, whole: Found | None = None) -> Found:
    """Returns what is found for a message; where it asks several things, the best for each in
    turn, and in other words where these find better."""
    whole = whole or retrieved(question, stack)
    apart = asks(question.asked)
    if len(apart) < 2:
        return _expanded(question, whole, stack, also)
    lists = []
    for text in apart:
        before = (Turn("user", apart[0]),) if text is not apart[0] else ()
        one = replace(question, asked=text, standalone=text, history=before)
        lists.append(retrieved(one, stack).candidates)
    turns = (each for row in zip_longest(*lists) for each in row if each is not None)
    mixed = {each.chunk.id: each for each in turns}
    return replace(whole, candidates=tuple(mixed.values())[:KEPT])


def _expanded(question: Question, found: Found, stack: Stack, also: Synonyms) -> Found:
    spelt = respelt(question.asked, question.locale)
    words = also.beside(spelt)
    if not words and spelt == question.asked:
        return found
    meant = f"{spelt} ({words})" if words else spelt
    other = retrieved(replace(question, asked=meant), stack)
    return other if _cosine(other) > _cosine(found) + BETTER_WORDS else found


def _cosine(found: Found) -> float:
    return max((candidate.dense for candidate in found.candidates), default=0.0)


def search_given(question: Question, chunks: Sequence[Chunk], stack: Stack) -> Searched:
    """Returns the same as `search`, where these chunks are all there is."""
    given = packed(question, score(question, chunks, stack), stack)
    return replace(given, evidence=weigh_given(question, given.found, given.packed, given.terms))


def packed(
    question: Question, found: Found, stack: Stack, matched: Matched | None = None
) -> Searched:
    """Chooses the candidates to answer from, and weighs what evidence they are."""
    terms = Terms(stack.sparse, question.locale, found)
    kept = pack(found, terms, stack.settings.context_chunks, stack.settings.context_chars)
    evidence = weigh(question, found, kept, terms, matched)
    return Searched(question, found, kept, terms, evidence, matched or {})
