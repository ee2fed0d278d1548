"""Whether a reply says a fact: literal, but blind to how Markdown and numbers are set."""

import re
import unicodedata
from collections.abc import Iterable

from twofold.reply import strip_marks

_LINK = re.compile(r"!?\[([^\[\]]*+)\]\([^()\s]*+\)")
_SET_OFF = re.compile(
    r"\*+|`+|~~|\||(?<!\w)_++|(?<!_)_++(?!\w)|^[^\S\n]*+(?:#++|>)\s*+", re.MULTILINE
)
_THOUSANDS = re.compile(r"(?<=\d)[,\u2009\u202f](?=\d{3}(?!\d))")
_QUOTES = str.maketrans("‘’“”„–—‑−", '\'\'"""----')


def normal(text: str) -> str:
    """Returns `text` without citation marks, Markdown, thousands separators, and differences of
    case, white space, quotes and dashes."""
    text = _LINK.sub(r"\1", strip_marks(text))
    text = _THOUSANDS.sub("", text)
    text = _SET_OFF.sub(" ", text)
    text = unicodedata.normalize("NFKC", text.translate(_QUOTES)).casefold()
    return re.sub(r" ([.,;:!?])", r"\1", " ".join(text.split()))


def says(text: str, spellings: Iterable[str]) -> bool:
    """Returns whether `text` holds one of the spellings as whole words: "5" is not in "15" or
    "5.5"."""
    said = normal(text)
    return any(_whole(normal(spelling)).search(said) for spelling in spellings)


def _whole(fact: str) -> re.Pattern[str]:
    before = r"(?<!\w)(?<!\d[.,])" if fact[:1].isalnum() else ""
    after = r"(?!\w)(?![.,]\d)" if fact[-1:].isalnum() else ""
    return re.compile(before + re.escape(fact) + after)
