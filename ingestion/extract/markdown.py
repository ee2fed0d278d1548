"""Markdown and MDX, in the dialects that sites are written in, to blocks.

Dialects are made plain first, then cmark makes HTML, and that is read as any HTML: what a page
says is decided in one place.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import cmarkgfm
from cmarkgfm.cmark import Options

from ingestion.extract.dialects import blocks, inline, jsx, templates
from ingestion.extract.dialects.blocks import Line
from ingestion.extract.dialects.code import outside_spans, stretches
from ingestion.extract.document import Parsed
from ingestion.extract.html import parse_rendered

HTML_TAGS = frozenset(
    re.findall(
        r"\S+",
        """a abbr acronym address article aside audio b base bdi bdo big blockquote body br button
        canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div
        dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6
        head header hgroup hr html i iframe img input ins kbd label legend li link main map mark
        math menu meta meter nav noscript object ol optgroup option output p param path picture pre
        progress q rp rt ruby s samp script search section select slot small source span strike
        strong style sub summary sup svg table tbody td template textarea tfoot th thead time title
        tr track tt u ul var video wbr""",
    )
)
"""Other names in angle brackets are placeholders, such as <project-id>: text that readers need."""

_OPTIONS = (
    Options.CMARK_OPT_UNSAFE
    | Options.CMARK_OPT_SOURCEPOS
    | Options.CMARK_OPT_HARDBREAKS
    | Options.CMARK_OPT_FOOTNOTES
    | Options.CMARK_OPT_STRIKETHROUGH_DOUBLE_TILDE
)
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>\"'=]*)")


def parse_markdown(
    text: str, *, mdx: bool = False, skipped: int = 0, page: Mapping[str, Any] | None = None
) -> Parsed:
    """Blocks and headings of a document whose first `skipped` lines (front matter) are cut off.

    `page` is the front matter: templates may name what it says.
    """
    mdx = mdx or jsx.looks_like_mdx(text)
    lines = _plain(text, page or {}, mdx=mdx, skipped=skipped)
    made = cmarkgfm.markdown_to_html_with_extensions(
        "\n".join(line.text for line in lines),
        options=_OPTIONS,
        extensions=["table", "strikethrough"],
    )
    if not mdx:
        made = _TAG.sub(_placeholder, made)
    return Parsed("", parse_rendered(made, [line.origin for line in lines]))


def _plain(text: str, page: Mapping[str, Any], *, mdx: bool, skipped: int) -> list[Line]:
    lines = [Line(line, skipped + at) for at, line in enumerate(text.split("\n"), start=1)]
    if "!!!" in text or "???" in text or "===" in text:
        lines = list(blocks.undented(lines))
    origins = [line.origin for line in lines]
    text = "\n".join(line.text for line in lines)
    text = jsx.plain(text, mdx=mdx)
    if templates.has_any(text):
        said = _named(page)
        text = _outside_code(text, lambda part: templates.plain(part, said), mdx=mdx)
    lines = [Line(line, at) for line, at in zip(text.split("\n"), origins, strict=True)]
    lines = list(blocks.plain(lines, mdx=mdx))
    origins = [line.origin for line in lines]
    text = _inline("\n".join(line.text for line in lines), mdx=mdx)
    return [Line(line, at) for line, at in zip(text.split("\n"), origins, strict=True)]


def _outside_code(text: str, change: Callable[[str], str], *, mdx: bool) -> str:
    return "".join(
        part if code else outside_spans(part, change)
        for code, part in stretches(text, indented=not mdx)
    )


def _inline(text: str, *, mdx: bool) -> str:
    if not re.search(r"[{^~=+:\[]", text):
        return text
    return _outside_code(_roles(text) if "}`" in text else text, inline.plain, mdx=mdx)


def _roles(text: str) -> str:
    parts: list[str] = []
    for code, part in stretches(text):
        if code:
            parts.append(part)
            continue
        at = 0
        for match in re.finditer(r"\{[a-z][\w:+.-]{0,40}\}(`{1,3}[^`\n]{1,500}`{1,3})", part):
            found = inline.role(part[at : match.start(1)], match[1])
            if found is not None:
                parts += found
                at = match.end()
        parts.append(part[at:])
    return "".join(parts)


def _named(page: Mapping[str, Any]) -> Callable[[str], str]:
    def said(name: str) -> str:
        value = page.get(name)
        return (
            str(value)
            if isinstance(value, str | int | float) and not isinstance(value, bool)
            else ""
        )

    return said


def _placeholder(match: re.Match[str]) -> str:
    return match[0] if match[2].lower() in HTML_TAGS else f"&lt;{match[0][1:]}"
