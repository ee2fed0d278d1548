"""What the ledger knows of an Idempotency-Key: whose turn it is, and what came of it."""

import hashlib
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from twofold.errors import InvalidInput
from twofold.ledger import Ledger
from twofold.ledger.models import Answer, Conversation
from twofold.ledger.service import Replay

KEPT_S: Final = 24 * 3600.0
MOST_CHARS: Final = 255
ACTED: Final = -1
"""Stands in `Replay.pieces` for an `action` event; any other number is the length of a `delta`."""


class Slot(NamedTuple):
    """One idempotency key of one caller."""

    workspace: str
    caller: str
    key: str


def slot(workspace: str, caller: str, key: str) -> Slot:
    """Raises InvalidInput for a key that is none."""
    if not (0 < len(key) <= MOST_CHARS and key.isprintable()):
        raise InvalidInput(f"Idempotency-Key: send 1 to {MOST_CHARS} printable characters.")
    return Slot(workspace, caller, hashlib.sha256(key.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class SlotHolder:
    """Who answers: this process (`mine`), the answer `answer_id`, or another process (neither)."""

    mine: bool
    answer_id: str | None = None


def claim(ledger: Ledger, at: Slot, request: str, abandoned_s: float) -> SlotHolder:
    """Takes the slot, unless it is taken. Raises InvalidInput where it was used for another
    request.

    Whoever took it and has nothing to show after `abandoned_s` is taken for dead.
    """
    now = time.time()
    try:
        with ledger.session() as session:
            row = session.get(Replay, at)
            if row is not None and row.started_at < now - KEPT_S:
                session.delete(row)
                session.flush()
                row = None
            if row is None:
                session.add(Replay(**at._asdict(), request=request, started_at=now))
                return SlotHolder(mine=True)
            if row.request != request:
                raise InvalidInput(
                    "This Idempotency-Key was used for another question. Use a new key for each."
                )
            if row.answer_id and session.get(Answer, row.answer_id):
                return SlotHolder(mine=False, answer_id=row.answer_id)
            if row.started_at > now - abandoned_s:
                return SlotHolder(mine=False)
            taken = session.execute(
                update(Replay)
                .where(*_is(at), Replay.started_at == row.started_at)
                .values(started_at=now, answer_id=None, pieces=None)
                .execution_options(synchronize_session=False)
            )
            return SlotHolder(mine=taken.rowcount == 1)  # type: ignore[attr-defined]
    except IntegrityError:
        return SlotHolder(mine=False)


def name(ledger: Ledger, at: Slot, answer_id: str) -> None:
    """Records which answer the slot will have, before that answer is recorded."""
    with ledger.session() as session:
        session.execute(update(Replay).where(*_is(at)).values(answer_id=answer_id))


def finish(ledger: Ledger, at: Slot, pieces: list[int]) -> None:
    with ledger.session() as session:
        session.execute(update(Replay).where(*_is(at)).values(pieces=pieces))


def release(ledger: Ledger, at: Slot) -> None:
    """Frees the slot: nothing came of the request, and the same key may try again."""
    with ledger.session() as session:
        session.execute(delete(Replay).where(*_is(at)))


def expire(ledger: Ledger) -> None:
    with ledger.session() as session:
        session.execute(delete(Replay).where(Replay.started_at < time.time() - KEPT_S))


class Recorded(NamedTuple):
    """An answer as the ledger has it; `pieces` is None where nobody knows how it was streamed."""

    row: Answer
    pieces: list[int] | None
    owner: str | None = None
    """Of its conversation."""


def recorded(ledger: Ledger, answer_id: str) -> Recorded | None:
    with ledger.session() as session:
        row = session.get(Answer, answer_id, options=[selectinload(Answer.citations)])
        if row is None:
            return None
        pieces = session.scalar(select(Replay.pieces).where(Replay.answer_id == answer_id))
        asked_in = select(Conversation.owner).where(Conversation.id == row.conversation_id)
        owner = session.scalar(asked_in)
    if pieces is not None and sum(n for n in pieces if n != ACTED) != len(row.text):
        pieces = None
    return Recorded(row, pieces, owner)


def promised(ledger: Ledger, workspace: str, answer_id: str, caller: str | None = None) -> bool:
    """Returns whether some process of ours is, or was, at that answer; for one `caller`, if it
    is named."""
    with ledger.session() as session:
        query = select(Replay.key).where(
            Replay.answer_id == answer_id, Replay.workspace == workspace
        )
        if caller is not None:
            query = query.where(Replay.caller == caller)
        return session.scalar(query) is not None


def _is(at: Slot) -> tuple[ColumnElement[bool], ...]:
    return Replay.workspace == at.workspace, Replay.caller == at.caller, Replay.key == at.key
