"""What was deleted stays deleted: marks that outlive whatever was on its way at that moment.

A mark is a digest: what somebody had deleted is not kept in the note that it is gone.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.orm import Session

from twofold.ledger.service import Tombstone

KEPT_S: Final = 86_400.0
"""Longer than anything is on its way."""


def conversation_mark(workspace: str, id: str) -> str:
    return _digest("conversation", workspace, id)


def customer_mark(workspace: str, customer: str) -> str:
    return _digest("customer", workspace, customer)


def answer_mark(workspace: str, id: str) -> str:
    """Returns the mark of an answer that its reader has stopped: what there is of it is its end."""
    return _digest("answer", workspace, id)


def bury(session: Session, marks: Sequence[str]) -> None:
    """Notes that they are deleted now; in the transaction that deletes them, before it does."""
    connection = session.connection()
    lock(connection, marks)
    connection.execute(delete(Tombstone).where(Tombstone.mark.in_(marks)))
    connection.execute(insert(Tombstone), [{"mark": each, "at": time.time()} for each in marks])


def buried(connection: Connection, marks: Sequence[str], since: float) -> bool:
    """Returns whether one of them was deleted at `since` or later. Called in the transaction
    that writes, after `lock`, and with SQLite after its first write."""
    query = select(Tombstone.mark).where(Tombstone.mark.in_(marks), Tombstone.at >= since)
    return connection.scalar(query.limit(1)) is not None


def lock(connection: Connection, marks: Sequence[str]) -> None:
    """Lets only one transaction at a time write or delete them. SQLite has one writer anyway."""
    if connection.dialect.name != "postgresql":
        return
    for mark in sorted(marks):
        number = int(mark[:15], 16)
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": number})


def forget_old(session: Session) -> None:
    session.execute(delete(Tombstone).where(Tombstone.at < time.time() - KEPT_S))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
