"""Past answers that rest on a document's older text, and what would be said today."""

import asyncio
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, selectinload

from services.answer import pipeline
from services.answer.contract import Ask, Turn
from services.answer.generate import Told
from services.answer.pipeline import Parts
from services.answer.watch import Watch
from twofold import prose
from twofold.errors import NotFound
from twofold.ledger import Ledger
from twofold.ledger.models import Answer, Citation, Document
from twofold.reply import ACTIONS

NOW_S: Final = 60.0
"""An answer about a moment this far from when it was given was asked about that day."""

_MARK = re.compile(r"\[\d{1,2}\]")
_DAY = re.compile(
    r"\b(?:\d{1,2}\.? )?(?:January|February|March|April|May|June|July|August|September|October"
    r"|November|December|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember)\b(?: \d{1,2}(?!\d))?"
    r"(?:,? \d{4})?"
)


@dataclass(frozen=True, slots=True)
class Affected:
    """A document that changed, and the answers that cited it before, newest first."""

    document: str
    before_version: int | None
    """None where the document is gone: every answer that cited it counts."""
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a customer takes along from a reply; its wording is not part of that."""

    action: str
    numbers: frozenset[str]
    days: frozenset[str]
    documents: frozenset[str]

    def changes(self, now: "Said") -> tuple[str, ...]:
        """Names of what differs."""
        return tuple(name for name in self.__slots__ if getattr(self, name) != getattr(now, name))


@dataclass(frozen=True, slots=True)
class Replayed:
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
        document = _document(session, workspace, name)
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


async def replay(parts: Parts, answers: Sequence[Answer]) -> list[Replayed]:
    """Ask each question again, as it was asked then; only those whose meaning changed.

    Nothing is recorded, and nobody is handed over. Raises a TwofoldError where answering fails.
    """
    found: list[Replayed] = []
    for answer in answers:
        ask = await asyncio.to_thread(_ask, parts.stack.ledger, answer)
        told = await _rehearse(parts, ask, answer.conversation_id)
        documents = tuple(dict.fromkeys(citation.document for citation in told.citations))
        then = said(answer.action, answer.text, [each.document for each in answer.citations])
        changes = then.changes(said(told.decision.action, told.text, documents))
        if changes:
            found.append(Replayed(answer, told.decision.action, told.text, documents, changes))
    return found


def said(action: str, text: str, documents: Collection[str]) -> Said:
    # A fixed sentence of the house names hours and days of its own, which no document changes.
    words = _MARK.sub(" ", prose.plain(text)) if action == "ANSWER" else ""
    days = frozenset(day.strip() for day in _DAY.findall(words))
    return Said(action, prose.numbers(_DAY.sub(" ", words)), days, frozenset(documents))


def _document(session: Session, workspace: str, name: str) -> Document:
    source, _, external_id = name.partition("/")
    rows = session.scalars(
        select(Document).where(
            Document.workspace == workspace,
            or_(
                (Document.source == source) & (Document.external_id == external_id),
                Document.external_id == name,
                Document.id == name,
            ),
        )
    ).all()
    if len(rows) != 1:
        what = f"{len(rows)} documents are" if rows else "No document is"
        raise NotFound(f"{what} named {name!r}. Name it as source/path, such as help/faq.md.")
    return rows[0]


def _ask(ledger: Ledger, answer: Answer) -> Ask:
    """The question with what was said before it, to the same audience, about the same day."""
    with ledger.session() as session:
        before = session.execute(
            select(Answer.question, Answer.text, Answer.action)
            .where(
                Answer.conversation_id == answer.conversation_id,
                Answer.created_at < answer.created_at,
            )
            .order_by(Answer.created_at)
        ).all()
    history: list[Turn] = []
    for question, text, action in before:
        known = next(name for name in ACTIONS if name == action)
        history += [Turn("user", question), Turn("assistant", text, known)]
    past = abs(answer.as_of - answer.created_at) > NOW_S
    return Ask(
        message=answer.question,
        workspace=answer.workspace,
        audiences=frozenset(answer.audience),
        locale=answer.locale,
        as_of=answer.as_of if past else None,
        history=tuple(history),
    )


async def _rehearse(parts: Parts, ask: Ask, conversation: str) -> Told:
    watch = Watch(time.monotonic() + parts.stack.settings.deadline_s)
    async with parts.searches.place(watch.until):
        seen = await pipeline.look(ask, parts, watch)
    told = None
    async for event in parts.ladder.tell(seen, watch.until, conversation):
        told = event
    assert isinstance(told, Told)  # noqa: S101  it comes last
    return told
