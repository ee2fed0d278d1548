"""API keys: made once, kept as digests."""

import hashlib
import secrets
from typing import NamedTuple

KEY_PREFIX = "tf_"


class NewKey(NamedTuple):
    """A fresh API key: `plain` is shown once, `digest` is what the ledger keeps."""

    plain: str
    digest: str


def new_key() -> NewKey:
    plain = KEY_PREFIX + secrets.token_urlsafe(32)
    return NewKey(plain, key_digest(plain))


def key_digest(plain: str) -> str:
    """Returns the hex SHA-256 of a key, which has 256 random bits: a slow hash would add
    nothing."""
    return hashlib.sha256(plain.encode()).hexdigest()
