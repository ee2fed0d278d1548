"""Characters that no text from outside may bring along, unseen ones and ones that reorder what is
seen; and those of scripts that put no space between words."""

import re

_UNSEEN = re.compile(
    # Control characters but tab and line ends; halves of pairs, which no UTF-8 has.
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
    # Marks that change the direction of what follows; tags and fillers that nobody sees.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LINE = re.compile(r"[\t\r\n]")
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana and Chinese characters: written without spaces between words."""
UNSPACED = re.compile(f"[{_UNSPACED}]+")


def tidy(text: str) -> str:
    """Returns the text without unseen and reordering characters."""
    return _UNSEEN.sub("", text)


def is_plain(text: str) -> bool:
    """Returns whether it is one line without them: what a name or an id may be."""
    return _UNSEEN.search(text) is None and _LINE.search(text) is None
