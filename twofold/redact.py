"""Personal data and secrets masked in text for logs, exports and datasets."""

import re
from functools import partial

_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")


_PATTERNS = (
    ("[secret]", re.compile(r"\b(?:bearer\s+[\w.~+/-]{8,}=*|(?:sk|pk|rk|tf|gh[pousr]|xox[abp]|"
                            r"[a-z]{2,5}[ks])_[\w-]{12,})", re.IGNORECASE)),
    ("[secret]", re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]{8,}+")),
    ("[secret]", re.compile(r"\b(password|passwort|pwd|passcode|secret)(\s*(?:is|ist|[:=])\s*)\S+",
                            re.IGNORECASE)),
    ("[email]", re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++")),
    ("[iban]", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("[ssn]", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    ("[ip]", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")),
    ("[phone]", re.compile(r"(?<![\w-])(?:\+\d{1,3}[ ().-]{0,2})?(?:\(\d{2,5}\)[ .-]?|\d{2,5}[ .-])"
                           r"\d{3,4}[ .-]\d{3,5}(?![\w-])"
                           r"|(?<!\w)\+\d{1,3}[ ().-]{0,2}\d{2,5}(?:[ ().-]{0,2}\d{2,9}){1,3}\b")),
)  # fmt: skip


_LABELLED = re.compile(
    r"\b(password|passwort|passcode|pwd|pin|secret|token|api[ _-]?key)"
    r"(\s{0,3}[:=]\s{0,3})[^\s\[]\S{3,}",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """Returns text that may rest in a ledger: numbers of cards, keys and what stands behind
    `password:` masked, everything else as it was said."""
    text = _CARD.sub(lambda m: "[card]" if _luhn(m[0]) else m[0], text)
    for mark, pattern in _PATTERNS[:2]:
        text = pattern.sub(mark, text)
    return _LABELLED.sub(r"\1\2[secret]", text)


def redact(text: str, public: str = "") -> str:
    """Returns text for logs and exports: addresses, numbers of cards and accounts, phones, keys
    masked.

    It errs on the side of masking, and it is not anonymisation: names stay. What stands in
    `public` as well (our own address in an article) is nobody's secret and stays.
    """
    text = _CARD.sub(lambda m: "[card]" if _luhn(m[0]) and m[0] not in public else m[0], text)
    for mark, pattern in _PATTERNS:
        text = pattern.sub(partial(_masked, mark, public), text)
    return text


def _masked(mark: str, public: str, match: re.Match[str]) -> str:
    return match[0] if match[0] in public else mark


def _luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
