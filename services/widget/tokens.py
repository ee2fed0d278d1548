"""Tickets, session tokens and identities: what they say, and that it was said by who may."""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jwt

from services.widget.errors import IdentityRefused, TicketExpired, TokenExpired
from services.widget.secrets import derived
from twofold.errors import Unauthorized

ALGORITHM: Final = "HS256"
TOKEN_S: Final = 600.0
TICKET_S: Final = 24 * 3600.0
IDENTITY_S: Final = 3600.0
"""A host's token may be good for so long at most."""
SKEW_S: Final = 30.0
MOST_CHARS: Final = 4096
GENERATIONS: Final = 2
"""The site's secret and the one before it are both taken, so that a host can change over."""


class Claims(NamedTuple):
    """What a session token says."""

    session: str
    visitor: str
    site: str
    origin: str
    expires_at: float


class HostIdentity(NamedTuple):
    """Whom a host vouches for."""

    customer: str
    jti: str
    expires_at: float
    audiences: frozenset[str]
    locale: str = ""
    name: str = ""
    email: str = ""


class Tokens:
    """Signs and reads tokens by keys derived from the installation's secret."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._session_key = derived(secret, "session")
        self._ticket_key = derived(secret, "ticket")
        self.clock = clock

    def ticket(self, site: str, origin: str) -> str:
        """Says that the frame was handed out for that site inside that origin."""
        body = {"aud": site, "origin": origin, "exp": self.clock() + TICKET_S}
        return jwt.encode(body, self._ticket_key, ALGORITHM)

    def check_ticket(self, ticket: str, site: str, origin: str) -> None:
        """Raises TicketExpired, or Unauthorized for one that is not ours, or of another place."""
        claims = self._read(ticket, self._ticket_key, site, ("exp", "aud", "origin"), "ticket")
        if claims["origin"] != origin:
            raise Unauthorized("This frame was loaded inside another page. Load it again.")
        if claims["exp"] <= self.clock():
            raise TicketExpired("This page was loaded long ago. Load it again.")

    def token(self, session: str, visitor: str, site: str, origin: str) -> tuple[str, float]:
        """Returns a session token, and when it ends (epoch seconds)."""
        until = self.clock() + TOKEN_S
        body = {"sid": session, "sub": visitor, "aud": site, "origin": origin, "exp": until}
        return jwt.encode(body, self._session_key, ALGORITHM), until

    def check_token(self, token: str, site: str, origin: str) -> Claims:
        """Raises TokenExpired, or Unauthorized for one that is not ours, or of another place."""
        needed = ("exp", "aud", "origin", "sid", "sub")
        claims = self._read(token, self._session_key, site, needed, "token")
        if claims["origin"] != origin:
            raise Unauthorized("This token belongs to another page.")
        if claims["exp"] <= self.clock():
            raise TokenExpired("The session's token has expired. Renew it.")
        return Claims(claims["sid"], claims["sub"], site, origin, claims["exp"])

    def identity_secret(self, site: str, generation: int) -> str:
        """Returns what a host signs its identity tokens with."""
        return derived(self._secret, "identity", site, str(generation))

    def check_identity(self, token: str, site: str, generation: int) -> HostIdentity:
        """Raises IdentityRefused, with what is wrong. Replays are for the ledger to refuse."""
        claims = _identity(token, site, self._identity_keys(site, generation))
        now = self.clock()
        if claims["exp"] <= now - SKEW_S:
            raise IdentityRefused("The identity token has expired: sign a new one.")
        if claims["exp"] > now + IDENTITY_S + SKEW_S:
            raise IdentityRefused("The identity token is good for too long: an hour at most.")
        return HostIdentity(
            customer=claims["sub"],
            jti=claims["jti"],
            expires_at=claims["exp"],
            audiences=_audiences(claims.get("audience", [])),
            locale=_short(claims, "locale", 35),
            name=_short(claims, "name", 120),
            email=_short(claims, "email", 254),
        )

    def _identity_keys(self, site: str, generation: int) -> list[str]:
        oldest = max(1, generation - GENERATIONS + 1)
        return [self.identity_secret(site, g) for g in range(generation, oldest - 1, -1)]

    def _read(
        self, token: str, key: str, site: str, needed: tuple[str, ...], what: str
    ) -> dict[str, Any]:
        """Returns the claims. Expiry is the caller's to check, last: a forged token that is old
        is a forged one."""
        try:
            if len(token) > MOST_CHARS:
                raise jwt.InvalidTokenError("too long")
            return _decode(token, key, site, needed)
        except jwt.InvalidTokenError as error:
            raise Unauthorized(f"This {what} is not one of this site's.") from error


def _decode(token: str, key: str, site: str, needed: tuple[str, ...]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        audience=site,
        options={"require": list(needed), "verify_exp": False, "strict_aud": True},
    )
    if not isinstance(claims["exp"], (int, float)) or isinstance(claims["exp"], bool):
        raise jwt.InvalidTokenError("exp is no number")
    return claims


def _identity(token: str, site: str, keys: list[str]) -> dict[str, Any]:
    if len(token) > MOST_CHARS:
        raise IdentityRefused("The identity token is too long.")
    needed = ("exp", "aud", "sub", "jti")
    wrong: jwt.InvalidTokenError = jwt.InvalidTokenError("no key")
    for key in keys:
        try:
            claims = _decode(token, key, site, needed)
        except jwt.InvalidTokenError as error:
            wrong = error
        else:
            _check_texts(claims)
            return claims
    raise IdentityRefused(_says(wrong)) from wrong


def _check_texts(claims: dict[str, Any]) -> None:
    for name, most in (("sub", 200), ("jti", 200)):
        value = claims[name]
        if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
            raise IdentityRefused(f"The identity token's `{name}` is no text of 1 to {most}.")


def _says(error: jwt.InvalidTokenError) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The identity token lacks `{error.claim}`."
    if isinstance(error, jwt.InvalidAudienceError):
        return "The identity token's `aud` is not this site's key."
    if isinstance(error, jwt.InvalidAlgorithmError):
        return f"The identity token is not signed with {ALGORITHM}."
    return "The identity token is not signed with this site's secret."


def _audiences(value: object) -> frozenset[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise IdentityRefused("The identity token's `audience` is neither a text nor a list.")
    return frozenset(found)


def _short(claims: dict[str, Any], name: str, most: int) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise IdentityRefused(f"The identity token's `{name}` is no text of at most {most}.")
    return "".join(c for c in value if c.isprintable())
