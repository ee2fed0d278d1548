"""Components in Markdown (MDX, and those that plain Markdown sites know) to what readers see.

Output keeps its lines; BREAK stands where a block of its own begins.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from ingestion.extract.dialects.code import outside_spans, stretches
from ingestion.extract.dialects.gaps import left_open
from ingestion.extract.dialects.names import (
    CALLOUTS,
    FIELDS,
    FOLDED,
    GROUPS,
    KNOWN_COMPONENTS,
    TEXTS,
    TITLED,
    UNSEEN,
    VALUES,
    label,
)

BREAK = "\x1e"
DEEPER, HIGHER = "\x1c", "\x1d"
"""Where a component opens and closes: what stands in it may be indented as its author likes."""
MAX_TAG = 5000
_OPENING = re.compile(r"<(/?)([A-Za-z][\w.:-]*)(?=[\s/>{]|$)|<>|</>|\{|\\[<{}]")
_NAME = re.compile(r",?([A-Za-z_@:][\w.:@-]*+)")
_STRING = re.compile(r"""^(?:"([^"]*)"|'([^']*)'|`([^`$]*)`)$""")
_UNQUOTED = re.compile(r"[^\s>]+")
_ESM = re.compile(r"(?:import|export)\s")
_IMPORT = re.compile(r"^import\s[^\n]{1,500}from\s+['\"][^'\"\n]+['\"];?[ \t]*$", re.MULTILINE)
_BARE_IMPORT = re.compile(
    r"import\s+(?:['\"{*]|[\w$]+\s*(?:,|from\b))|export\s+(?:const|default|let|function|class|async|\{|\*|type|var)\b"
)


class Tag(NamedTuple):
    """`attributes` hold strings only; a name without value holds "true"."""

    name: str
    closing: bool
    empty: bool
    attributes: dict[str, str]
    end: int


def looks_like_mdx(text: str) -> bool:
    """Returns whether a .md file imports components, as many documentation sites allow."""
    return "import" in text and any(
        not code and _IMPORT.search(part) for code, part in stretches(text)
    )


def plain(text: str, *, mdx: bool) -> str:
    """Returns the text with components as what they show. Without `mdx`, only those of known
    names."""
    if "<" not in text and not (mdx and ("{" in text or "port" in text)):
        return text
    return "".join(
        part if code else _plain(_without_esm(part) if mdx else part, mdx=mdx)
        for code, part in stretches(text, indented=not mdx)
    )


def _without_esm(text: str) -> str:
    """Returns the text without imports and exports, each of which goes on until a blank line."""
    kept: list[str] = []
    inside, blank = False, True
    for line in text.split("\n"):
        if not line.strip():
            inside, blank = False, True
        elif (blank or inside) and _ESM.match(line) and _BARE_IMPORT.match(line):
            inside, blank = True, False
        else:
            blank = False
        kept.append("" if inside else line)
    return "\n".join(kept)


def _plain(text: str, *, mdx: bool) -> str:
    return outside_spans(text, lambda part: "".join(_pieces(part, mdx=mdx)))


def _pieces(text: str, *, mdx: bool) -> Iterator[str]:
    scanner = _Scanner(text, mdx=mdx)
    at = 0
    for match in _OPENING.finditer(text):
        start = match.start()
        if start < at or (found := scanner.replaced(match)) is None:
            continue
        said, end = found
        yield text[at:start]
        yield said + "\n" * text.count("\n", start, end)
        at = end
    yield text[at:]


class _Scanner:
    """Reads what opens in a text. Its steps are bounded by the text's length: braces and comments
    that are never closed cannot make it read the rest again and again."""

    def __init__(self, text: str, *, mdx: bool) -> None:
        self._text = text
        self._mdx = mdx
        self._steps = 20 * len(text) + MAX_TAG
        self._no_comment_end = False

    def replaced(self, match: re.Match[str]) -> tuple[str, int] | None:
        """Returns what stands in place of what opens here, and where it ends; None leaves it as
        it is."""
        opening = match[0]
        if opening.startswith("\\"):
            return (escape(opening[1]), match.end()) if self._mdx else None
        if opening in ("<>", "</>"):
            return ("", match.end()) if self._mdx else None
        if opening == "{":
            return self._expression(match.start()) if self._mdx else None
        name = match[2]
        component = name[0].isupper() or "." in name
        known = component and name.rpartition(".")[2].lower() in KNOWN_COMPONENTS
        if not self._mdx and not known:
            return None
        tag = self._tag(match)
        if tag is None:
            return None
        said = _component(tag) if component else _html(tag, self._text, match)
        return said, tag.end

    def _expression(self, start: int) -> tuple[str, int] | None:
        end = self._balanced(start)
        if end is None:
            return None
        inside = self._text[start + 1 : end - 1].strip()
        if string := _STRING.match(inside):
            said = next((each for each in string.groups() if each is not None), "")
            return escape(said, quote=False).replace("\n", " "), end
        computed = bool(inside) and not inside.startswith("/*")
        return (left_open(self._text, start, end) if computed else ""), end

    def _balanced(self, start: int) -> int | None:
        """Returns where the brace that opens at `start` is closed; None where it is not."""
        text, depth, at = self._text, 0, start
        if text.startswith("{/*", start):
            end = -1 if self._no_comment_end else text.find("*/}", start)
            self._no_comment_end = end < 0
            return end + 3 if end >= 0 else None
        stop = min(len(text), start + MAX_TAG)
        while at < stop and self._steps > 0:
            self._steps -= 1
            character = text[at]
            if character in "\"'`" and depth:
                closing = text.find(character, at + 1, stop)
                at = closing if closing >= 0 and "\n" not in text[at:closing] else at
            elif character == "{":
                depth += 1
            elif character == "}":
                depth -= 1
                if not depth:
                    return at + 1
            at += 1
        return None

    def _tag(self, match: re.Match[str]) -> Tag | None:
        text, at = self._text, match.end()
        attributes: dict[str, str] = {}
        stop = min(len(text), at + MAX_TAG)
        while at < stop:
            self._steps -= 1
            if text[at].isspace():
                at += 1
                continue
            if text.startswith(("/>", ">"), at):
                empty = text[at] == "/"
                return Tag(match[2], bool(match[1]), empty, attributes, at + 1 + empty)
            end = self._balanced(at) if text[at] == "{" else self._attribute(at, stop, attributes)
            if end is None or self._steps <= 0:
                return None
            at = end
        return None

    def _attribute(self, at: int, stop: int, attributes: dict[str, str]) -> int | None:
        text = self._text
        named = _NAME.match(text, at, stop)
        if named is None:
            return None
        name, at = named[1], named.end()
        if not text.startswith("=", at):
            attributes[name] = "true"
            return at
        at += 1
        if text.startswith("{", at):
            end = self._balanced(at)
            if end is not None:
                _keep(attributes, name, text[at + 1 : end - 1])
            return end
        if text.startswith(("'", '"'), at):
            end = text.find(text[at], at + 1, stop)
            if end < 0:
                return None
            attributes[name] = text[at + 1 : end]
            return end + 1
        unquoted = _UNQUOTED.match(text, at, stop)
        if unquoted is None:
            return None
        attributes[name] = unquoted[0]
        return unquoted.end()


def _keep(attributes: dict[str, str], name: str, expression: str) -> None:
    """Keeps an attribute whose value is an expression, where that is a string or hides the
    element."""
    if string := _STRING.match(expression.strip()):
        attributes[name] = next(each for each in string.groups() if each is not None)
    elif name == "style" and re.search(r"display\W+none", expression):
        attributes[name] = "display:none"
    elif name == "hidden" and expression.strip() == "true":
        attributes[name] = "true"


def _component(tag: Tag) -> str:
    name = tag.name.rpartition(".")[2].lower()
    if name in UNSEEN or (name == "visibility" and tag.attributes.get("for") == "agents"):
        return f"{BREAK}</template>{BREAK}" if tag.closing else f"{BREAK}<template>{BREAK}"
    if tag.closing:
        if name in FOLDED:
            return f"{BREAK}</details>{BREAK}{HIGHER}"
        if name in ("link", "navlink", "a"):
            return "</a>"
        return f"{BREAK}{HIGHER}" if _is_block(name) else ""
    if name in ("link", "navlink") and not tag.empty:
        target = tag.attributes.get("to") or tag.attributes.get("href") or ""
        return f'<a href="{escape(target)}">'
    deeper = "" if tag.empty or not _is_block(name) else DEEPER
    return _opened(name, tag) + deeper


def _is_block(name: str) -> bool:
    return name in CALLOUTS | FOLDED | TITLED | GROUPS | FIELDS or name.endswith(("group", "list"))


def _opened(name: str, tag: Tag) -> str:
    said = {key: value for key, value in tag.attributes.items() if value != "true"}
    title = next((said[key] for key in VALUES if said.get(key)), "")
    texts = " ".join(said[key] for key in TEXTS if said.get(key))
    title, texts = escape(title, quote=False), escape(texts, quote=False)
    if name in FIELDS:
        return BREAK + _field(tag.attributes) + BREAK
    if name in CALLOUTS and not (name == "question" and title):
        kind = (
            said.get("type")
            or said.get("kind")
            or said.get("variant")
            or said.get("intent")
            or name
        )
        kind = kind if kind.lower() in CALLOUTS else name
        return f"{BREAK}{label(kind, title)} {texts}".rstrip() + " "
    if name in FOLDED and not tag.empty:
        summary = f"<summary>{title}</summary>" if title else ""
        return f"{BREAK}<details>{summary}{BREAK}{texts}"
    if name in ("image", "img"):
        return escape(said.get("alt", ""), quote=False)
    if not title and not texts:
        return BREAK if _is_block(name) else ""
    if not _is_block(name):
        return f"**{title}** {texts}".strip("* ") if not title else f"**{title}** {texts}"
    if not title and said.get("value"):
        title = escape(said["value"], quote=False)
    return f"{BREAK}**{title}** {texts}".rstrip() + " " if title else f"{BREAK}{texts} "


def _field(attributes: dict[str, str]) -> str:
    keys = ("path", "query", "body", "header", "name", "cookie", "field")
    name = next((attributes[key] for key in keys if attributes.get(key, "true") != "true"), "")
    about = [attributes[key] for key in ("type",) if attributes.get(key, "true") != "true"]
    about += ["required"] if attributes.get("required") in ("true", "required") else []
    if attributes.get("default", "true") != "true":
        about.append(f"default {attributes['default']}")
    return f"**{name}**" + (f" ({', '.join(about)})" if about else "")


def _html(tag: Tag, text: str, match: re.Match[str]) -> str:
    """Returns an HTML tag without what only JSX knows; one that opens a line lets Markdown
    follow it."""
    slash = "/" if tag.closing else ""
    name = tag.name.lower()
    if name in ("svg", "path"):
        return f"<{slash}{name}{'/' if tag.empty else ''}>"
    kept = "".join(
        f' {"class" if key == "className" else key}="{escape(value)}"'
        for key, value in tag.attributes.items()
        if re.fullmatch(r"[\w-]+", key)
    )
    made = f"<{slash}{name}{kept}{' /' if tag.empty else ''}>"
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    if name in (
        "div",
        "section",
        "details",
        "summary",
        "article",
        "figure",
        "aside",
        "main",
        "center",
    ):
        return f"{BREAK}{made}{BREAK}" if not line.strip() or name != "summary" else made
    return made
