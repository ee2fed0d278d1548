"""Pinned answers in the ledger: approved, listed with what became of them, withdrawn.

Whether one may be said is no column that somebody has to set: it may while every version that it
cites is the live one, and no longer.
"""

import difflib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, NamedTuple
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.answer.access.keys import Caller
from services.answer.access.objects import find_answer, find_handoff
from twofold.counted import counted
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.index.contract import Chunk, DocumentRef, Index, Scope
from twofold.ledger import Ledger, versions_at
from twofold.ledger.models import Document, Version
from twofold.ledger.service import ApprovedAnswer, HandoffReply
from twofold.redact import redact
from twofold.reply import Citation, marks
from twofold.stack import Stack
from twofold.text.blocks import blocks, parts
from twofold.text.statements import statements
from twofold.text.support import words

State = Literal["active", "waiting", "ended", "suspended"]
"""It is said; its window has not begun; it is over; a source of it changed or went."""
MOST: Final = 2000
"""Approved answers of one workspace: each question is compared with all of them."""
DIFFERENCE_LINES: Final = 60


class Approval(NamedTuple):
    """What is to be approved: an answer on record, the latest reply of a person to a handoff, or
    `text`, in which `[n]` means `documents[n-1]`. What is left out is taken from the record."""

    question: str = ""
    answer_id: str | None = None
    handoff_id: str | None = None
    text: str = ""
    documents: tuple[str, ...] = ()
    audience: frozenset[str] | None = None
    locale: str = ""
    valid_from: float | None = None
    valid_until: float | None = None


class Change(NamedTuple):
    """What became of a cited document. `live` is None where it is gone, or may not be shown."""

    document: str
    approved: int
    live: int | None
    difference: str
    """Of the two versions' texts, line by line; empty where there is no live one."""


@dataclass(frozen=True, slots=True)
class Approved:
    row: ApprovedAnswer
    state: State
    changes: tuple[Change, ...] = ()


class _Source(NamedTuple):
    """What an approval takes from its source: an answer, a person's reply, or the text given."""

    question: str
    text: str
    audience: frozenset[str]
    locale: str
    citations: tuple[Citation, ...] = ()
    documents: tuple[str, ...] = ()


def approve(stack: Stack, caller: Caller, approval: Approval, default_locale: str) -> Approved:
    """Pins an answer. One for the same question, audience and language is replaced.

    Raises NotFound, InvalidInput for what says too little, and Conflict where a source has changed
    since, is not there, or may not be seen by the audience.
    """
    now = time.time()
    with stack.ledger.session() as session:
        source = _source(session, caller, approval, default_locale)
        audience = source.audience if approval.audience is None else approval.audience
        caller.check_audiences(audience)
        scope = Scope(caller.workspace, int(now), audience)
        citations = source.citations or tuple(_cited(session, stack.index, scope, source))
        if not citations:
            raise InvalidInput("An approved answer cites its sources: none is named.")
        if stale := _not_live(session, citations):
            raise Conflict(f"{stale[0].document} has changed since. Ask again, then approve that.")
        if hidden := _hidden(stack.index, scope, citations):
            raise Conflict(f"{hidden[0].document} may not be shown to that audience.")
        question = redact(" ".join((approval.question or source.question).split()))
        row = ApprovedAnswer(
            id=str(uuid4()),
            workspace=caller.workspace,
            question=question,
            locale=approval.locale or source.locale,
            audience=sorted(audience),
            text=source.text,
            citations=[asdict(each) for each in citations],
            valid_from=now if approval.valid_from is None else approval.valid_from,
            valid_until=approval.valid_until,
            approved_by=caller.owner,
            created_at=now,
        )
        if row.valid_until is not None and row.valid_until <= max(now, row.valid_from):
            raise InvalidInput("`valid_until` lies before the answer would be said.")
        _replace(session, row)
        session.add(row)
        session.flush()
        return Approved(row, _state(row, now, ()))


def listed(stack: Stack, caller: Caller) -> list[Approved]:
    """Returns the approved answers of the caller's workspace that it may see, newest first."""
    now = time.time()
    with stack.ledger.session() as session:
        rows = session.scalars(
            select(ApprovedAnswer)
            .where(ApprovedAnswer.workspace == caller.workspace)
            .order_by(ApprovedAnswer.created_at.desc())
        ).all()
        found = []
        for row in rows:
            if caller.sees(row.audience):
                changes = _changes(session, stack.index, row)
                found.append(Approved(row, _state(row, now, changes), changes))
        return found


def withdraw(ledger: Ledger, caller: Caller, id: str) -> None:
    """Raises NotFound."""
    with ledger.session() as session:
        row = session.get(ApprovedAnswer, id)
        if row is None or row.workspace != caller.workspace or not caller.sees(row.audience):
            raise NotFound(f"There is no approved answer {id!r}.")
        session.delete(row)


def citations_of(row: ApprovedAnswer) -> tuple[Citation, ...]:
    return tuple(Citation(**each) for each in row.citations)


def still_true(ledger: Ledger, index: Index, scope: Scope, citations: Sequence[Citation]) -> bool:
    """Returns whether every cited version is the live one, and what it says may be shown in
    `scope`."""
    with ledger.session() as session:
        if _not_live(session, citations):
            return False
    return not _hidden(index, scope, citations)


def _source(session: Session, caller: Caller, approval: Approval, locale: str) -> _Source:
    named = (approval.answer_id, approval.handoff_id, approval.text or None)
    if sum(each is not None for each in named) != 1:
        raise InvalidInput("Name one source: `answer_id`, `handoff_id`, or `text`.")
    if approval.answer_id is not None:
        return _of_answer(session, caller, approval.answer_id, approval.question)
    if approval.handoff_id is not None:
        return _of_reply(session, caller, approval.handoff_id)
    if not approval.question.strip():
        raise InvalidInput("`question`: which one does the text answer?")
    return _Source(
        approval.question, approval.text, frozenset(), locale, documents=approval.documents
    )


def _of_answer(session: Session, caller: Caller, id: str, question: str) -> _Source:
    answer = find_answer(session, caller, id)
    if answer.action != "ANSWER" or not answer.citations:
        raise InvalidInput(f"That one is no answer with sources: it did {answer.action}.")
    if answer.standalone != answer.question and not question.strip():
        raise InvalidInput("It leans on earlier turns. Give the `question` that it answers.")
    fields = Citation.__dataclass_fields__
    cited = tuple(Citation(**{name: getattr(c, name) for name in fields}) for c in answer.citations)
    return _Source(
        answer.question, answer.text, frozenset(answer.audience), answer.locale, cited
    )  # fmt: skip


def _of_reply(session: Session, caller: Caller, id: str) -> _Source:
    handoff = find_handoff(session, caller, id)
    reply = session.scalar(
        select(HandoffReply)
        .where(HandoffReply.handoff_id == id)
        .order_by(HandoffReply.id.desc())
        .limit(1)
    )
    if reply is None or reply.action != "ANSWER":
        raise InvalidInput("Nobody's reply to that handoff is kept, or it is no answer.")
    if handoff.answer_id is None:
        raise InvalidInput("Nothing was asked before that handoff. Send `question` and `text`.")
    asked = find_answer(session, caller, handoff.answer_id)
    return _Source(
        asked.question, reply.text, frozenset(asked.audience), asked.locale,
        documents=tuple(reply.documents),
    )  # fmt: skip


def _cited(session: Session, index: Index, scope: Scope, source: _Source) -> Iterable[Citation]:
    """Returns a citation for each mark of a text that a person wrote: of the document's live
    version, the span that shares most words with the sentence that carries the mark."""
    said: dict[int, str] = {}
    for statement in statements(source.text):
        for mark in statement.marks:
            said[mark] = f"{said.get(mark, '')} {statement.bare}"
    if stray := [n for n in marks(source.text) if not 1 <= n <= len(source.documents)]:
        raise InvalidInput(
            f"The text cites [{stray[0]}], but names {counted(len(source.documents), 'document')}."
            " Name each one in `documents`."
        )
    for n, key in enumerate(source.documents, start=1):
        if n not in said:
            raise InvalidInput(f"No sentence of the text carries [{n}], which is {key!r}.")
        chunks = _live_chunks(session, index, scope, key)
        wanted = set(words(said[n]))
        pieces = [
            (chunk, chunk.text[slice(*span)])
            for chunk in chunks
            for block in blocks(chunk.text)
            for span in parts(chunk.text, block)
        ]
        if not pieces:
            raise Conflict(f"{key!r} is not there, or may not be shown to that audience.")
        chunk, quote = max(
            pieces, key=lambda piece: (len(wanted & set(words(piece[1]))), -len(piece[1]))
        )
        version = versions_at(session, [chunk.document], None)[chunk.document]
        title = " > ".join((chunk.title, *chunk.heading_path[-1:]))
        yield Citation(n, chunk.id, chunk.document, chunk.key, version, title, chunk.url, quote)


def _live_chunks(session: Session, index: Index, scope: Scope, key: str) -> list[Chunk]:
    source, _, external_id = key.partition("/")
    ref = DocumentRef(scope.workspace, source, external_id)
    points = session.scalar(
        select(Version.points)
        .join(Document)
        .where(Version.document_id == ref.id, Version.number == Document.live)
    )
    return [chunk for chunk in index.retrieve(points or []) if scope.admits(chunk)]


def _not_live(session: Session, citations: Sequence[Citation]) -> list[Citation]:
    live = versions_at(session, [each.document_id for each in citations], None)
    return [each for each in citations if live.get(each.document_id) != each.version]


def _hidden(index: Index, scope: Scope, citations: Sequence[Citation]) -> list[Citation]:
    """Returns the citations whose passage is gone, expired, or not for that audience."""
    chunks = {chunk.id: chunk for chunk in index.retrieve([each.chunk for each in citations])}
    return [
        each
        for each in citations
        if each.chunk not in chunks or not scope.admits(chunks[each.chunk])
    ]


def _replace(session: Session, row: ApprovedAnswer) -> None:
    others = session.scalars(
        select(ApprovedAnswer).where(ApprovedAnswer.workspace == row.workspace)
    ).all()
    kept = 0
    for other in others:
        same = folded(other.question) == folded(row.question) and other.locale == row.locale
        if same and other.audience == row.audience:
            session.delete(other)
        else:
            kept += 1
    if kept >= MOST:
        raise Conflict(f"There are {MOST:,} approved answers already. Withdraw some first.")


def folded(question: str) -> str:
    """Returns a question in lower case without punctuation; equal ones count as the same."""
    return " ".join(re.findall(r"\w+", question.lower()))


def _state(row: ApprovedAnswer, now: float, changes: Sequence[Change]) -> State:
    if changes:
        return "suspended"
    if now < row.valid_from:
        return "waiting"
    return "ended" if row.valid_until is not None and now >= row.valid_until else "active"


def _changes(session: Session, index: Index, row: ApprovedAnswer) -> tuple[Change, ...]:
    citations = citations_of(row)
    live: Mapping[str, int] = versions_at(session, [c.document_id for c in citations], None)
    scope = Scope(row.workspace, int(time.time()), frozenset(row.audience))
    hidden = {each.document_id for each in _hidden(index, scope, citations)}
    changes = {}
    for each in citations:
        number = live.get(each.document_id)
        if number != each.version:
            difference = _difference(session, each.document_id, each.version, number)
            changes[each.document_id] = Change(each.document, each.version, number, difference)
        elif each.document_id in hidden:
            changes[each.document_id] = Change(each.document, each.version, None, "")
    return tuple(changes.values())


def _difference(session: Session, document: str, before: int, after: int | None) -> str:
    if after is None:
        return ""
    texts = {
        row.number: [line for section in row.sections for line in section["text"].splitlines()]
        for row in session.execute(
            select(Version.number, Version.sections).where(
                Version.document_id == document, Version.number.in_((before, after))
            )
        )
    }
    lines = difflib.unified_diff(texts.get(before, []), texts.get(after, []), n=1, lineterm="")
    return "\n".join([*lines][2 : 2 + DIFFERENCE_LINES])
