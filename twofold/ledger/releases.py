"""Tables of the behaviour layer: the adapters that were published, and what became of each."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from twofold.ledger.models import Base
from twofold.policy import HousePolicy
from twofold.prompt import Profile, prompt_digest

STATES: Final = ("candidate", "refused", "canary", "live", "retired")
SERVED: Final = ("live", "canary")
"""States in which customers are answered by a release."""
ASKED_WITH: Final[Profile] = "tuned"
"""The prompt that every release is asked with."""
_ONE = text("state IN ('live', 'canary')")


class Release(Base):
    """An adapter, for one prompt and one house policy, made beside one index.

    None of these changes after it was published; what changes is what is done with it.
    """

    __tablename__ = "releases"
    __table_args__ = (
        UniqueConstraint("adapter_sha256", "profile", "prompt", "house", "fingerprint"),
        # At most one is live and one is the canary, whoever writes.
        Index("ix_releases_served", "state", unique=True, sqlite_where=_ONE, postgresql_where=_ONE),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    """What the model server calls it. Never given to another adapter, not even later."""
    base: Mapped[str]
    """The base model's name, and"""
    base_path: Mapped[str]
    """the folder or hub id that a model server loads it from."""
    adapter_path: Mapped[str]
    adapter_sha256: Mapped[str] = mapped_column(String(64))
    profile: Mapped[Profile] = mapped_column(String())
    prompt: Mapped[str]
    house: Mapped[str]
    fingerprint: Mapped[str]
    state: Mapped[str]
    """One of STATES. `refused`: the gate said no, or it was rolled back from."""
    share: Mapped[float] = mapped_column(default=0.0)
    """Of the conversations (0..1), while it is the canary."""
    gate: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The last report of the gate."""
    note: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[float]
    changed_at: Mapped[float]
    """Since when it is in its state."""

    events: Mapped[list["ReleaseEvent"]] = relationship(
        order_by="ReleaseEvent.id", cascade="all, delete-orphan"
    )


class ReleaseEvent(Base):
    """What happened to a release: when, why, and by whom."""

    __tablename__ = "release_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(
        ForeignKey("releases.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[float]
    from_state: Mapped[str]
    """"" where it was published."""
    to_state: Mapped[str]
    why: Mapped[str] = mapped_column(Text)
    who: Mapped[str]


def served(session: Session) -> Sequence[Release]:
    """Returns the live release and the canary, where there are any."""
    return session.scalars(select(Release).where(Release.state.in_(SERVED))).all()


def misfit(release: Release, house: HousePolicy) -> str:
    """Returns why a release is not asked under this house policy: a clause; "" where it is."""
    if release.profile != ASKED_WITH:
        return f"it was trained with the {release.profile} prompt, not with the {ASKED_WITH} one"
    for what, made_for, now in (
        ("house policy", release.house, house.digest),
        ("prompt", release.prompt, prompt_digest(house, ASKED_WITH)),
    ):
        if made_for != now:
            return f"it was trained with {what} {made_for}, and {now} is running"
    return ""
