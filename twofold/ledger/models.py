"""The ledger's tables. Times are epoch seconds (float, UTC): the same in SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy's own protocol
        float: Float(53),
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


class Source(Base):
    """Where documents come from. At most one sync at a time, fenced by the lease."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("workspace", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    config: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[float] = mapped_column(default=0.0)
    served_at: Mapped[float] = mapped_column(default=0.0)
    """When a job of it was taken last: the source that waited longest comes next."""


class Document(Base):
    """A document's identity and which version is live. `id` is `DocumentRef.id`."""

    __tablename__ = "documents"
    __table_args__ = (UniqueConstraint("workspace", "source", "external_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    source: Mapped[str]
    external_id: Mapped[str]
    live: Mapped[int | None]
    """Number of the version that answers now; None once the document is gone at its source."""
    raw_hash: Mapped[str] = mapped_column(default="")
    """Hash of the fetched bytes behind the live version: equal means nothing to do."""
    removed_at: Mapped[float | None]

    versions: Mapped[list["Version"]] = relationship(
        back_populates="document", order_by="Version.number", cascade="all, delete-orphan"
    )


class Version(Base):
    """What a document said. It applies from `applied_from` until before `applied_until`."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("document_id", "number"),
        Index("ix_versions_fingerprint", "fingerprint"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    number: Mapped[int]
    content_hash: Mapped[str]
    raw_hash: Mapped[str]
    fingerprint: Mapped[str]
    title: Mapped[str]
    url: Mapped[str]
    kind: Mapped[str]
    locale: Mapped[str]
    product: Mapped[str]
    audience: Mapped[list[str]]
    meta: Mapped[dict[str, Any]]
    """Front matter that retrieval does not filter on (labels, review_by, supersedes), and
    `effective_from` where it was said."""
    sections: Mapped[list[dict[str, Any]]]
    """The extracted text, to rebuild an index or check a quote without the source."""
    points: Mapped[list[str]]
    """Point ids of this version's chunks, in document order; none once they were removed."""
    applied_from: Mapped[float]
    applied_until: Mapped[float]
    source_updated_at: Mapped[float]
    fetched_at: Mapped[float]
    quarantined: Mapped[bool] = mapped_column(default=False)

    document: Mapped[Document] = relationship(back_populates="versions")


class Sync(Base):
    """One run over a source, with its progress and outcome."""

    __tablename__ = "syncs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    source: Mapped[str]
    state: Mapped[str]
    """queued | running | done | failed"""
    started_at: Mapped[float]
    finished_at: Mapped[float | None]
    total: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    counts: Mapped[dict[str, Any]]
    error: Mapped[str] = mapped_column(default="")


class Failure(Base):
    """A document that could not be read or written; gone once it succeeds."""

    __tablename__ = "failures"

    workspace: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int]
    first_at: Mapped[float]
    last_at: Mapped[float]
    next_at: Mapped[float | None]
    """When it is tried again by itself; None once only a sync or a person tries it again."""


class Job(Base):
    """Work that was accepted. A message in a broker only says that there is some."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_due", "state", "queue", "due_at"),
        Index("ix_jobs_source", "workspace", "source", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    source: Mapped[str]
    queue: Mapped[str]
    task: Mapped[str]
    subject: Mapped[str]
    """What it is about: of two waiting jobs about the same, only the newer is done."""
    payload: Mapped[dict[str, Any]]
    state: Mapped[str]
    """waiting | running | done | dead | superseded"""
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[float]
    owner: Mapped[str | None]
    lease_until: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[float]
    finished_at: Mapped[float | None]
    result: Mapped[dict[str, Any]]
    error: Mapped[str] = mapped_column(Text, default="")


class Conversation(Base):
    __tablename__ = "conversations"
    __table_args__ = (
        Index("ix_conversations_customer", "workspace", "customer"),
        Index("ix_conversations_last", "last_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    customer: Mapped[str | None]
    owner: Mapped[str | None]
    """Name of the key it was begun with, "" where none was needed; None: nobody's but `admin`'s."""
    created_at: Mapped[float]
    last_at: Mapped[float]


class Answer(Base):
    """The record of one answer: asked, seen, said, and why. Diagnosis reads nothing else."""

    __tablename__ = "answers"
    __table_args__ = (
        Index("ix_answers_conversation", "conversation_id", "created_at"),
        Index("ix_answers_created", "workspace", "created_at"),
        Index(
            "ix_answers_asked_back", "workspace", "created_at",
            sqlite_where=text("action = 'CLARIFY'"), postgresql_where=text("action = 'CLARIFY'"),
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    question: Mapped[str] = mapped_column(Text)
    standalone: Mapped[str] = mapped_column(Text)
    audience: Mapped[list[str]]
    locale: Mapped[str]
    as_of: Mapped[float]
    action: Mapped[str]
    team: Mapped[str | None]
    reason: Mapped[str | None]
    text: Mapped[str] = mapped_column(Text)
    consent: Mapped[str | None]
    """The reason for a person that the reply asks consent for."""
    failed: Mapped[bool] = mapped_column(default=False)
    """Whether it leaves the question without an answer."""
    choices: Mapped[list[str]] = mapped_column(default=list)
    """Titles that the reply asks to choose among."""
    served_by: Mapped[str]
    profile: Mapped[str]
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    fingerprint: Mapped[str]
    retrieved: Mapped[list[dict[str, Any]]]
    """Candidates, best first: chunk, document, version, and the score of each stage."""
    packed: Mapped[list[str]]
    """Chunk ids in the order the reply maker saw them; `[1]` is the first."""
    verdicts: Mapped[list[dict[str, Any]]]
    signals: Mapped[dict[str, Any]]
    timings: Mapped[dict[str, Any]]
    """Milliseconds of each step."""

    citations: Mapped[list["Citation"]] = relationship(
        order_by="Citation.n", cascade="all, delete-orphan"
    )


class Citation(Base):
    __tablename__ = "citations"
    __table_args__ = (Index("ix_citations_document", "document_id", "version"),)

    answer_id: Mapped[str] = mapped_column(
        ForeignKey("answers.id", ondelete="CASCADE"), primary_key=True
    )
    n: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(String(36))
    document: Mapped[str]
    version: Mapped[int]
    chunk: Mapped[str] = mapped_column(String(36))
    title: Mapped[str]
    url: Mapped[str]
    quote: Mapped[str] = mapped_column(Text)


class Feedback(Base):
    __tablename__ = "feedback"

    id: Mapped[int] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    rating: Mapped[str]
    """up | down"""
    comment: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[float]


class Handoff(Base):
    """The outbox: a row here comes before any promise to the customer."""

    __tablename__ = "handoffs"
    __table_args__ = (Index("ix_handoffs_workspace", "workspace", "created_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace: Mapped[str]
    conversation_id: Mapped[str] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    answer_id: Mapped[str | None] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"))
    """None where a person was asked for before anything was answered."""
    team: Mapped[str]
    reason: Mapped[str]
    state: Mapped[str]
    """pending | delivered | failed"""
    packet: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[float] = mapped_column(default=0.0)
    delivered_at: Mapped[float | None]
    error: Mapped[str] = mapped_column(Text, default="")
    closed_at: Mapped[float | None]
    """Settled without a reply that is kept."""
