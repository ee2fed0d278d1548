"""A question asked again in a world that differs in one thing, for diagnosis: what a failed answer
would have been with another context, another reply maker, without the conversation. Nothing is
written, no metric of answers moves, and nobody is called.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from services.answer.contract import Ask, Candidate, Decision, Draft, Found, Question
from services.answer.decide.decider import Witnesses
from services.answer.generate import AnswerContext, Decide, ReplyResult, Tried
from services.answer.generate.ladder import Ladder
from services.answer.generate.model import ModelMaker
from services.answer.pipeline import Parts, understand
from services.answer.search import Searched, packed, search
from services.answer.search.evidence import weigh_given
from services.answer.search.expand import synonyms
from services.answer.search.pack import Terms
from services.answer.search.rerank import as_stage
from services.answer.search.retrieve import KEYWORDS, encode, keyword_trust, rank
from services.answer.verify import Sources
from twofold.clients.chat import Usage
from twofold.errors import NotFound
from twofold.index.contract import OPEN_VERSION, Chunk, DocumentRef, Hit, content_hash
from twofold.ledger.models import Version
from twofold.policy import NOT_IN_SOURCES
from twofold.reply import Action, ReplyParser
from twofold.stack import Stack
from twofold.text import blocks as prose

Maker = Literal["live", "composer", "base", "tuned"]
Place = Literal["only", "first", "ranked"]
PASSAGE = 900
"""Characters of a passage cut for a replay from a page's text: about what the index holds."""
WHOLE = 4000
"""The same where sections are to stay whole."""
CONTINUES = "\n\n"


class GivenPage(NamedTuple):
    """A page as a replay is given it: `document` is `source/external_id`.

    `version` None is the live one, or the latest. `text` stands in place of what the ledger has.
    `whole`: its sections as they are, not the chunks that the index holds.
    """

    document: str
    version: int | None = None
    text: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What differs; the default is the world as it is.

    `pages` are given whatever their state: not for this asker, expired, in quarantine, of an old
    version. They are all there is (`only`), come before what is found (`first`), or compete with it
    (`ranked`). `without` are documents left out of what is found. `told`: the reply does that.
    """

    maker: Maker = "live"
    full_prompt: bool = False
    pages: tuple[GivenPage, ...] = ()
    place: Place = "only"
    without: frozenset[str] = frozenset()
    context_chunks: int | None = None
    context_chars: int | None = None
    sources: bool = True
    told: Action | None = None


class ReplayResult(NamedTuple):
    """What was found and said in that world."""

    searched: Searched
    result: ReplyResult
    seconds: float


async def replay(ask: Ask, world: World, parts: Parts) -> ReplayResult:
    """Raises NotFound for a page or a reply maker that is not there, and what search raises."""
    started = time.perf_counter()
    until = time.monotonic() + parts.stack.settings.deadline_s
    stack = _stack(parts.stack, world)

    def look() -> tuple[Searched, Witnesses]:
        searched = _searched(understand(ask, parts), world, stack, parts)
        return searched, parts.decider.hear(searched)

    async with parts.searches.place(until):
        searched, heard = await asyncio.to_thread(look)
    seen = AnswerContext(searched, Sources(searched.packed, searched.terms), heard)
    if world == World() and heard.settled is None and parts.approved is not None:
        seen = replace(seen, pinned=parts.approved.meeting(searched.question))
    decide: Decide = partial(parts.decider.decide, heard)
    if world.told is not None:
        told = Decision(world.told, None, "told to", heard.signals)
        decide = lambda _header: told  # noqa: E731
        seen = replace(seen, heard=replace(heard, settled=None))
    if not world.sources and world.maker in ("base", "tuned"):
        result = await _bare(await _maker(parts, world), seen, until)
        return ReplayResult(searched, result, time.perf_counter() - started)
    ladder = await _ladder(parts, world)
    async with aclosing(ladder.tell(seen, decide, until, "")) as events:
        async for event in events:
            last = event
    assert isinstance(last, ReplyResult)  # noqa: S101  it comes last
    return ReplayResult(searched, last, time.perf_counter() - started)


def _stack(stack: Stack, world: World) -> Stack:
    other = {
        name: value
        for name in ("context_chunks", "context_chars")
        if (value := getattr(world, name)) is not None
    }
    settings = stack.settings.model_copy(update=other) if other else stack.settings
    return replace(stack, settings=settings)


def _searched(question: Question, world: World, stack: Stack, parts: Parts) -> Searched:
    pages = [each for page in world.pages for each in _passages(page, question, stack)]
    if not world.sources:
        nothing = replace(_nothing(question, stack), candidates=())
        return packed(question, nothing, stack)
    if world.place == "only" and world.pages:
        found = _nothing(question, stack)
        ranked = _ranked(found, pages, question, stack, parts)
        given = packed(question, replace(found, candidates=ranked), stack)
        return replace(
            given, evidence=weigh_given(question, given.found, given.packed, given.terms)
        )
    rerank = None
    if parts.reranker is not None:
        rerank = as_stage(parts.reranker, lambda: stack.settings.reranker_s)

    def amend(question: Question, found: Found) -> Found:
        left = tuple(c for c in found.candidates if c.chunk.key not in world.without)
        found = replace(found, candidates=left)
        if not pages:
            return found
        ids = {chunk.id for chunk, _ in pages}
        ranked = _ranked(found, pages, question, stack, parts)
        if world.place == "first":
            own = [each for each in ranked if each.chunk.id in ids]
            ranked = (*own, *(each for each in ranked if each.chunk.id not in ids))
        return replace(found, candidates=ranked)

    return search(question, stack, rerank, also=synonyms(parts.house.synonyms), amend=amend)


def _nothing(question: Question, stack: Stack) -> Found:
    return Found((), *encode(question, stack))


def _ranked(
    found: Found,
    pages: Sequence[tuple[Chunk, int]],
    question: Question,
    stack: Stack,
    parts: Parts,
) -> tuple[Candidate, ...]:
    """Returns what was found and the pages' passages, as one search would have ranked them.

    The index is not asked about the passages, since it may not have them. Their keyword score is
    the best known one's, by the share of the question's rare words that they hold.
    """
    known = {c.chunk.id: c for c in found.candidates}
    new = {chunk.id: chunk for chunk, _ in pages if chunk.id not in known}
    texts = [chunk.embedded_text for chunk in new.values()]
    until = time.monotonic() + stack.settings.deadline_s
    vectors = parts.ladder.sentences.vectors(texts, until) or {}
    cosine = {id: c.dense for id, c in known.items()}
    bm25 = {id: c.keywords for id, c in known.items()}
    both = tuple(
        Candidate(chunk, 0, 0.0, 0.0, 0.0, 0.0)
        for chunk in [*(c.chunk for c in found.candidates), *new.values()]
    )
    terms = Terms(stack.sparse, question.locale, replace(found, candidates=both))
    weights = {
        each.chunk.id: terms.weight(held) for each, held in zip(both, terms.chunks, strict=True)
    }
    most = max((weights[id] for id in known), default=0.0)
    scale = max(bm25.values(), default=0.0) / most if most else 1.0
    for id, chunk in new.items():
        vector = vectors.get(chunk.embedded_text)
        if vector is not None:
            cosine[id] = float(np.dot(vector, found.vector))
        bm25[id] = scale * weights[id]
    versions = {id: c.version for id, c in known.items()} | {
        chunk.id: number for chunk, number in pages
    }
    chunks = {id: c.chunk for id, c in known.items()} | new
    hits = [Hit(chunks[id], score) for id, score in sorted(bm25.items(), key=lambda e: -e[1])]
    trust = KEYWORDS * keyword_trust(stack.sparse, hits, found.keywords, question.locale)
    return rank(chunks, cosine, bm25, versions, question, trust)


def _passages(page: GivenPage, question: Question, stack: Stack) -> list[tuple[Chunk, int]]:
    """Returns a page's passages, each with the version it is read at."""
    source, _, external_id = page.document.partition("/")
    ref = DocumentRef(question.scope.workspace, source, external_id)
    row = _version(ref, page.version, stack)
    if row is None and page.text is None:
        raise NotFound(f"There is no such page or version: {page.document!r}.")
    number = row.number if row else 1
    if page.text is None and row is not None and not page.whole:
        held = stack.index.retrieve(row.points)
        if held and len(held) == len(row.points):
            return [(chunk, number) for chunk in held]
    title = row.title if row else external_id
    sections: Sequence[tuple[tuple[str, ...], str]]
    if page.text is not None or row is None:
        sections = [((), page.text or "")]
    else:
        sections = [(tuple(each["heading_path"]), each["text"]) for each in row.sections]
    room = WHOLE if page.whole else PASSAGE
    pieces = [(path, piece) for path, text in sections for piece in _cut(text, room)]
    return [
        (
            Chunk(
                id=content_hash(ref.id, str(number), str(at), piece)[:32],
                workspace=ref.workspace,
                source=source,
                document=ref.id,
                key=ref.key,
                since=number,
                title=title,
                heading_path=path,
                text=piece,
                position=at,
                locale=row.locale if row else question.locale,
                url=row.url if row else "",
                until=OPEN_VERSION,
            ),
            number,
        )
        for at, (path, piece) in enumerate(pieces)
    ]


def _version(ref: DocumentRef, number: int | None, stack: Stack) -> Version | None:
    own = select(Version).where(Version.document_id == ref.id)
    with stack.ledger.session() as session:
        rows = session.scalars(
            own.options(joinedload(Version.document)).order_by(Version.number)
        ).all()
    if number is None:
        live = next((row for row in rows if row.number == row.document.live), None)
        return live or (rows[-1] if rows else None)
    return next((row for row in rows if row.number == number), None)


def _cut(text: str, room: int) -> list[str]:
    """Returns the text's blocks, joined to pieces of up to `room` characters."""
    pieces: list[str] = []
    for block in prose.blocks(text):
        piece = text[slice(*block.span)].strip("\n")
        if pieces and len(pieces[-1]) + len(piece) <= room:
            pieces[-1] = f"{pieces[-1]}{CONTINUES}{piece}"
        elif piece.strip():
            pieces.append(piece)
    return pieces


async def _ladder(parts: Parts, world: World) -> Ladder:
    if world.maker == "live" and not world.full_prompt:
        return parts.ladder
    if world.maker == "composer":
        return Ladder(parts.house, parts.decider, sentences=parts.ladder.sentences)
    maker = await _maker(parts, world)
    return Ladder(
        parts.house, parts.decider, (maker,), parts.ladder.calls, sentences=parts.ladder.sentences
    )


async def makers_of(parts: Parts) -> dict[str, str]:
    """Returns the name by which each model is served, by step (`base`, `tuned`)."""
    return {maker.step: maker.model.model for maker in reversed(await _models(parts))}


async def _models(parts: Parts) -> tuple[ModelMaker, ...]:
    if parts.ladder.releases is None:
        return parts.ladder.models
    return (*await parts.ladder.releases.makers(""), *parts.ladder.models)


async def _maker(parts: Parts, world: World) -> ModelMaker:
    makers = await _models(parts)
    wanted = [each for each in makers if world.maker in ("live", each.step)]
    if not wanted:
        raise NotFound(f"No {world.maker} model is served here.")
    return replace(wanted[0], step="base") if world.full_prompt else wanted[0]


async def _bare(maker: ModelMaker, seen: AnswerContext, until: float) -> ReplyResult:
    """Returns what a model says by itself, without sources: nothing of it is checked."""
    usage, house = Usage(), maker.house
    parser = ReplyParser(house.reason_teams, NOT_IN_SOURCES)
    stream = maker.stream(seen, usage, lambda _piece: True, deadline=until, first_by=until)
    text = ""
    async with aclosing(stream) as pieces:
        async for piece in pieces:
            text += parser.feed(piece)
    text = (text + parser.finish()).strip()
    assert parser.header is not None  # noqa: S101  finish() sets it
    header = parser.header
    decision = Decision(header.action, header.escalation, "without sources", {})
    draft = Draft(
        header.action, text, maker.step, header.escalation, repairs=tuple(parser.repairs),
        profile=maker.profile, prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.written,
    )  # fmt: skip
    tried = Tried(maker.lane, maker.step, "served", usage)
    return ReplyResult(decision, text, maker.step, draft, tried=(tried,))
