"""What Markdown's extensions write within a line, as plain Markdown or HTML."""

import re

_ATTRIBUTE = (
    r"(?:[.#][A-Za-z][\w-]{0,80}"
    r"|[A-Za-z][\w-]{0,40}=(?:\"[^\"{}]{0,200}\"|'[^'{}]{0,200}'|[^\s\"'{}]{1,100}))"
)
_ATTRIBUTES = re.compile(
    rf"[ \t]?\{{:?\s{{0,5}}(?:{_ATTRIBUTE}|-)(?:\s{{1,5}}{_ATTRIBUTE}){{0,20}}\s{{0,5}}\}}"
)
_KRAMDOWN = re.compile(r"\{::?/?[A-Za-z][^{}\n]{0,200}/?\}|\{:/\}|\{:[^{}\n]{0,200}\}")
_WIKI = re.compile(r"(!?)\[\[([A-Za-z0-9][^\[\]|\n]{0,150})(?:\|([^\[\]\n]{1,150}))?\]\]")
_CRITIC = (
    (re.compile(r"\{\+\+([^{}]{0,2000}?)\+\+\}"), r"\1"),
    (re.compile(r"\{--[^{}]{0,2000}?--\}"), ""),
    (re.compile(r"\{~~[^{}]{0,2000}?~>([^{}]{0,2000}?)~~\}"), r"\1"),
    (re.compile(r"\{>>[^{}]{0,2000}?<<\}"), ""),
    (re.compile(r"\{==([^{}]{0,2000}?)==\}"), r"\1"),
)
_RAISED = re.compile(r"(?<=[\w)])\^([0-9A-Za-z+\-−]{1,5})\^")
_LOWERED = re.compile(r"(?<=[A-Za-z)])~([0-9A-Za-z+\-]{1,5})~(?!~)")
_MARKED = re.compile(r"(?<!=)==(?=[^\s=])([^=\n]{0,500})(?<=\S)==(?!=)")
_INSERTED = re.compile(r"(?<![\w+])\+\+(?=[^\s+])([^+\n]{0,500})(?<=\S)\+\+(?![\w+])")
_ICON = re.compile(r":(?:material|octicons?|fontawesome|simple|fa|mdi)-[\w-]{1,80}:")
_INLINE_NOTE = re.compile(r"\^\[([^\[\]\n]{1,1000})\]")
_ROLE = re.compile(r"\{([a-z][\w:+.-]{0,40}+)\}$")
_EMPTY_LINK = re.compile(r"(?<!!)\[\s{0,5}\]\([^()\n]{0,500}\)")
_CODE_ROLES = frozenset(
    ("code", "file", "command", "kbd", "samp", "envvar", "option", "py", "literal")
)


def plain(text: str) -> str:
    """Returns text outside of code spans."""
    if "{" in text:
        for pattern, said in _CRITIC:
            text = pattern.sub(said, text)
        text = _KRAMDOWN.sub("", _ATTRIBUTES.sub("", text))
    if "[[" in text:
        text = _WIKI.sub(_wiki, text)
    if "^" in text:
        text = _INLINE_NOTE.sub(r" (\1)", _RAISED.sub(r"<sup>\1</sup>", text))
    if "~" in text:
        text = _LOWERED.sub(r"<sub>\1</sub>", text)
    if "==" in text:
        text = _MARKED.sub(r"\1", text)
    if "++" in text:
        text = _INSERTED.sub(r"\1", text)
    if ":" in text:
        text = _ICON.sub("", text)
    return _EMPTY_LINK.sub("", text) if "](" in text else text


def _wiki(match: re.Match[str]) -> str:
    if match[1]:
        return ""  # another page, put in here by the site
    return match[3] or match[2].rpartition("#")[0] or match[2]


def role(before: str, span: str) -> tuple[str, str] | None:
    """Returns what stands before a code span without Sphinx's `{role}`, and what the span shows;
    None where it has no role."""
    named = _ROLE.search(before)
    shown = span.strip("`").strip()
    if named is None or not shown:
        return None
    kind = named[1].rpartition(":")[2]
    if kind in ("sup", "sub"):
        return before[: named.start()], f"<{kind}>{shown}</{kind}>"
    if kind in _CODE_ROLES:
        return before[: named.start()], span
    text, opening, _ = shown.partition("<")
    return before[: named.start()], text.strip() if opening and text.strip() else shown
