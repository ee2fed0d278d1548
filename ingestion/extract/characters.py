"""Characters that readers do not see, and those that number readers need to tell."""

import re

_UNSEEN = re.compile(
    "[\u00ad\u200b\u2060\ufeff\u180e\u202a-\u202e\u2066-\u2069\ue000-\uf8ff\ufff9-\ufffb"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
"""Soft hyphens, zero width marks, direction overrides, tags, icons of private fonts, controls.
Joiners stay: scripts and emoji are written with them."""
_SPACES = re.compile(r"[ \t\r\n\f\v\x85\u2028\u2029]+")
_NBSP = re.compile(r"(?<!\d)\xa0|\xa0(?!\d)")


def seen(text: str) -> str:
    """Returns the text without what nobody sees. A space that holds the digits of a number
    together stays as it is; other no-break spaces are spaces."""
    if text.isascii() and text.isprintable():
        return text
    text = _UNSEEN.sub("", text)
    return _NBSP.sub(" ", text) if "\xa0" in text else text


def squeezed(text: str) -> str:
    """Returns the same with each run of white space made one space."""
    return _SPACES.sub(" ", seen(text))


def in_one_line(text: str) -> str:
    return squeezed(text).strip()
