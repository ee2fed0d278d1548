"""How many questions a site may ask on a day of its own time zone."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from services.widget.errors import QuotaExhausted
from services.widget.sites import Placed
from twofold.ledger import Ledger
from twofold.ledger.widget import SiteDay


class Quota(NamedTuple):
    """Questions a site may ask on a day; 0 means any number."""

    site: str
    day: str
    most: int
    ends_in: float
    """Seconds until the next day."""


def quota_of(site: Placed, now: float) -> Quota:
    """Returns what the site may still ask today, in its own time zone."""
    hours = site.config.hours
    here = datetime.fromtimestamp(now, ZoneInfo(hours.timezone) if hours else UTC)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    day = here.date().isoformat()
    return Quota(site.id, day, site.config.daily_quota, midnight.timestamp() - now)


def count(session: Session, quota: Quota) -> None:
    """Counts one more question of the day. Raises QuotaExhausted."""
    if not quota.most:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert(SiteDay)
        .values(site_id=quota.site, day=quota.day, questions=0)
        .on_conflict_do_nothing()
    )
    counted = session.execute(
        update(SiteDay)
        .where(SiteDay.site_id == quota.site, SiteDay.day == quota.day)
        .where(SiteDay.questions < quota.most)
        .values(questions=SiteDay.questions + 1)
        .execution_options(synchronize_session=False)
    )
    if counted.rowcount != 1:  # type: ignore[attr-defined]
        raise QuotaExhausted(
            "The assistant has answered as many questions as it may today. You can still ask for a"
            " person.",
            quota.ends_in,
        )


def give_back(session: Session, quota: Quota) -> None:
    """Takes back a question that came to nothing: it does not count."""
    if quota.most:
        session.execute(
            update(SiteDay)
            .where(SiteDay.site_id == quota.site, SiteDay.day == quota.day)
            .where(SiteDay.questions > 0)
            .values(questions=SiteDay.questions - 1)
        )


def quota_left(ledger: Ledger, quota: Quota) -> int | None:
    """Returns questions that are left of the day; None where there is no quota."""
    if not quota.most:
        return None
    with ledger.session() as session:
        used = session.scalar(
            select(SiteDay.questions).where(SiteDay.site_id == quota.site, SiteDay.day == quota.day)
        )
    return max(0, quota.most - (used or 0))
