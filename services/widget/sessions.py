"""Visitors and their sessions: begun with a ticket, renewed, signed in, ended."""

import hashlib
import secrets
import time
from typing import Final, NamedTuple
from uuid import uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.widget.errors import IdentityNeeded, IdentityRefused, SessionEnded
from services.widget.sites import Placed
from services.widget.tokens import Claims, HostIdentity, Tokens
from twofold.errors import Conflict, Forbidden, Unauthorized
from twofold.index.contract import PUBLIC
from twofold.ledger import Ledger
from twofold.ledger.widget import Thread, UsedIdentity, Visitor, VisitorSession

ANONYMOUS_S: Final = 30 * 86_400.0
IDENTIFIED_S: Final = 12 * 3600.0
"""A host vouches again after this; an anonymous visitor is forgotten after the other."""
TWICE_S: Final = 60.0
"""A renewal may come twice within this: the first answer was lost, or another tab had it too."""


class Begun(NamedTuple):
    """A session with the tokens that its browser is given."""

    visitor: Visitor
    token: str
    expires_at: float
    renewal: str
    renewal_until: float
    resumed: bool
    origin: str


class Sessions:
    """Sessions of all sites, in the ledger."""

    def __init__(self, ledger: Ledger, tokens: Tokens) -> None:
        self._ledger = ledger
        self._tokens = tokens

    def begin(
        self,
        site: Placed,
        origin: str,
        renewal: str | None = None,
        identity: str | None = None,
        locale: str = "",
    ) -> Begun:
        """Returns a session for the bearer of a checked ticket. A renewal that still holds goes
        on with its visitor; an identity signs one in. Raises IdentityRefused or IdentityNeeded."""
        vouched = self._vouched(site, identity) if identity else None
        for _ in range(2):
            try:
                return self._begin(site, origin, renewal, vouched, locale)
            except IntegrityError:
                continue  # the same customer came through another tab: there is a row now
        raise Conflict("This visitor is being signed in elsewhere. Try again.")

    def _begin(
        self,
        site: Placed,
        origin: str,
        renewal: str | None,
        vouched: HostIdentity | None,
        locale: str,
    ) -> Begun:
        with self._ledger.session() as session:
            now = time.time()
            before = _held(session, site, renewal, now) if renewal else None
            if before is not None and before.origin == origin and vouched is None:
                return self._go_on(session, site, before, now)
            if vouched is None and site.config.identity.mode == "required":
                raise IdentityNeeded("Sign in on this site to use the chat.")
            visitor = _visitor(session, site, vouched, locale, now)
            if before is not None and before.origin == origin:
                _move_threads(session, before.visitor_id, visitor)
                session.delete(before)
            return self._open(session, site, visitor, origin, now)

    def renew(self, site: Placed, renewal: str) -> Begun:
        """Raises SessionEnded for a renewal that does not hold. One that comes a second time,
        later than a lost answer explains, ends its session: somebody copied it."""
        with self._ledger.session() as session:
            held = _held(session, site, renewal, time.time())
            if held is not None:
                return self._go_on(session, site, held, time.time())
        raise SessionEnded("This session has ended. Begin a new one.")

    def identify(self, site: Placed, claims: Claims, identity: str) -> Begun:
        """Signs the session's visitor in: its thread goes along, its old tokens end."""
        vouched = self._vouched(site, identity)
        for _ in range(2):
            try:
                return self._identify(site, claims, vouched)
            except IntegrityError:
                continue
        raise Conflict("This visitor is being signed in elsewhere. Try again.")

    def _identify(self, site: Placed, claims: Claims, vouched: HostIdentity) -> Begun:
        with self._ledger.session() as session:
            now = time.time()
            visitor = _visitor(session, site, vouched, "", now)
            if visitor.id != claims.visitor:
                _move_threads(session, claims.visitor, visitor)
            session.execute(delete(VisitorSession).where(VisitorSession.id == claims.session))
            return self._open(session, site, visitor, claims.origin, now)

    def end(self, claims: Claims) -> None:
        with self._ledger.session() as session:
            session.execute(delete(VisitorSession).where(VisitorSession.id == claims.session))

    def visitor(self, claims: Claims) -> Visitor:
        """Returns the visitor of a session that still stands. Raises Unauthorized."""
        with self._ledger.session() as session:
            found = session.scalar(
                select(Visitor)
                .join(VisitorSession, VisitorSession.visitor_id == Visitor.id)
                .where(
                    VisitorSession.id == claims.session,
                    VisitorSession.visitor_id == claims.visitor,
                    VisitorSession.site_id == claims.site,
                )
            )
        if found is None:
            raise Unauthorized("This session has ended. Begin a new one.")
        return found

    def note(self, visitor_id: str, **values: object) -> None:
        """Sets columns of a visitor."""
        with self._ledger.session() as session:
            session.execute(update(Visitor).where(Visitor.id == visitor_id).values(**values))

    def _vouched(self, site: Placed, identity: str) -> HostIdentity:
        """Raises IdentityRefused, or Forbidden for an audience that the site does not hand out."""
        if site.config.identity.mode == "none":
            raise IdentityRefused("This site signs nobody in.")
        vouched = self._tokens.check_identity(identity, site.id, site.generation)
        allowed = {PUBLIC, *site.config.identity.audiences}
        if refused := sorted(vouched.audiences - allowed):
            raise Forbidden(f"This site does not sign anybody in as {refused[0]!r}.")
        jti = _digest(vouched.jti)
        try:
            with self._ledger.session() as session:
                session.add(UsedIdentity(site_id=site.id, jti=jti, expires_at=vouched.expires_at))
        except IntegrityError as error:
            raise IdentityRefused("The identity token was used before: sign a new one.") from error
        return vouched

    def _open(
        self, session: Session, site: Placed, visitor: Visitor, origin: str, now: float
    ) -> Begun:
        fresh = secrets.token_urlsafe(32)
        row = VisitorSession(
            id=str(uuid4()),
            site_id=site.id,
            visitor_id=visitor.id,
            origin=origin,
            renewal=_digest(fresh),
            previous=None,
            renewed_at=now,
            created_at=now,
            expires_at=now + (IDENTIFIED_S if visitor.customer else ANONYMOUS_S),
        )
        session.add(row)
        return self._told(site, row, visitor, fresh, resumed=False)

    def _go_on(self, session: Session, site: Placed, row: VisitorSession, now: float) -> Begun:
        visitor = session.get_one(Visitor, row.visitor_id)
        fresh = secrets.token_urlsafe(32)
        row.previous, row.renewal, row.renewed_at = row.renewal, _digest(fresh), now
        if visitor.customer is None:
            row.expires_at = now + ANONYMOUS_S
        visitor.last_at = now
        return self._told(site, row, visitor, fresh, resumed=True)

    def _told(
        self, site: Placed, row: VisitorSession, visitor: Visitor, fresh: str, *, resumed: bool
    ) -> Begun:
        token, until = self._tokens.token(row.id, visitor.id, site.id, row.origin)
        return Begun(visitor, token, until, fresh, row.expires_at, resumed, row.origin)


def purge(ledger: Ledger, now: float) -> int:
    """Deletes what has expired: sessions, used identities, visitors without either; how many."""
    with ledger.session() as session:
        session.execute(delete(UsedIdentity).where(UsedIdentity.expires_at < now - 3600))
        session.execute(delete(VisitorSession).where(VisitorSession.expires_at < now))
        gone = session.execute(
            delete(Visitor)
            .where(Visitor.last_at < now - ANONYMOUS_S)
            .where(Visitor.id.not_in(select(VisitorSession.visitor_id)))
            .where(Visitor.id.not_in(select(Thread.visitor_id)))
        )
        return int(gone.rowcount)  # type: ignore[attr-defined]


def _held(session: Session, site: Placed, renewal: str, now: float) -> VisitorSession | None:
    digest = _digest(renewal)
    row = session.scalar(
        select(VisitorSession)
        .where(VisitorSession.site_id == site.id)
        .where((VisitorSession.renewal == digest) | (VisitorSession.previous == digest))
        .with_for_update()
    )
    if row is None or row.expires_at <= now:
        return None
    if row.renewal != digest and now - row.renewed_at > TWICE_S:
        # Somebody copied it, and which of the two is the visitor cannot be told.
        session.delete(row)
        return None
    return row


def _visitor(
    session: Session, site: Placed, vouched: HostIdentity | None, locale: str, now: float
) -> Visitor:
    found = None
    if vouched is not None:
        found = session.scalar(
            select(Visitor).where(Visitor.site_id == site.id, Visitor.customer == vouched.customer)
        )
    if found is None:
        found = Visitor(
            id=str(uuid4()),
            site_id=site.id,
            customer=vouched.customer if vouched else None,
            locale=locale,
            audience=[],
            consented_at=None,
            created_at=now,
            last_at=now,
        )
        session.add(found)
    if vouched is not None:
        found.name, found.email = vouched.name, vouched.email or found.email or ""
        found.locale = vouched.locale or locale or found.locale
        found.audience = sorted(vouched.audiences - {PUBLIC})
    found.last_at = now
    session.flush()
    return found


def _move_threads(session: Session, before: str, visitor: Visitor) -> None:
    """Moves what a visitor said before signing in. The threads of a customer stay with that
    customer."""
    old = session.get(Visitor, before)
    if old is None or old.customer is not None:
        return
    session.execute(update(Thread).where(Thread.visitor_id == before).values(visitor_id=visitor.id))
    if old.consented_at is not None and visitor.consented_at is None:
        visitor.consented_at = old.consented_at


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
