"""Markdown and MDX to blocks, by markdown-it's block structure; the text stays as written."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingestion.extract import clean
from ingestion.extract.document import Block, BlockKind, Heading, Located, Parsed
from ingestion.extract.html import fragment

_KINDS: dict[str, BlockKind] = {
    "paragraph_open": "paragraph",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "blockquote_open": "quote",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
}
_RULE = re.compile(r"^[ \t]*(?:[*_-][ \t]*){3,}$", re.MULTILINE)


def _parser(*, mdx: bool) -> MarkdownIt:
    # Inline structure is not needed, and costs most of the time.
    parser = MarkdownIt("commonmark").enable("table").disable(["inline", "reference"])
    # MDX has no indented code: what is indented there stands inside a component.
    return parser.disable("code") if mdx else parser


_MARKDOWN = _parser(mdx=False)
_MDX = _parser(mdx=True)


def parse_markdown(text: str, *, mdx: bool = False, skipped: int = 0) -> Parsed:
    """Blocks and headings of a document whose first `skipped` lines (front matter) are cut off."""
    mdx = mdx or clean.looks_like_mdx(text)
    text = clean.prepare_mdx(text) if mdx else clean.prepare(text)
    lines = text.split("\n")
    parts: list[Heading | Located] = []
    tokens = (_MDX if mdx else _MARKDOWN).parse(text)
    for at, token in enumerate(tokens):
        if token.level == 0 and token.nesting >= 0 and token.map is not None:
            parts += _parts(token, tokens[at + 1 : at + 2], lines, skipped + 1)
    return Parsed("", parts)


def _parts(
    token: Token, following: list[Token], lines: list[str], offset: int
) -> Iterator[Heading | Located]:
    start, end = token.map or (0, 0)
    if token.type == "heading_open":
        text = clean.plain(following[0].content)
        yield Heading(int(token.tag[1]), text, start + offset)
    elif token.type == "html_block":
        for part in fragment("\n".join(lines[start:end])):
            yield part._replace(line=start + offset)
    elif kind := _KINDS.get(token.type):
        literal = "\n".join(lines[start:end])
        text = _trim(literal if kind == "code" else clean.inline(literal))
        text = text.lstrip() if kind == "paragraph" else text
        if text:
            yield Located(Block(kind, text), start + offset)


def _trim(text: str) -> str:
    """No blank lines around it, no white space at line ends, and nothing but a rule is nothing."""
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    return "" if _RULE.fullmatch(text) else text
