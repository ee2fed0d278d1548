"""Who calls: API keys, what each may do, and a quick way to know a key again."""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError

from twofold import security
from twofold.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized, Unavailable
from twofold.index import PUBLIC
from twofold.ledger import Ledger
from twofold.ledger.service import ApiKey

KeyScope = Literal["answer", "search", "read", "feedback", "handoffs", "knowledge", "admin"]
SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)
ADMIN: Final = "admin"
"""The scope that has all the others in it."""

TTL_S = 5.0
"""A revoked key works this much longer, in processes that saw it just before."""
GRACE_S = 300.0
"""While the ledger does not answer, a key that was seen this recently is still known."""
MOST_KNOWN = 10_000
_KEY = re.compile(r"tf_[A-Za-z0-9_-]{20,120}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request runs. No key (`key` is ""): a local caller who may do all."""

    workspace: str
    key: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)
    audiences: frozenset[str] | None = None
    """What it may ask for beyond `public`; None means anything."""
    rate: int | None = None

    def may(self, scopes: Iterable[str]) -> bool:
        """Whether it has one of `scopes`."""
        return ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)

    def check_audiences(self, wanted: frozenset[str]) -> None:
        """Raises Forbidden where one of `wanted` is not for this key."""
        if not self.sees(wanted):
            refused = sorted(wanted - {PUBLIC} - (self.audiences or frozenset()))
            raise Forbidden(
                f"This key may not ask for audience {refused[0]!r}. It may ask for"
                f" {', '.join(sorted({PUBLIC} | (self.audiences or frozenset())))}."
            )

    def sees(self, audiences: Iterable[str]) -> bool:
        """Whether what was said to `audiences` may be shown to it."""
        return self.audiences is None or self.audiences | {PUBLIC} >= set(audiences)


class CreatedKey(NamedTuple):
    id: str
    plain: str


def create_key(
    ledger: Ledger,
    name: str,
    workspace: str,
    scopes: Iterable[str],
    audiences: Iterable[str] = (),
    rate: int | None = None,
) -> CreatedKey:
    """A new key; its plain form is not kept. Raises InvalidInput, or Conflict for a taken name."""
    wanted, seen = sorted(set(scopes)), sorted(set(audiences) - {PUBLIC})
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise InvalidInput(f"There is no scope {unknown[0]!r}. Scopes are {', '.join(SCOPES)}.")
    if not wanted:
        raise InvalidInput(f"A key needs a scope: {', '.join(SCOPES)}.")
    for kind, value in (("name", name), ("workspace", workspace), *(("audience", a) for a in seen)):
        if not _NAME.fullmatch(value):
            raise InvalidInput(f"{value!r} is no {kind}: use a-z, 0-9, - and _, at most 63.")
    fresh, id = security.new_key(), secrets.token_hex(4)
    with ledger.session() as session:
        if session.scalar(select(ApiKey.id).where(*_active(workspace), ApiKey.name == name)):
            raise Conflict(f"Workspace {workspace!r} has a key {name!r}. Revoke it, or rename.")
        session.add(
            ApiKey(
                id=id,
                workspace=workspace,
                name=name,
                digest=fresh.digest,
                scopes=wanted,
                audiences=seen,
                rate=rate,
                created_at=time.time(),
            )
        )
    return CreatedKey(id, fresh.plain)


def list_keys(ledger: Ledger, workspace: str | None = None) -> list[ApiKey]:
    with ledger.session() as session:
        query = select(ApiKey).order_by(ApiKey.workspace, ApiKey.created_at)
        if workspace is not None:
            query = query.where(ApiKey.workspace == workspace)
        return list(session.scalars(query))


def revoke_key(ledger: Ledger, id_or_name: str, workspace: str) -> str:
    """Revoke a key of the workspace; its id. Raises NotFound."""
    with ledger.session() as session:
        named = (ApiKey.id == id_or_name) | (ApiKey.name == id_or_name)
        query = select(ApiKey).where(*_active(workspace), named)
        row = session.scalar(query)
        if row is None:
            raise NotFound(f"Workspace {workspace!r} has no key {id_or_name!r} in use.")
        row.revoked_at = time.time()
        return row.id


def _active(workspace: str) -> tuple[ColumnElement[bool], ...]:
    return ApiKey.workspace == workspace, ApiKey.revoked_at.is_(None)


class _Known(NamedTuple):
    caller: Caller | None
    seen: float


@dataclass(slots=True)
class KeyRing:
    """Finds the caller behind a request. `known` never waits; `look_up` reads the ledger.

    Keys are looked up by their SHA-256, so that how long it takes tells nothing about a key.
    """

    ledger: Ledger
    local: str
    """The workspace of callers without a key, while the ledger holds none."""
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, _Known] = field(default_factory=dict)
    _any: _Known | None = None

    def known(self, plain: str | None) -> Caller | None:
        """The caller, where a recent look says who it is; else None, and `look_up` has to."""
        found = self._any if plain is None else self._keys.get(security.key_digest(plain))
        fresh = found is not None and self.clock() - found.seen < TTL_S
        return found.caller if found is not None and fresh else None

    def look_up(self, plain: str | None) -> Caller:
        """Raises Unauthorized, or Unavailable where the ledger does not answer."""
        if plain is not None and not _KEY.fullmatch(plain):
            raise Unauthorized("That is not one of our keys: they begin with tf_.")
        digest = None if plain is None else security.key_digest(plain)
        try:
            caller = self._keyless() if digest is None else self._find(digest)
        except SQLAlchemyError as error:
            before = self._any if digest is None else self._keys.get(digest)
            if before and before.caller and self.clock() - before.seen < GRACE_S:
                return before.caller
            raise Unavailable("The ledger does not answer. Ask again in a moment.") from error
        if digest is None:
            self._any = _Known(caller, self.clock())
        else:
            self._remember(digest, caller)
        if caller is None and plain is None:
            raise Unauthorized("A key is needed here. Send it as Authorization: Bearer tf_….")
        if caller is None:
            raise Unauthorized("This key is unknown or revoked. See `twofold key list`.")
        return caller

    def _keyless(self) -> Caller | None:
        with self.ledger.session() as session:
            keys = session.scalar(
                select(func.count()).select_from(ApiKey).where(ApiKey.revoked_at.is_(None))
            )
        return None if keys else Caller(self.local)

    def _find(self, digest: str) -> Caller | None:
        with self.ledger.session() as session:
            row = session.scalar(
                select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
            )
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        return Caller(
            row.workspace, row.id, frozenset(row.scopes), frozenset(row.audiences), row.rate
        )

    def _remember(self, digest: str, caller: Caller | None) -> None:
        if caller is None:
            self._keys.pop(digest, None)
            return
        if len(self._keys) >= MOST_KNOWN:
            self._keys.pop(next(iter(self._keys)))
        self._keys[digest] = _Known(caller, self.clock())
