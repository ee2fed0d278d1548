"""Blocks that only one site builder's Markdown knows, as lines that every Markdown reader knows.

Each line of the result knows the line of the file that it came from.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from ingestion.extract.dialects.code import FENCE, Fences
from ingestion.extract.dialects.jsx import BREAK, DEEPER, HIGHER
from ingestion.extract.dialects.names import CALLOUTS, FOLDED, GROUPS, VALUES, label


class Line(NamedTuple):
    """A line of the text; `origin` is its number in the file, from 1."""

    text: str
    origin: int


_BOX = re.compile(
    r"^(?:!{3}|\?{3}\+?)[ \t]++([\w-]{1,40}+)(?:[ \t]++(?:inline|end))*"
    r"(?:[ \t]++[\"“]([^\"”]{0,300})[\"”])?[ \t]*+$"
)
_TITLED_BOX = re.compile(r"^(?:!{3}|\?{3}\+?)[ \t]++[\"“]([^\"”]{1,300})[\"”][ \t]*+$")
_TAB = re.compile(r"^={3}[!+]?[ \t]++[\"“]([^\"”]{1,300})[\"”][ \t]*+$")
_COLONS = re.compile(r"^[ \t]*+(?:>[ \t]*+)*+:{3,}+[ \t]*+(.*)$")
_NAMED = re.compile(r"^\{?\.?([A-Za-z][\w:-]{0,40})\}?[ \t]*+")
_SLASHES = re.compile(r"^/{3,}[ \t]*+(?:([\w-]{1,40})(?:[ \t]*+\|[ \t]*+(.*))?)?[ \t]*+$")
_DIRECTIVE = re.compile(r"^\{([A-Za-z][\w:+-]{0,40})\}[ \t]*+(.*)$")
_OPTION = re.compile(r"^[ \t]*+:[a-z][\w-]{0,40}:(?:[ \t]|$)")
_CALLOUT = re.compile(r"^([ \t]*+(?:>[ \t]?)+)!?\[!?([A-Za-z][\w-]{0,40})\][+-]?[ \t]*+(.*)$")
_ATTRIBUTE_LIST = re.compile(r"\{[^{}\n]{0,500}\}[ \t]*+$")
_TITLE = re.compile(r"(?:title|label|caption)\s{0,3}=\s{0,3}[\"']([^\"'\n]{0,300})[\"']")
_DROPPED = re.compile(
    r"^[ \t]*+(?:;?-{1,3}8<-{1,3}(?:[ \t].*)?|\[TOC\]|\[\[_?TOC_?\]\]|\$\{toc\}"
    r"|@\[toc\](?:\([^()\n]*\))?|\*\[[^\[\]\n]{1,80}\]:.*"
    r"|\{:[ \t]*+toc[^{}]*\}|\{::options[^{}]*\})[ \t]*+$",
    re.IGNORECASE,
)
_TOC_ITEM = re.compile(r"^[ \t]*+(?:[-*+]|1[.)])[ \t]++[^\n]{1,80}$")
_ATTRIBUTE_LINE = re.compile(r"^[ \t]*+\{:([^{}\n]*+)\}[ \t]*+$")
_DEFINITION = re.compile(r"^[ ]{0,3}[:~][ \t]{1,7}(?=\S)")
_TERM = re.compile(r"^(?![ \t]|[-*+>#|]|\d{1,9}[.)][ \t]|[:~][ \t]|<)[^\n]{1,200}$")
_MARKDOWN_TAG = re.compile(
    r"^[ \t]*+</?[a-z]{1,20}\b[^<>\n]{0,300}\bmarkdown\b[^<>\n]{0,300}>[ \t]*+$"
)
_MAGIC = re.compile(r"^\[block:([a-z-]{1,40})\][ \t]*+$")
_CODE_DIRECTIVES = frozenset(
    (
        "code",
        "code-block",
        "code-cell",
        "sourcecode",
        "literalinclude",
        "mermaid",
        "math",
        "parsed-literal",
        "doctest",
        "output",
        "eval-rst",
        "csv-table",
        "list-table",
    )
)
_FIGURES = frozenset(
    ("figure", "image", "include", "toctree", "contents", "raw", "video", "iframe", "bibliography")
)


def undented(lines: Iterable[Line]) -> Iterator[Line]:
    """Admonitions and tabs of MkDocs: what is indented below them is text, not code."""
    inside: list[int] = []
    fences = Fences()
    for line in lines:
        text = line.text.expandtabs(4) if line.text[:1] == "\t" and inside else line.text
        indent = len(text) - len(text.lstrip(" "))
        while inside and text.strip() and indent < inside[-1]:
            inside.pop()
            if fences.open:
                yield Line(fences.open, line.origin)
            fences = Fences()
        text = text[min(indent, inside[-1] if inside else 0) :]
        opened = None if fences.open else _opened(text.strip())
        if opened is None:
            fences.take(text)
            yield Line(text, line.origin)
            continue
        inside.append((inside[-1] if inside else 0) + len(text) - len(text.lstrip(" ")) + 4)
        fences = Fences()
        yield Line("", line.origin)
        if opened:
            yield Line(opened, line.origin)


def _opened(text: str) -> str | None:
    """Returns what a line that opens an indented block says; None where it opens none."""
    if text[:1] not in "!?=":
        return None
    if tab := _TAB.match(text):
        return f"**{tab[1]}**"
    if titled := _TITLED_BOX.match(text):
        return f"**{titled[1]}**"
    box = _BOX.match(text)
    if box is None or box[2] == "":
        return None if box is None else ""
    return f"**{box[2]}**" if box[2] else label(box[1])


def plain(lines: Iterable[Line], *, mdx: bool = False) -> Iterator[Line]:
    """Yields the other blocks, and the breaks that components left."""
    return _Machine(mdx=mdx).run(list(_broken(lines)))


def _broken(lines: Iterable[Line]) -> Iterator[Line]:
    """Breaks become blank lines; what stands in components is indented no further than they."""
    bases = [0]
    fresh = False
    for line in lines:
        text = line.text
        depth = text.count(DEEPER) - text.count(HIGHER)
        marked = BREAK in text or DEEPER in text or HIGHER in text
        if fresh and text.strip():
            bases[-1] = len(text) - len(text.lstrip(" \t"))
            fresh = False
        indent = len(text) - len(text.lstrip(" \t"))
        text = text[min(indent, bases[-1]) :]
        if not marked:
            yield Line(text, line.origin)
            continue
        pieces = text.replace(DEEPER, "").replace(HIGHER, "").split(BREAK)
        for at, piece in enumerate(pieces):
            if at:
                yield Line("", line.origin)
            if piece.strip():
                yield Line(piece.lstrip() if at else piece, line.origin)
        for _ in range(max(0, depth)):
            bases.append(bases[-1])
            fresh = True
        if depth < 0:
            del bases[max(1, len(bases) + depth) :]
            fresh = False


class _Machine:
    """Rewrites blocks of other dialects, line by line, in order."""

    def __init__(self, *, mdx: bool) -> None:
        self._fences = Fences(indented=not mdx)
        self._directives: list[str] = []
        self._containers: list[str] = []
        """What closes each container that is open."""
        self._options = False
        self._held: list[Line] = []
        """The last line, and blank ones behind it: it may be a term, or a table of contents."""
        self._defining = False
        self._tables = 0
        """HTML tables that are open, and how many ends of tables are still to come."""
        self._to_close = 0

    def run(self, lines: Sequence[Line]) -> Iterator[Line]:
        self._to_close = sum(line.text.lower().count("</table") for line in lines)
        magic: list[str] | None = None
        for line in lines:
            if magic is not None:
                if line.text.strip() == "[/block]":
                    yield from (Line(each, line.origin) for each in _magic(magic))
                    magic = None
                else:
                    magic.append(line.text)
                continue
            if not self._fences.open and (opening := _MAGIC.match(line.text.strip())):
                magic = [opening[1]]
                continue
            yield from self._take(line)
        yield from self._flush()

    def _flush(self) -> Iterator[Line]:
        yield from self._held
        self._held = []

    def _take(self, line: Line) -> Iterator[Line]:
        text = line.text
        if not self._fences.open and (said := self._directive(text)) is not None:
            yield from self._flush()
            yield from (Line(each, line.origin) for each in said)
            return
        if self._in_table(text):
            # A blank line would end the block that the table is.
            if text.strip():
                yield from self._flush()
                yield line
            return
        if self._fences.take(text):
            yield from self._flush()
            yield line
            return
        if self._options:
            if _OPTION.match(text):
                return
            self._options = False
        yield from self._outside(line)

    def _in_table(self, text: str) -> bool:
        if self._fences.open or ("<" not in text and not self._tables):
            return False
        lower = text.lower()
        inside = self._tables > 0
        opened, closed = lower.count("<table"), lower.count("</table")
        self._to_close -= closed
        if inside or (opened > closed and self._to_close > 0 and "`" not in text):
            self._tables = max(0, self._tables + opened - closed) if self._to_close > 0 else 0
            return True
        return False

    def _directive(self, text: str) -> list[str] | None:
        """Returns the lines of a fenced directive of Sphinx's that is a box of text; None where
        it is code."""
        fence = FENCE.match(text)
        if fence is None:
            return None
        info = _DIRECTIVE.match(fence[2].strip())
        if info is None:
            if (
                self._directives
                and fence[1].startswith(self._directives[-1])
                and not fence[2].strip()
            ):
                self._directives.pop()
                return [""]
            return None
        name, said = info[1].rpartition(":")[2].lower(), info[2].strip()
        if name in _CODE_DIRECTIVES:
            return None
        self._directives.append(fence[1])
        self._options = True
        return ["", *_directive(name, said)]

    def _outside(self, line: Line) -> Iterator[Line]:
        text = line.text
        attributes = _ATTRIBUTE_LINE.match(text)
        is_toc = attributes is not None and "toc" in attributes[1].lower().split()
        if is_toc or _DROPPED.match(text):
            if is_toc and self._held and _TOC_ITEM.match(self._held[0].text):
                self._held = []
            yield from self._flush()
            yield Line("", line.origin)
        elif _MARKDOWN_TAG.match(text):
            yield from self._flush()
            yield from (Line(each, line.origin) for each in ("", text, ""))
        elif (colons := _COLONS.match(text)) is not None:
            yield from self._flush()
            self._options = bool(colons[1])
            yield from (Line(each, line.origin) for each in self._container(colons[1]))
        elif text.startswith("///") and (slashes := _SLASHES.match(text)):
            yield from self._flush()
            yield from (Line(each, line.origin) for each in _slashes(slashes))
        elif callout := _CALLOUT.match(text):
            yield from self._flush()
            yield Line(_callout(callout), line.origin)
        else:
            yield from self._defined(line)

    def _container(self, said: str) -> list[str]:
        if not said.strip():
            return ["", self._containers.pop() if self._containers else "", ""]
        opened = _container(said)
        folded = any(each.startswith("<details>") for each in opened)
        self._containers.append("</details>" if folded else "")
        return opened

    def _defined(self, line: Line) -> Iterator[Line]:
        """Yields a term, and below it what it means, behind a colon."""
        text = line.text
        found = _DEFINITION.match(text)
        if found and self._held and (self._defining or _TERM.match(self._held[0].text)):
            term, *_ = self._held
            self._held = []
            if not self._defining:
                bare = term.text.strip().strip("*")
                yield from (Line(each, term.origin) for each in ("", f"**{bare}**"))
            else:
                yield term
            self._defining = True
            self._held = [Line(text[found.end() :], line.origin)]
            return
        if not text.strip():
            self._held.append(line)
            if not self._held[0].text.strip() or len(self._held) > 2:
                yield from self._flush()
            return
        if self._defining and text.startswith(("    ", "\t")):
            line = Line(text.lstrip(" \t"), line.origin)
        else:
            self._defining = False
        yield from self._flush()
        self._held = [line]


def _directive(name: str, said: str) -> list[str]:
    if name in CALLOUTS:
        return [label(name, said)]
    if name in _FIGURES:
        return []
    return [f"**{said}**", ""] if said and name not in ("only", "div") else []


def _container(said: str) -> list[str]:
    """Returns a fence of colons: its box's label, or its title alone; nothing where it closes."""
    named = _NAMED.match(said)
    if named is None:
        return [""]
    name = named[1].lower()
    rest = said[named.end() :]
    titled = _TITLE.search(rest)
    rest = _ATTRIBUTE_LIST.sub("", rest).strip()
    title = titled[1] if titled else rest.removeprefix("[").removesuffix("]").strip()
    if name in CALLOUTS:
        return ["", label(name, title)]
    if name in FOLDED:
        return ["", f"<details><summary>{title}</summary>", "", ""] if title else [""]
    if not title or name in GROUPS:
        return [""]
    return ["", f"**{title}**", ""]


def _slashes(match: re.Match[str]) -> list[str]:
    name, title = (match[1] or "").lower(), (match[2] or "").strip()
    if name in CALLOUTS:
        return ["", label(name, title)]
    return ["", f"**{title}**", ""] if title else [""]


def _callout(match: re.Match[str]) -> str:
    kind = match[2]
    if kind.lower() not in CALLOUTS and not match[3] and kind.lower() in ("x", "to"):
        return match[0]
    return (
        f"{match[1].rstrip()} {label(kind, match[3])}"
        if " " in match[1] or match[3]
        else f"{match[1]}{label(kind)}"
    )


def _magic(lines: list[str]) -> Iterator[str]:
    """Yields the text of ReadMe's old blocks: JSON that names a title and a body."""
    kind, *body = lines
    try:
        said = orjson.loads("\n".join(body))
    except orjson.JSONDecodeError:
        return
    if not isinstance(said, dict):
        return
    title = next((str(said[key]) for key in VALUES if said.get(key)), "")
    yield ""
    if kind == "api-header":
        yield f"{'#' * (said['level'] if said.get('level') in (1, 2, 3, 4) else 2)} {title}"
    elif kind == "code":
        for each in said.get("codes") or []:
            if isinstance(each, dict):
                yield from ("```", *str(each.get("code", "")).split("\n"), "```")
    elif kind == "html":
        yield from str(said.get("html", "")).split("\n")
    else:
        if title:
            yield f"**{title}**"
        yield from str(said.get("body", "")).split("\n")
    yield ""
