"""Rid Markdown of the markup around its text: tags, comments, JSX, vendor call-outs.

Code is left alone, and everything keeps its line: what is taken out leaves its line breaks.
"""

import html
import re
from collections.abc import Callable, Iterator

HTML_TAGS = frozenset(
    re.findall(
        r"\S+",
        """a abbr acronym address article aside audio b bdi bdo big blockquote body br button canvas
        caption center cite code col colgroup data dd del details dfn dialog div dl dt em embed
        fieldset figcaption figure font footer form g h1 h2 h3 h4 h5 h6 head header hr html i
        iframe img input ins kbd label legend li link main map mark math menu meta meter nav
        noscript object ol optgroup option output p param path picture pre progress q rp rt ruby s
        samp section select small source span strike strong style sub summary sup svg table tbody
        td template textarea tfoot th thead time title tr track tt u ul var video wbr""",
    )
)
"""Other names in angle brackets are placeholders, such as <project-id>: text that readers need."""

FENCE = re.compile(r"^[ \t]*(?:>[ \t]*)*(?:[-*+][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:[^`]|(?!\1(?!`))`+)*?(?<!`)\1(?!`)")
_ATTRIBUTES = r"(?:\s(?:[^\"'{}<>]|\"[^\"]*\"|'[^']*'|\{(?:[^{}]|\{[^{}]*\})*\})*)?"
_TAG = re.compile(rf"<(/?)([A-Za-z][\w.-]*)({_ATTRIBUTES})\s*/?>")
_JSX_TITLE = re.compile(r"\b(?:title|label|summary|header)\s*=\s*(?:\"([^\"]+)\"|'([^']+)')")
_LINK = re.compile(
    r"<a\s[^<>]*?href\s*=\s*(?:\"([^\"]*)\"|'([^']*)')[^<>]*>(.*?)</a\s*>",
    re.DOTALL | re.IGNORECASE,
)
_INVISIBLE = re.compile(
    r"<!--.*?-->|<(script|style|noscript|template)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE
)
_TABLE = re.compile(r"<table\b.*?</table\s*>", re.DOTALL | re.IGNORECASE)
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
_EMPTY_LINK = re.compile(r"(?<!!)\[\s*\]\([^()\n]*\)")
_FILE_NAME = re.compile(r"[\w.@-]+\.\w{2,5}$")
_ESCAPE = re.compile(r"(?<=\w)\\([_.&-])")
_CALLOUT = re.compile(r"^([ \t]*(?:>[ \t]*)+)!?\[!?(\w+)\][ \t]*$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*:{3,}[ \t]*(\w[\w-]*)[ \t]*\[?([^\]\n{]*)\]?[^\n]*$", re.MULTILINE)
_DIRECTIVE_END = re.compile(r"^[ \t]*:{3,}[ \t]*$", re.MULTILINE)
_ESM = re.compile(r"^(?:import|export)\s[^\n]*(?:\n(?![ \t]*\n)[^\n]+)*", re.MULTILINE)
_JSX_COMMENT = re.compile(r"\{/\*.*?\*/\}", re.DOTALL)
_IMPORT = re.compile(r"^import\s[^\n]*?from\s+['\"][^'\"\n]+['\"];?[ \t]*$", re.MULTILINE)


def looks_like_mdx(text: str) -> bool:
    """Whether a .md file imports components, as many documentation sites allow."""
    return _IMPORT.search(text) is not None


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """`change` applied to every stretch of lines that stands outside fenced code."""
    return "".join(part if code else change(part) for code, part in _stretches(text))


def prepare(text: str) -> str:
    """A whole Markdown document before it is parsed; line numbers stay."""
    return outside_code(text, _prepare)


def prepare_mdx(text: str) -> str:
    """The same for MDX: imports, exports, JSX comments and all tags go, their text stays.

    HTML tables stay, on one line each, for the parser to find.
    """

    def strip(part: str) -> str:
        part = _INVISIBLE.sub(_breaks, _JSX_COMMENT.sub(_breaks, _ESM.sub(_breaks, part)))
        return _outside(_TABLE, part, lambda rest: _outside(_CODE_SPAN, rest, _untag_mdx))

    return prepare(outside_code(text, strip))


def inline(text: str) -> str:
    """One block of Markdown: no HTML tags, entities or images; link targets and code stay."""
    if "<" not in text and "&" not in text and "!" not in text and "\\" not in text:
        return text
    return outside_code(text, lambda part: _outside(_CODE_SPAN, part, _inline))


def plain(text: str) -> str:
    """A heading or title: no markup at all, on one line."""
    text = re.sub(r"\s*\{#[\w-]+\}\s*$", "", inline(text))
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__|~~)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", text)
    return " ".join(re.sub(r"(`+)\s?(.+?)\s?\1", r"\2", text).split())


def _stretches(text: str) -> Iterator[tuple[bool, str]]:
    """(is code, text) in order; joined again they are the text."""
    if "```" not in text and "~~~" not in text:
        yield False, text
        return
    held: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if not fence and mark:
            yield False, "".join(held)
            held, fence = [], mark[1]
            held.append(line)
        elif fence and mark and _closes(line, fence, mark[1]):
            yield True, "".join([*held, line])
            held, fence = [], ""
        else:
            held.append(line)
    yield bool(fence), "".join(held)


def _closes(line: str, fence: str, mark: str) -> bool:
    return mark.startswith(fence) and not line.strip().lstrip("> ").strip(mark[0])


def _outside(kept: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    parts: list[str] = []
    at = 0
    for match in kept.finditer(text):
        parts += [change(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*parts, change(text[at:])])


def _prepare(part: str) -> str:
    if "<" in part:
        part = _TABLE.sub(_one_line, _INVISIBLE.sub(_breaks, part))
    if "[" in part and ">" in part:
        part = _CALLOUT.sub(lambda m: f"{m[1]}**{m[2].capitalize()}:**", part)
    if ":::" in part:
        part = _DIRECTIVE_END.sub("", _DIRECTIVE.sub(_directive, part))
    return part


def _directive(match: re.Match[str]) -> str:
    name, title = match[1].capitalize(), match[2].strip()
    return f"**{name}:** {title}".rstrip()


def _breaks(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _one_line(match: re.Match[str]) -> str:
    """A table on one line: blank lines inside would end its block."""
    return match[0].replace("\n", " ") + "\n" * match[0].count("\n")


def _untag_mdx(text: str) -> str:
    return _TAG.sub(_component, _links(text))


def _component(match: re.Match[str]) -> str:
    """A component's title is text that readers see; lower-case names are HTML."""
    if match[2][0].islower():
        return _untag(match)
    title = _JSX_TITLE.search(match[3])
    return (f"**{title[1] or title[2]}** " if title else "") + _breaks(match)


def _links(text: str) -> str:
    return (
        _LINK.sub(lambda m: f"[{m[3].strip()}]({m[1] or m[2]})", text) if "href" in text else text
    )


def _untag(match: re.Match[str]) -> str:
    name = match[2].lower()
    if name not in HTML_TAGS:
        return match[0]
    return _breaks(match) or (" " if name in ("br", "p", "div", "li", "td", "th", "tr") else "")


def _inline(text: str) -> str:
    if "<" in text:
        text = _TAG.sub(_untag, _links(text))
    if "![" in text:
        text = _EMPTY_LINK.sub("", _IMAGE.sub(_alternative, text))
    if "&" in text:
        text = html.unescape(text).replace("\xa0", " ")
    return _ESCAPE.sub(r"\1", text)


def _alternative(match: re.Match[str]) -> str:
    alternative = match[1].strip()
    return "" if _FILE_NAME.fullmatch(alternative) else alternative
