"""Tables of the answer service's edge: who may call, what was asked twice, what was handed on."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from twofold.ledger.models import Base


class ApiKey(Base):
    """A caller. The key itself is shown once, and kept nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_workspace", "workspace", "name"),)

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    workspace: Mapped[str]
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    audiences: Mapped[list[str]]
    """What it may ask for beyond `public`."""
    rate: Mapped[int | None]
    """Requests a minute; None means the setting, 0 no limit."""
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class Replay(Base):
    """One use of an Idempotency-Key: whoever comes with it again gets the same answer."""

    __tablename__ = "replays"
    __table_args__ = (Index("ix_replays_started", "started_at"),)

    workspace: Mapped[str] = mapped_column(primary_key=True)
    caller: Mapped[str] = mapped_column(String(12), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the key: callers put all kinds of things there."""
    request: Mapped[str] = mapped_column(String(64))
    """SHA-256 of what was asked."""
    started_at: Mapped[float]
    answer_id: Mapped[str | None] = mapped_column(String(36), index=True)
    pieces: Mapped[list[int] | None] = mapped_column(JSON)
    """Length of each piece of the text as it was streamed; None until the answer is finished."""


class Delivery(Base):
    """A handoff on its way to one target."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_due", "state", "next_attempt_at"),)

    handoff_id: Mapped[str] = mapped_column(
        ForeignKey("handoffs.id", ondelete="CASCADE"), primary_key=True
    )
    target: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    """pending | delivered | dead"""
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[float] = mapped_column(default=0.0)
    delivered_at: Mapped[float | None]
    receipt: Mapped[str] = mapped_column(default="")
    """What the target calls it: a ticket's number."""
    error: Mapped[str] = mapped_column(Text, default="")


class HandoffReply(Base):
    """What a person wrote to a customer who was handed over: how we should have replied."""

    __tablename__ = "handoff_replies"

    id: Mapped[int] = mapped_column(primary_key=True)
    handoff_id: Mapped[str] = mapped_column(
        ForeignKey("handoffs.id", ondelete="CASCADE"), index=True
    )
    action: Mapped[str]
    team: Mapped[str | None]
    reason: Mapped[str | None]
    text: Mapped[str] = mapped_column(Text)
    """Markdown; `[n]` means the n-th of `documents`."""
    documents: Mapped[list[str]]
    """`source/external_id` of each."""
    created_at: Mapped[float]


class Diagnosed(Base):
    """A live answer that is looked into: which layer failed it, once it was asked again."""

    __tablename__ = "diagnoses"
    __table_args__ = (
        Index("ix_diagnoses_due", "state", "due_at"),
        Index("ix_diagnoses_queued", "workspace", "queued_at"),
    )

    answer_id: Mapped[str] = mapped_column(
        ForeignKey("answers.id", ondelete="CASCADE"), primary_key=True
    )
    workspace: Mapped[str]
    signal: Mapped[str]
    """negative_feedback | correction | low_confidence | sample: why it is looked into"""
    said: Mapped[str] = mapped_column(Text, default="")
    """The customer's comment, or what an agent replied instead."""
    state: Mapped[str]
    """waiting | done | failed"""
    queued_at: Mapped[float]
    due_at: Mapped[float]
    """While it is worked at, the end of the lease."""
    attempts: Mapped[int] = mapped_column(default=0)
    done_at: Mapped[float | None]
    layer: Mapped[str] = mapped_column(default="")
    cause: Mapped[str] = mapped_column(default="")
    verdict: Mapped[dict[str, Any]]
    """`models.diagnosis.verdicts.Verdict`; empty where nothing was found wrong, or not yet."""
    error: Mapped[str] = mapped_column(Text, default="")


class ApprovedAnswer(Base):
    """What a question gets word for word, for as long as it is true: every cited version must still
    be the one that answers. It outlives the record that it was taken from."""

    __tablename__ = "approved_answers"
    __table_args__ = (Index("ix_approved_answers_workspace", "workspace"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    question: Mapped[str] = mapped_column(Text)
    locale: Mapped[str]
    audience: Mapped[list[str]]
    """What an asker must have beyond `public`."""
    text: Mapped[str] = mapped_column(Text)
    citations: Mapped[list[dict[str, Any]]]
    valid_from: Mapped[float]
    valid_until: Mapped[float | None]
    approved_by: Mapped[str]
    """Name of the key, "" where none was needed."""
    created_at: Mapped[float]


class Tombstone(Base):
    """Something that was deleted: what is still on its way for it is not written any more."""

    __tablename__ = "tombstones"

    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Digest of what it was."""
    at: Mapped[float]


class Heartbeat(Base):
    """The last time that something could be written."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
