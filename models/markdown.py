"""Text of others in Markdown of ours: shown as it is, and able to do nothing."""

import re
from typing import Final

MOST: Final = 300
"""Characters of one text; what is longer is cut."""

_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|~#!&$^{}]|:(?=//))")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str, most: int = MOST) -> str:
    """Returns `text` on one line without any markup, link, mention, picture or HTML that would
    act."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    line = line if len(line) <= most else line[: most - 1].rstrip() + "…"
    escaped = _MARKUP.sub(r"\\\1", line)
    # A mention is looked for after Markdown is read, an address as `www.` while it is.
    return re.sub(r"(?i)\bwww\.", "www\\.", escaped).replace("@", "@\u200b")
