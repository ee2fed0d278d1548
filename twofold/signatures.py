"""Signatures of webhooks, sent and received, as the Standard Webhooks specification has them.

Any of its libraries checks what we send and signs what we take: `webhook-id`, `webhook-timestamp`
and `webhook-signature`, HMAC-SHA256 over `<id>.<timestamp>.<body>`
(https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

TOLERANCE_S = 300
"""A signed request older or newer than this is a replay."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
MAX_SIGNATURES = 10
_ID = re.compile(r"[\x21-\x7e]{1,256}")
_SECONDS = re.compile(r"[0-9]{1,12}")


def sign(secret: str, id: str, body: bytes, timestamp: int) -> dict[str, str]:
    """Returns headers for a body sent under `id`, which stays the same when it is sent again.

    `secret` is `whsec_` and base64, as the specification writes it, or any other text as it is.
    """
    mac = hmac.new(_key(secret), f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    signature = base64.b64encode(mac.digest()).decode()
    return {ID: id, TIMESTAMP: str(timestamp), SIGNATURE: f"v1,{signature}"}


def fresh(headers: Mapping[str, str], now: float) -> bool:
    """Returns whether `headers` are of this form and made within the tolerance; by whom is open."""
    stamp = headers.get(TIMESTAMP, "")
    return bool(
        _ID.fullmatch(headers.get(ID, ""))
        and _SECONDS.fullmatch(stamp)
        and abs(now - int(stamp)) <= TOLERANCE_S
        and headers.get(SIGNATURE, "").startswith("v1")
    )


def verified(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Returns whether one of the signatures in `headers` is ours over `body`, made within the
    tolerance.

    A sender that changes its secret sends one signature of each, with a blank between.
    """
    if not fresh(headers, now):
        return False
    wanted = sign(secret, headers[ID], body, int(headers[TIMESTAMP]))[SIGNATURE].encode()
    given = headers[SIGNATURE].split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
    return any(hmac.compare_digest(wanted, each.encode()) for each in given)


def _key(secret: str) -> bytes:
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass  # a secret of somebody's own that begins like one of theirs
    return secret.encode()
