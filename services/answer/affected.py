"""Past answers that rest on a document's older text, and what would be said today."""

import asyncio
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from services.answer import pipeline
from services.answer.contract import Ask
from services.answer.generate import ReplyResult
from services.answer.pipeline import Parts
from services.answer.record import turns_of
from services.answer.timer import RequestTimer
from twofold.ledger import Ledger
from twofold.ledger.documents import find_document
from twofold.ledger.models import Answer, Citation
from twofold.reply import OURS, judged
from twofold.text import dates
from twofold.text.blocks import plain
from twofold.text.numbers import numbers

NOW_S: Final = 60.0
"""An answer about a moment this far from when it was given was asked about that day."""

_MARK = re.compile(r"\[\d{1,2}\]")


@dataclass(frozen=True, slots=True)
class Affected:
    """A document that changed, and the answers that cited it before, newest first."""

    document: str
    before_version: int | None
    """None where the document is gone: every answer that cited it counts."""
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class ReplyMeaning:
    """What a reply tells a customer, apart from its wording."""

    action: str
    numbers: frozenset[str]
    days: frozenset[str]
    documents: frozenset[str]

    def changes(self, now: "ReplyMeaning") -> tuple[str, ...]:
        """Returns the names of the fields that differ."""
        return tuple(name for name in self.__slots__ if getattr(self, name) != getattr(now, name))


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """An answer, and what the same question gets today."""

    answer: Answer
    action: str
    text: str
    documents: tuple[str, ...]
    changes: tuple[str, ...]


def find(
    ledger: Ledger, workspace: str, name: str, before: int | None = None, limit: int | None = None
) -> Affected:
    """Answers that cited versions of a document before `before`; before the live one if left out.

    `name` is `source/path`, the path alone or the id. Raises NotFound, also where it is not unique.
    """
    with ledger.session() as session:
        document = find_document(session, workspace, name)
        until = document.live if before is None else before
        cited = Citation.document_id == document.id
        if until is not None:
            cited &= Citation.version < until
        rows = session.scalars(
            select(Answer)
            .where(Answer.workspace == workspace, Answer.citations.any(cited))
            .order_by(Answer.created_at.desc())
            .limit(limit)
            .options(selectinload(Answer.citations))
        ).all()
        return Affected(f"{document.source}/{document.external_id}", until, tuple(rows))


async def replay(parts: Parts, answers: Sequence[Answer]) -> list[AnswerComparison]:
    """Asks each question again, as it was asked then, and returns those whose answer changed in
    meaning.

    Records nothing and hands nobody over. Raises a TwofoldError where answering fails.
    """
    found: list[AnswerComparison] = []
    for answer in answers:
        ask = await asyncio.to_thread(_ask, parts.stack.ledger, answer)
        told = await _rehearse(parts, ask, answer.conversation_id)
        documents = tuple(dict.fromkeys(citation.document for citation in told.citations))
        cited = [each.document for each in answer.citations]
        before = judged(answer.text, answer.signals.get(OURS, ()))
        text = judged(told.text, told.decision.signals.get(OURS, ()))
        then = said(answer.action, before, cited, answer.locale)
        changes = then.changes(said(told.decision.action, text, documents, answer.locale))
        if changes:
            found.append(
                AnswerComparison(answer, told.decision.action, told.text, documents, changes)
            )
    return found


def said(action: str, text: str, documents: Collection[str], locale: str) -> ReplyMeaning:
    """Returns what a reply in the language `locale` means."""
    # A fixed sentence of the house names hours and days of its own, which no document changes.
    words = _MARK.sub(" ", plain(text)) if action == "ANSWER" or documents else ""
    named = list(dates.read(words))
    days = frozenset(map(str, named))
    return ReplyMeaning(
        action, numbers(dates.cut(words, named), locale), days, frozenset(documents)
    )


def _ask(ledger: Ledger, answer: Answer) -> Ask:
    """Returns the question with what was said before it, to the same audience, about the same
    day."""
    with ledger.session() as session:
        before = session.scalars(
            select(Answer)
            .where(
                Answer.conversation_id == answer.conversation_id,
                Answer.created_at < answer.created_at,
            )
            .order_by(Answer.created_at)
        ).all()
    history = [turn for each in before for turn in turns_of(each)]
    past = abs(answer.as_of - answer.created_at) > NOW_S
    return Ask(
        message=answer.question,
        workspace=answer.workspace,
        audiences=frozenset(answer.audience),
        locale=answer.locale,
        as_of=answer.as_of if past else None,
        history=tuple(history),
    )


async def _rehearse(parts: Parts, ask: Ask, conversation: str) -> ReplyResult:
    watch = RequestTimer(time.monotonic() + parts.stack.settings.deadline_s)
    seen = await pipeline.prepare(ask, parts, watch)
    told = None
    async for event in pipeline.reply(seen, parts, watch, conversation):
        told = event
    assert isinstance(told, ReplyResult)  # noqa: S101  it comes last
    return told
