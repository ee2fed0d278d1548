"""HTML to Markdown blocks: headings, paragraphs, lists, tables, code, quotes, link targets."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingestion.extract.document import Block, BlockKind, Heading, Located, Parsed
from ingestion.extract.tables import table

_DROPPED = (
    "script, style, noscript, template, nav, footer, svg, iframe, object, select, button, form,"
    " [hidden], [aria-hidden=true], [role=navigation]"
)
_MAIN = "main, [role=main], article"
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BLOCKS = _HEADINGS | frozenset(
    re.findall(
        r"\S+",
        """address article aside blockquote body center dd details dialog div dl dt fieldset
        figcaption figure footer form header hgroup hr html legend li main menu nav ol p pre
        section summary table tbody td tfoot th thead tr ul""",
    )
)
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*"}
_SPACES = re.compile(r"[ \t\r\f\v\xa0\n]+")
_TARGET = re.compile(r"(?:https?://|mailto:|tel:|/|#|\.)[^\s()<>]*|[\w./-]+\.\w+[^\s()<>]*")


def parse_html(text: str, *, skipped: int = 0) -> Parsed:
    """A whole page: its main content where it says which that is, else its body."""
    tree = LexborHTMLParser(text)
    named = tree.css_first("head > title")
    for node in tree.css(_DROPPED):
        node.decompose()
    mains = tree.css(_MAIN)
    root = mains[0] if len(mains) == 1 else tree.css_first("main") or tree.body
    parts = list(_walk(root)) if root is not None else []
    title = _SPACES.sub(" ", named.text()).strip() if named is not None else ""
    return Parsed(title, _located(parts, text, skipped))


def fragment(text: str) -> list[Heading | Located]:
    """The blocks of a piece of HTML, all on line 0."""
    tree = LexborHTMLParser(text)
    for node in tree.css(_DROPPED):
        node.decompose()
    return list(_walk(tree.body)) if tree.body is not None else []


def _located(parts: list[Heading | Located], text: str, skipped: int) -> list[Heading | Located]:
    """Line numbers, found by looking for each heading in turn: the parser keeps none."""
    at = 0
    line = skipped + 1
    placed: list[Heading | Located] = []
    for part in parts:
        if isinstance(part, Heading) and (found := text.find(part.text, at)) >= 0:
            line += text.count("\n", at, found)
            at = found
        placed.append(part._replace(line=line))
    return placed


def _walk(node: LexborNode) -> Iterator[Heading | Located]:
    """Blocks in reading order; loose inline content between them becomes paragraphs."""
    loose: list[str] = []
    for child in node.iter(include_text=True):
        if child.is_text_node or (child.tag not in _BLOCKS and not _holds_blocks(child)):
            loose.append(_inline(child))
            continue
        yield from _paragraph(loose)
        loose = []
        yield from _block(child)
    yield from _paragraph(loose)


def _holds_blocks(node: LexborNode) -> bool:
    return any(child.tag in _BLOCKS or _holds_blocks(child) for child in node.iter())


def _paragraph(loose: list[str]) -> Iterator[Located]:
    yield from _made("paragraph", _tidy("".join(loose)))


def _made(kind: BlockKind, text: str) -> Iterator[Located]:
    if text.strip():
        yield Located(Block(kind, text), 0)


def _block(node: LexborNode) -> Iterator[Heading | Located]:
    tag = node.tag or ""
    if tag in _HEADINGS:
        yield Heading(int(tag[1]), _SPACES.sub(" ", node.text()).strip(), 0)
    elif tag in ("ul", "ol", "menu"):
        yield from _made("list", _list(node))
    elif tag == "table":
        yield from _made("table", table(node, _cell))
    elif tag == "pre":
        yield from _made("code", _fenced(node.text()))
    elif tag == "blockquote":
        inner = "\n\n".join(part.block.text for part in _walk(node) if isinstance(part, Located))
        quoted = "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
        yield from _made("quote", quoted if inner else "")
    elif tag in ("dt", "summary"):
        inner = _tidy(_children(node))
        yield from _made("paragraph", f"**{inner.strip('*')}**" if inner else "")
    else:
        yield from _walk(node)


def _fenced(text: str) -> str:
    text = text.strip("\n").rstrip()
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}" if text else ""


def _list(node: LexborNode, indent: str = "") -> str:
    lines: list[str] = []
    start = node.attributes.get("start") or "1"
    number = int(start) if start.isdigit() else 1
    for item in node.iter():
        if item.tag != "li":
            continue
        marker = f"{number}. " if node.tag == "ol" else "- "
        number += 1
        body = _item(item)
        pad = " " * len(marker)
        shifted = [f"{pad}{line}" if line else "" for line in body.split("\n")]
        if body:
            lines.append(indent + marker + "\n".join(shifted)[len(pad) :])
    return "\n".join(lines)


def _item(item: LexborNode) -> str:
    parts: list[str] = []
    for part in _walk(item):
        text = part.block.text if isinstance(part, Located) else f"**{part.text}**"
        joint = "\n" if isinstance(part, Located) and part.block.kind == "list" else "\n\n"
        parts += [joint, text] if parts else [text]
    return "".join(parts)


def _cell(node: LexborNode) -> str:
    parts = (part.block.text if isinstance(part, Located) else part.text for part in _walk(node))
    return _SPACES.sub(" ", " ".join(parts)).strip()


def _children(node: LexborNode) -> str:
    return "".join(_inline(child) for child in node.iter(include_text=True))


def _inline(node: LexborNode) -> str:
    if node.is_text_node:
        return _SPACES.sub(" ", node.text(deep=False))
    tag = node.tag or ""
    if tag in ("br", "wbr"):
        return "\n" if tag == "br" else ""
    if tag == "img":
        return node.attributes.get("alt") or ""
    if tag in ("code", "kbd", "samp", "tt"):
        return _code(node.text())
    text = _children(node)
    if tag == "a":
        return _link(text, node.attributes.get("href") or "")
    if mark := _MARKS.get(tag):
        return _wrapped(text, mark)
    return text if tag not in ("-comment", "textarea") else ""


def _code(text: str) -> str:
    text = _SPACES.sub(" ", text).strip()
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{text}{ticks}" if text else ""


def _link(text: str, target: str) -> str:
    if not text.strip() or not _TARGET.fullmatch(target.strip()):
        return text
    return _wrapped(text, "[", f"]({target.strip()})")


def _wrapped(text: str, opening: str, closing: str = "") -> str:
    """Marks hug the text: white space inside them would stop them from being marks."""
    core = text.strip()
    if not core:
        return text
    before = text[: len(text) - len(text.lstrip())]
    after = text[len(text.rstrip()) :]
    return f"{before}{opening}{core}{closing or opening}{after}"


def _tidy(text: str) -> str:
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
