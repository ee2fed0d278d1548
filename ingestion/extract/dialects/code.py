"""Where code stands in Markdown: what is written there is shown as it is."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator

FENCE = re.compile(
    r"^[ \t]*+(?:>[ \t]*+)*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)*+(`{3,}+(?=[^`]*$)|~{3,}+)(.*)"
)
_TICKS = re.compile(r"`+")
_LISTED = re.compile(r"^[ \t]*+(?:>[ \t]*+)*+(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")


class Fences:
    """Tells for each line in turn whether it belongs to code."""

    def __init__(self, *, indented: bool = True) -> None:
        """Without `indented`, indented lines are no code, as in MDX."""
        self.open = ""
        self._knows_indented = indented
        self._listed = False
        self._blank = True
        self._indented = False

    def take(self, line: str) -> bool:
        """Returns whether the line is code: a fence, what stands between two fences, or indented
        code."""
        mark = FENCE.match(line)
        if self.open:
            bare = line.strip().lstrip("> ")
            if mark and mark[1].startswith(self.open) and not bare.strip(self.open[0]):
                self.open = ""
            return True
        if mark:
            self.open, self._indented, self._blank = mark[1], False, False
            return True
        return self._knows_indented and self._is_indented(line)

    def _is_indented(self, line: str) -> bool:
        if not line.strip():
            self._blank = True
            return self._indented
        deep = line.startswith(("    ", "\t"))
        self._indented = deep and not self._listed and (self._blank or self._indented)
        if not deep:
            self._listed = bool(_LISTED.match(line)) or (self._listed and line[:1] in " \t")
        self._blank = False
        return self._indented


def stretches(text: str, *, indented: bool = True) -> Iterator[tuple[bool, str]]:
    """Yields (is code, text) of whole lines, in order; joined again they are the text."""
    fences, inside = Fences(indented=indented), False
    held: list[str] = []
    for line in text.splitlines(keepends=True):
        code = fences.take(line.rstrip("\n"))
        if code != inside:
            yield inside, "".join(held)
            held, inside = [], code
        held.append(line)
    yield inside, "".join(held)


def outside_spans(text: str, change: Callable[[str], str]) -> str:
    """Returns `change` applied to all but code spans, which end with the paragraph they stand
    in."""
    if "`" not in text:
        return change(text)
    parts: list[str] = []
    at = 0
    for start, end in _spans(text):
        parts += [change(text[at:start]), text[start:end]]
        at = end
    return "".join([*parts, change(text[at:])])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    runs = [(match.start(), match.end()) for match in _TICKS.finditer(text)]
    paragraphs = [match.start() for match in re.finditer(r"\n[ \t]*\n", text)]
    by_length: dict[int, list[int]] = defaultdict(list)
    for start, end in runs:
        by_length[end - start].append(start)
    at = 0
    for start, end in runs:
        if start < at:
            continue
        same = by_length[end - start]
        following = bisect_right(same, start)
        if following == len(same):
            continue
        close = same[following]
        if bisect_right(paragraphs, start) != bisect_right(paragraphs, close):
            continue
        at = close + end - start
        yield start, at
