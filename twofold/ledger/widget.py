"""Tables of the widget's backend: sites, visitors and their sessions, and what was said."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from twofold.ledger.models import Base


class Site(Base):
    """A place where the widget stands. `id` is public: it is in the page that embeds it."""

    __tablename__ = "widget_sites"
    __table_args__ = (UniqueConstraint("workspace", "name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    workspace: Mapped[str]
    name: Mapped[str]
    config: Mapped[dict[str, Any]]
    generation: Mapped[int] = mapped_column(default=1)
    """Of the secret that its identity tokens are signed with; the secret itself is kept nowhere."""
    created_at: Mapped[float]
    changed_at: Mapped[float]


class Visitor(Base):
    """A person at a site: anonymous, or a customer that the site vouched for."""

    __tablename__ = "widget_visitors"
    __table_args__ = (UniqueConstraint("site_id", "customer"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("widget_sites.id", ondelete="CASCADE"))
    customer: Mapped[str | None]
    name: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    locale: Mapped[str] = mapped_column(default="")
    audience: Mapped[list[str]]
    """What it may see beyond `public`."""
    consented_at: Mapped[float | None]
    created_at: Mapped[float]
    last_at: Mapped[float]


class VisitorSession(Base):
    """One browser of a visitor. Its renewal token rotates; the ledger keeps digests alone."""

    __tablename__ = "widget_sessions"
    __table_args__ = (
        Index("ix_widget_sessions_previous", "previous"),
        Index("ix_widget_sessions_visitor", "visitor_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("widget_sites.id", ondelete="CASCADE"))
    visitor_id: Mapped[str] = mapped_column(ForeignKey("widget_visitors.id", ondelete="CASCADE"))
    origin: Mapped[str]
    renewal: Mapped[str] = mapped_column(String(64), unique=True)
    previous: Mapped[str | None] = mapped_column(String(64))
    """The renewal before this one: shown again soon, an answer was lost; later, it was stolen."""
    renewed_at: Mapped[float]
    created_at: Mapped[float]
    expires_at: Mapped[float] = mapped_column(index=True)


class UsedIdentity(Base):
    """An identity token that was shown: nobody can show it again."""

    __tablename__ = "widget_identities"

    site_id: Mapped[str] = mapped_column(
        ForeignKey("widget_sites.id", ondelete="CASCADE"), primary_key=True
    )
    jti: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of it: hosts put all kinds of things there."""
    expires_at: Mapped[float] = mapped_column(index=True)


class SiteDay(Base):
    """Questions of a site on one day of its own time zone."""

    __tablename__ = "widget_days"

    site_id: Mapped[str] = mapped_column(
        ForeignKey("widget_sites.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    questions: Mapped[int] = mapped_column(default=0)


class Thread(Base):
    """A conversation as its visitor sees it: with the assistant, and with people."""

    __tablename__ = "widget_threads"
    __table_args__ = (
        Index("ix_widget_threads_visitor", "visitor_id", "created_at"),
        Index("ix_widget_threads_state", "state", "changed_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("widget_sites.id", ondelete="CASCADE"))
    visitor_id: Mapped[str] = mapped_column(ForeignKey("widget_visitors.id", ondelete="CASCADE"))
    conversation_id: Mapped[str | None] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    """The answer service's; None until its first answer is recorded."""
    state: Mapped[str] = mapped_column(default="assistant")
    """assistant | queued | offhours | taken | reopened | closed"""
    handoff_id: Mapped[str | None] = mapped_column(String(36))
    team: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")
    searched: Mapped[bool] = mapped_column(default=True)
    """False where the reason is that the sources could not be searched."""
    agent: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    asked_at: Mapped[float | None]
    """When a person was asked for, until one has answered."""
    answering: Mapped[str | None] = mapped_column(String(36))
    """Message that is being answered; one at a time."""
    answering_until: Mapped[float] = mapped_column(default=0.0)
    """By then whoever answers it is taken for dead."""
    seq: Mapped[int] = mapped_column(default=0)
    read: Mapped[int] = mapped_column(default=0)
    visitor_typing_at: Mapped[float] = mapped_column(default=0.0)
    agent_typing_at: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[float]
    changed_at: Mapped[float] = mapped_column(index=True)


class Item(Base):
    """One thing said or done in a thread. What the assistant said stays with the answer service."""

    __tablename__ = "widget_items"
    __table_args__ = (UniqueConstraint("thread_id", "message_id"),)

    thread_id: Mapped[str] = mapped_column(
        ForeignKey("widget_threads.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """question | message | state"""
    at: Mapped[float]
    message_id: Mapped[str | None] = mapped_column(String(36))
    text: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(default="")
    """Of a question: answering | answered | failed | stopped"""
    answer_id: Mapped[str | None] = mapped_column(String(36), index=True)
    stopped: Mapped[int | None]
    """Characters of the answer that were shown when its visitor stopped it."""
    by: Mapped[str] = mapped_column(default="")
    """visitor | agent | assistant | system"""
    name: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="")
    changed: Mapped[int] = mapped_column(default=0)
    """The thread's `seq` when this was changed last: readers who saw less see it again."""
