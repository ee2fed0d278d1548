"""What a page leaves to its site's program to fill in."""

import re

GAP = "…"
NEAR = 300
"""Characters of its line, on either side, that are looked at."""
_WORD = re.compile(r"\w")


def left_open(text: str, start: int, end: int) -> str:
    """Returns what stands for `text[start:end]`, whose value nobody here knows: a gap that
    readers see, where it belongs to a sentence, so that none says "costs EUR a month"; else
    nothing."""
    before = text[max(0, start - NEAR) : start].rpartition("\n")[2]
    behind = text[end : end + NEAR].partition("\n")[0]
    return GAP if _WORD.search(before) and behind.strip() else ""
