"""Who calls: API keys, what each may do, and a quick way to know a key again."""

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import SQLAlchemyError

from twofold import keys as api_keys
from twofold.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized, Unavailable
from twofold.index.contract import PUBLIC
from twofold.ledger import Ledger
from twofold.ledger.service import ApiKey
from twofold.ledger.watch import NO_LEDGER

KeyScope = Literal[
    "answer", "search", "read", "feedback", "handoffs", "knowledge", "metrics", "admin"
]
SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)
ADMIN: Final = "admin"
"""The scope that has all the others in it."""

TTL_S = 5.0
"""A revoked key works this much longer, in processes that saw it just before."""
GRACE_S = 300.0
"""While the ledger does not answer, a key that was seen this recently is still known."""
LOOK_S = 2.0
"""A look-up that takes longer is a ledger that does not answer."""
LOOKING = 4
MOST_KNOWN = 10_000
KEY_NEEDED = "A key is needed here. Send it as Authorization: Bearer tf_…."
NOT_OURS = "That is not one of our keys: they begin with tf_."
_KEY = re.compile(r"tf_[A-Za-z0-9_-]{20,120}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_STRONG = re.compile(r"tf_[A-Za-z0-9_-]{40,200}")


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request runs. No key (`key` is ""): a local caller who may do all."""

    workspace: str
    key: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)
    audiences: frozenset[str] | None = None
    """What it may ask for beyond `public`; None means anything."""
    rate: int | None = None
    owner: str = ""
    """The key's name: what was asked with it belongs to it, and to the key that follows it."""

    @property
    def owns_all(self) -> bool:
        """Whether it may see what was asked with other keys."""
        return ADMIN in self.scopes

    def may(self, scopes: Iterable[str]) -> bool:
        """Returns whether it has one of `scopes`."""
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
        """Returns whether what was said to `audiences` may be shown to it."""
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
    plain: str = "",
) -> CreatedKey:
    """Creates a key, random or `plain`, and returns it. Raises InvalidInput, or Conflict for a
    taken name."""
    wanted, seen = sorted(set(scopes)), sorted(set(audiences) - {PUBLIC})
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise InvalidInput(f"There is no scope {unknown[0]!r}. Scopes are {', '.join(SCOPES)}.")
    if not wanted:
        raise InvalidInput(f"A key needs a scope: {', '.join(SCOPES)}.")
    for kind, value in (("name", name), ("workspace", workspace), *(("audience", a) for a in seen)):
        if not _NAME.fullmatch(value):
            raise InvalidInput(f"{value!r} is no {kind}: use a-z, 0-9, - and _, at most 63.")
    fresh = api_keys.NewKey(plain, api_keys.key_digest(plain)) if plain else api_keys.new_key()
    id = secrets.token_hex(4)
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


def take_key(
    ledger: Ledger,
    plain: str,
    name: str,
    workspace: str,
    scopes: Iterable[str],
    audiences: Iterable[str] = (),
    rate: int | None = None,
) -> bool:
    """Registers a key that was made elsewhere, in place of the one of its name; returns False
    where that one is in use already. Raises InvalidInput where it is not as strong as ours."""
    if not _STRONG.fullmatch(plain):
        raise InvalidInput(
            "That is no key: write tf_ and at least 40 characters of a-z, A-Z, 0-9, - and _, made"
            " by chance, such as: openssl rand -hex 32"
        )
    with ledger.session() as session:
        held = session.scalar(
            select(ApiKey).where(*_active(workspace), ApiKey.digest == api_keys.key_digest(plain))
        )
        taken = session.scalar(select(ApiKey.id).where(*_active(workspace), ApiKey.name == name))
    if held is not None and held.name == name and held.scopes == sorted(set(scopes)):
        return False
    if held is not None:
        raise Conflict(
            f"This key is in use as {held.name!r}, for {', '.join(held.scopes)}. Make another one."
        )
    if taken is not None:
        revoke_key(ledger, name, workspace)
    create_key(ledger, name, workspace, scopes, audiences, rate, plain)
    return True


def list_keys(ledger: Ledger, workspace: str | None = None) -> list[ApiKey]:
    with ledger.session() as session:
        query = select(ApiKey).order_by(ApiKey.workspace, ApiKey.created_at)
        if workspace is not None:
            query = query.where(ApiKey.workspace == workspace)
        return list(session.scalars(query))


def is_ours(plain: str) -> bool:
    """Returns whether `plain` has the form of a key of ours."""
    return _KEY.fullmatch(plain) is not None


def revoke_key(ledger: Ledger, id_or_name: str, workspace: str) -> str:
    """Revokes a key of the workspace and returns its id. Raises NotFound."""
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
    caller: Caller
    seen: float


@dataclass(slots=True)
class KeyRing:
    """Finds the caller behind a request. `known` never waits; `find` may ask the ledger.

    Keys are looked up by their SHA-256, so that how long it takes tells nothing about a key. The
    plain form None stands for a caller without a key: who that is, only a ledger that never held
    one says.
    """

    ledger: Ledger
    local: str
    """The workspace of callers without a key, where none was ever made."""
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str | None, _Known] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(LOOKING, "keys"), repr=False
    )
    """Of look-ups alone: other waits for the ledger must not keep a known key out."""

    def known(self, plain: str | None) -> Caller | None:
        """Returns the caller, where a recent look-up says who it is; None where `find` has to be
        asked."""
        return self._seen(_digest(plain), TTL_S)

    def seen_lately(self, plain: str | None) -> bool:
        """Returns whether the key was in use within the last minutes."""
        return self._seen(_digest(plain), GRACE_S) is not None

    async def find(self, plain: str | None) -> Caller:
        """Returns what `look_up` does, called in a thread of its own for LOOK_S seconds at most."""
        found = self.known(plain)
        if found is not None:
            return found
        if not self.ledger.watch.answers(writing=False):
            return self._without_ledger(_digest(plain))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_S):
                return await loop.run_in_executor(self._threads, self.look_up, plain)
        except TimeoutError as error:
            return self._without_ledger(_digest(plain), error)

    def look_up(self, plain: str | None) -> Caller:
        """Raises Unauthorized, or Unavailable where the ledger does not answer."""
        if plain is not None and not is_ours(plain):
            raise Unauthorized(NOT_OURS)
        digest = _digest(plain)
        try:
            caller = self._keyless() if digest is None else self._find(digest)
        except SQLAlchemyError as error:
            return self._without_ledger(digest, error)
        self._remember(digest, caller)
        if caller is None and plain is None:
            raise Unauthorized(KEY_NEEDED)
        if caller is None:
            raise Unauthorized("This key is unknown or revoked. See `twofold key list`.")
        return caller

    def _without_ledger(self, digest: str | None, error: Exception | None = None) -> Caller:
        before = self._seen(digest, GRACE_S)
        if before is None:
            raise Unavailable(NO_LEDGER) from error
        return before

    def _seen(self, digest: str | None, within_s: float) -> Caller | None:
        found = self._keys.get(digest)
        fresh = found is not None and self.clock() - found.seen < within_s
        return found.caller if found is not None and fresh else None

    def _keyless(self) -> Caller | None:
        """Returns the local caller where no key was ever made. A revoked one counts: revoking opens
        nothing."""
        with self.ledger.session() as session:
            return None if session.scalar(select(ApiKey.id).limit(1)) else Caller(self.local)

    def _find(self, digest: str) -> Caller | None:
        with self.ledger.session() as session:
            row = session.scalar(
                select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
            )
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        return Caller(
            row.workspace,
            row.id,
            frozenset(row.scopes),
            frozenset(row.audiences),
            row.rate,
            row.name,
        )

    def _remember(self, digest: str | None, caller: Caller | None) -> None:
        if caller is None:
            self._keys.pop(digest, None)
            return
        if len(self._keys) >= MOST_KNOWN:
            self._keys.pop(next(iter(self._keys)))
        self._keys[digest] = _Known(caller, self.clock())


def _digest(plain: str | None) -> str | None:
    return None if plain is None else api_keys.key_digest(plain)
