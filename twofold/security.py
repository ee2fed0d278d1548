"""Keys, signatures and redaction: what must be the same wherever it is used."""

import hashlib
import hmac
import re
import secrets
from functools import partial
from typing import NamedTuple

KEY_PREFIX = "tf_"
SIGNATURE_TOLERANCE_S = 300
"""A signed request older or newer than this is a replay."""


class NewKey(NamedTuple):
    """A fresh API key: `plain` is shown once, `digest` is what the ledger keeps."""

    plain: str
    digest: str


def new_key() -> NewKey:
    plain = KEY_PREFIX + secrets.token_urlsafe(32)
    return NewKey(plain, key_digest(plain))


def key_digest(plain: str) -> str:
    """Hex SHA-256. A key has 256 random bits, so that a slow hash would add nothing."""
    return hashlib.sha256(plain.encode()).hexdigest()


def sign(secret: str, body: bytes, timestamp: int) -> str:
    """`t=<unix>,v1=<hex>`: HMAC-SHA256 over `<unix>.<body>`."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def signature_valid(secret: str, body: bytes, header: str, now: float) -> bool:
    """Whether `header` is our signature over `body`, made within the tolerance."""
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    stamp = fields.get("t", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    if abs(now - int(stamp)) > SIGNATURE_TOLERANCE_S:
        return False
    return hmac.compare_digest(sign(secret, body, int(stamp)).encode(), header.strip().encode())


_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_PATTERNS = (
    ("[secret]", re.compile(r"\b(?:bearer\s+[\w.~+/-]{8,}=*|(?:sk|pk|rk|tf|gh[pousr]|xox[abp]|"
                            r"[a-z]{2,5}[ks])_[\w-]{12,})", re.IGNORECASE)),
    ("[secret]", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}\b")),
    ("[secret]", re.compile(r"\b(password|passwort|pwd|passcode|secret)(\s*(?:is|ist|[:=])\s*)\S+",
                            re.IGNORECASE)),
    ("[email]", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("[iban]", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("[ssn]", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    ("[ip]", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")),
    ("[phone]", re.compile(r"(?<![\w-])(?:\+\d{1,3}[ ().-]{0,2})?(?:\(\d{2,5}\)[ .-]?|\d{2,5}[ .-])"
                           r"\d{3,4}[ .-]\d{3,5}(?![\w-])"
                           r"|(?<!\w)\+\d{1,3}[ ().-]{0,2}\d{2,5}(?:[ ().-]{0,2}\d{2,9}){1,3}\b")),
)  # fmt: skip


def redact(text: str, public: str = "") -> str:
    """Text for logs and exports: addresses, numbers of cards and accounts, phones, keys masked.

    It errs on the side of masking, and it is not anonymisation: names stay. What stands in
    `public` as well (our own address in an article) is nobody's secret and stays.
    """
    text = _CARD.sub(lambda m: "[card]" if _luhn(m[0]) and m[0] not in public else m[0], text)
    for mark, pattern in _PATTERNS:
        text = pattern.sub(partial(_masked, mark, public), text)
    return text


def _masked(mark: str, public: str, match: re.Match[str]) -> str:
    return match[0] if match[0] in public else mark


_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,20}\b(?:your|all|any|previous|prior|earlier|above|the"
    r" system|these|those)\b.{0,30}\b(?:instructions?|rules|guidelines|prompts?|restrictions)\b"
    r"|\byou are now\b.{0,60}\b(?:no|without|un)\s?-?(?:restrict|limit|rule|filter|censor)"
    r"|\b(?:developer|god|dan|jailbreak) mode\b|\bdo anything now\b"
    r"|\b(?:your|the) (?:system|hidden|initial|original) (?:prompt|instructions?|message)\b"
    r"|\bnew (?:system )?instructions?\b.{0,20}\bfrom\b"
    r"|</?(?:documents?|system|instructions?|assistant|user)>|\[/?INST\]|<\|im_(?:start|end)"
    r"|\b(?:ignoriere|vergiss|missachte)\b.{0,40}\b(?:anweisungen|regeln|vorgaben|richtlinien)\b"
    r"|\bdu bist (?:jetzt|ab jetzt|ab sofort|nun)\b.{0,60}\b(?:ohne|keine)\b",
    re.IGNORECASE | re.DOTALL,
)


def gives_orders(text: str) -> str | None:
    """What in `text` tries to change how the assistant works; None in ordinary text.

    It knows the plain attempts. What it misses changes nothing either: text is never a command.
    """
    match = _ORDERS.search(text)
    return match[0] if match else None


def _luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
