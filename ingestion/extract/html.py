"""HTML to Markdown blocks: headings, paragraphs, lists, tables, code, quotes, link targets.

Every format but PDF and plain text comes through here, so that one place decides what a page says.
"""

import re
from collections.abc import Iterator, Sequence
from html.entities import html5

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingestion.extract.characters import in_one_line, squeezed
from ingestion.extract.document import Block, BlockKind, Heading, Located, Parsed
from ingestion.extract.inline import Writer, code_text, tidy
from ingestion.extract.tables import is_layout, table
from ingestion.extract.visible import unseen

_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BLOCKS = _HEADINGS | frozenset(
    re.findall(
        r"\S+",
        """address article aside blockquote body button center dd details dialog div dl dt fieldset
        figcaption figure footer form header hgroup hr html legend li main menu nav ol p pre
        search section summary table tbody td tfoot th thead tr ul""",
    )
)
_HOLDS_BLOCKS = ", ".join(sorted(_BLOCKS - {"button"}))
_AMPERSAND = re.compile(r"&(?!#\d{1,7};|#[xX][0-9a-fA-F]{1,6};)(?:([A-Za-z][A-Za-z0-9]{1,31});)?")
_SOURCE_LINE = re.compile(r"(\d{1,9}):")
_QUIET_NAMES = re.compile(r"©|\(c\)|copyright|all rights reserved|alle rechte", re.IGNORECASE)
_ENTRY_LEVEL = 10
"""Of a heading below any other: what opens an entry that readers unfold."""


def parse_html(text: str, *, skipped: int = 0) -> Parsed:
    """Reads a whole page: its main content where it says which that is, else its body."""
    tree = LexborHTMLParser(plain_entities(text))
    named = tree.css_first("head > title")
    title = in_one_line(named.text()) if named is not None else ""
    hidden = unseen(tree)
    root = _main(tree, hidden)
    parts = list(_Walker(hidden | _around(tree)).walk(root)) if root is not None else []
    return Parsed(title, _located(parts, text, skipped), _said(tree))


def parse_rendered(text: str, lines: Sequence[int]) -> list[Heading | Located]:
    """Returns the blocks of HTML that was made of Markdown; `lines[n - 1]` is where its line n
    stands."""
    tree = LexborHTMLParser(plain_entities(text))
    if tree.body is None:
        return []
    return list(_Walker(unseen(tree), lines).walk(tree.body))


def plain_entities(text: str) -> str:
    """Escapes each `&` that begins no entity: `?a=1&region=eu` is an address."""
    return _AMPERSAND.sub(_entity, text) if "&" in text else text


def _entity(match: re.Match[str]) -> str:
    known = match[1] and f"{match[1]};" in html5
    return match[0] if known else "&amp;" + match[0][1:]


def _said(tree: LexborHTMLParser) -> dict[str, object]:
    """Returns what the page says of itself in its head, under the names of front matter."""
    said: dict[str, object] = {}
    root = tree.css_first("html")
    if root is not None and (lang := (root.attributes.get("lang") or "").strip()):
        said["lang"] = lang
    for node in tree.css("meta[name][content]"):
        name = (node.attributes.get("name") or "").lower()
        if name in ("robots", "googlebot"):
            said[name] = node.attributes.get("content") or ""
    for node in tree.css("meta[http-equiv][content]"):
        content = node.attributes.get("content") or ""
        if (
            node.attributes.get("http-equiv") or ""
        ).lower() == "refresh" and "url" in content.lower():
            said["redirect_to"] = content.partition("=")[2].strip(" '\"")
    return said


def _main(tree: LexborHTMLParser, hidden: frozenset[int]) -> LexborNode | None:
    """Returns the element marked as the page's main part, where it holds most of the words; else
    the body."""
    body = tree.body
    mains = [node for node in tree.css("main, [role=main]") if node.mem_id not in hidden]
    if body is None or len(mains) != 1:
        return body
    words = len(mains[0].text().split())
    outside = len(body.text().split()) - words
    for node in body.css("nav, header, footer, aside, script, style, template, [role=navigation]"):
        outside -= len(node.text().split()) if not _inside(node, mains[0]) else 0
    return mains[0] if words >= outside else body


def _inside(node: LexborNode, outer: LexborNode) -> bool:
    up = node.parent
    while up is not None:
        if up.mem_id == outer.mem_id:
            return True
        up = up.parent
    return False


def _around(tree: LexborHTMLParser) -> frozenset[int]:
    """Returns menus and site footers, which say nothing of their page."""
    found = {node.mem_id for node in tree.css("nav, [role=navigation], [role=search]")}
    for node in tree.css("footer, [role=contentinfo]"):
        within = node.parent
        while within is not None and within.tag not in ("article", "main", "section", "blockquote"):
            within = within.parent
        if within is None and (_is_menu(node) or _QUIET_NAMES.search(node.text())):
            found.add(node.mem_id)
    return frozenset(found)


def _is_menu(node: LexborNode) -> bool:
    linked = sum(len(link.text().split()) for link in node.css("a"))
    return linked * 2 > len(node.text().split())


def _located(parts: list[Heading | Located], text: str, skipped: int) -> list[Heading | Located]:
    """Returns the headings with their lines, found by looking for each in turn: the parser keeps
    none."""
    at = 0
    line = skipped + 1
    placed: list[Heading | Located] = []
    for part in parts:
        if isinstance(part, Heading) and (found := text.find(part.text, at)) >= 0:
            line += text.count("\n", at, found)
            at = found
        placed.append(part._replace(line=line))
    return placed


class _Walker:
    """Walks a tree in reading order. `lines` translates the lines that Markdown's blocks name."""

    def __init__(self, hidden: frozenset[int], lines: Sequence[int] = ()) -> None:
        self._hidden = hidden
        self._lines = lines
        self._line = lines[0] if lines else 0
        self._write = Writer(hidden)
        self._entry_level = _ENTRY_LEVEL
        self._holders: frozenset[int] = frozenset()

    def walk(self, root: LexborNode) -> Iterator[Heading | Located]:
        self._holders = _holders(root)
        return self._walk(root)

    def _walk(self, node: LexborNode) -> Iterator[Heading | Located]:
        """Blocks; loose inline content between them becomes paragraphs."""
        loose: list[str] = []
        opened = False
        for child in node.iter(include_text=True):
            if not child.is_text_node:
                if child.mem_id in self._hidden:
                    continue
                if self._opens_block(child):
                    yield from self._paragraph(loose)
                    loose = []
                    yield from self._block(child)
                    opened = opened or child.tag == "button"
                    continue
            loose.append(self._write.inline(child))
        yield from self._paragraph(loose)
        if opened:
            yield Heading(self._entry_level, "", self._line)

    def _opens_block(self, node: LexborNode) -> bool:
        if node.tag == "button":
            return _is_switch(node)
        return node.tag in _BLOCKS or node.mem_id in self._holders

    def _paragraph(self, loose: list[str]) -> Iterator[Located]:
        yield from self._made("paragraph", tidy("".join(loose)))

    def _made(self, kind: BlockKind, text: str, line: int | None = None) -> Iterator[Located]:
        if text.strip():
            yield Located(Block(kind, text), self._line if line is None else line)

    def _heading(self, level: int, node: LexborNode) -> Iterator[Heading]:
        if text := self._write.bare(node):
            yield Heading(level, text, self._line)

    def _block(self, node: LexborNode) -> Iterator[Heading | Located]:
        self._note_line(node)
        line = self._line
        tag = node.tag or ""
        if tag in _HEADINGS:
            yield from self._heading(int(tag[1]), node)
        elif tag in ("summary", "button"):
            yield from self._heading(self._entry_level, node)
        elif tag == "details":
            yield from self._folded(node)
        elif tag == "dl":
            yield from self._definitions(node)
        elif tag in ("ul", "ol", "menu"):
            yield from self._made("list", self._list(node), line)
        elif tag == "table":
            yield from self._table(node)
        elif tag == "pre":
            yield from self._made("code", _fenced(node))
        elif tag == "blockquote":
            inner = "\n\n".join(map(_text_of, self._walk(node)))
            quoted = "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
            yield from self._made("quote", quoted if inner else "", line)
        elif "admonition-title" in (node.attributes.get("class") or ""):
            yield from self._made("paragraph", _strong(f"{self._write.bare(node).rstrip(':')}:"))
        elif tag == "dt":
            yield from self._made("paragraph", _strong(self._write.line(node)))
        else:
            yield from self._walk(node)

    def _folded(self, node: LexborNode) -> Iterator[Heading | Located]:
        """Yields what stands behind it belongs to what stood before it."""
        self._entry_level += 1
        yield from self._walk(node)
        yield Heading(self._entry_level, "", self._line)
        self._entry_level -= 1

    def _note_line(self, node: LexborNode) -> None:
        named = _SOURCE_LINE.match(node.attributes.get("data-sourcepos") or "")
        if named and 0 < int(named[1]) <= len(self._lines):
            self._line = self._lines[int(named[1]) - 1]

    def _definitions(self, node: LexborNode) -> Iterator[Heading | Located]:
        """Yields each term with what is said of it, in one block."""
        term: list[str] = []
        for child in _terms(node):
            self._note_line(child)
            if child.mem_id in self._hidden:
                continue
            if child.tag == "dt":
                term.append(_strong(self._write.line(child)))
                continue
            parts = list(self._walk(child))
            joint = list(term)
            # What is said of a term in one paragraph stays with it.
            first = parts[0] if parts else None
            if isinstance(first, Located) and first.block.kind == "paragraph":
                joint.append(first.block.text)
                parts = parts[1:]
            yield from self._made("paragraph", "\n".join(filter(None, joint)))
            yield from parts
            term = []
        yield from self._made("paragraph", "\n".join(filter(None, term)))

    def _table(self, node: LexborNode) -> Iterator[Heading | Located]:
        if is_layout(node, self._holders):
            for cell in node.css("td, th, caption"):
                if _table_of(cell) == node.mem_id and cell.mem_id not in self._hidden:
                    yield from self._walk(cell)
            return
        caption = node.css_first("caption")
        if caption is not None and caption.mem_id not in self._hidden:
            said = self._write.line(caption)
            yield from self._made(
                "paragraph", said if said.endswith((":", ".")) or not said else f"{said}:"
            )
        line = self._line
        yield from self._made("table", table(node, self._cell, self._hidden), line)

    def _list(self, node: LexborNode) -> str:
        lines: list[str] = []
        start = node.attributes.get("start") or "1"
        number = int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 1
        for item in node.iter():
            if item.mem_id in self._hidden:
                continue
            marker = f"{number}. " if node.tag == "ol" else "- "
            number += 1
            self._note_line(item)
            body = self._item(item)
            pad = " " * len(marker)
            shifted = [f"{pad}{line}" if line else "" for line in body.split("\n")]
            if body:
                lines.append(marker + "\n".join(shifted)[len(pad) :])
        return "\n".join(lines)

    def _item(self, item: LexborNode) -> str:
        inside = self._walk(item) if item.tag == "li" else self._block(item)
        parts: list[str] = []
        for part in inside:
            listed = isinstance(part, Located) and part.block.kind == "list"
            if text := _text_of(part):
                parts += ["\n" if listed else "\n\n", text] if parts else [text]
        return "".join(parts)

    def _cell(self, node: LexborNode) -> str:
        return squeezed(" ".join(map(_text_of, self._walk(node)))).strip()


def _text_of(part: Heading | Located) -> str:
    """Returns the text of a part where no heading can stand: in a list, a cell, a quotation."""
    return part.block.text if isinstance(part, Located) else _strong(part.text)


def _strong(text: str) -> str:
    bare = text.strip("*")
    return f"**{bare}**" if bare and "**" not in bare else text


def _holders(root: LexborNode) -> frozenset[int]:
    """Elements of lines, such as spans, that hold blocks all the same."""
    found: set[int] = set()
    for node in root.css(_HOLDS_BLOCKS):
        up = node.parent
        while up is not None and up.mem_id not in found:
            found.add(up.mem_id)
            up = up.parent
    return frozenset(found)


def _is_switch(node: LexborNode) -> bool:
    """Returns whether it is a button that opens what stands below it: its text is the title of
    that."""
    attributes = node.attributes
    return any(name in attributes for name in ("aria-expanded", "aria-controls", "data-bs-target"))


def _terms(node: LexborNode) -> Iterator[LexborNode]:
    for child in node.iter():
        if child.tag == "div":
            yield from child.iter()
        else:
            yield child


def _table_of(cell: LexborNode) -> int | None:
    up = cell.parent
    while up is not None and up.tag != "table":
        up = up.parent
    return up.mem_id if up is not None else None


def _fenced(node: LexborNode) -> str:
    text = code_text(node).strip("\n").rstrip()
    if not text:
        return ""
    fence = "```"
    while fence in text:
        fence += "`"
    inner = node.css_first("code")
    names = f"{inner.attributes.get('class') or ''} " if inner is not None else ""
    names += node.attributes.get("class") or ""
    language = re.search(r"(?:language|lang)-([\w+#.-]+)", names)
    return f"{fence}{language[1] if language else ''}\n{text}\n{fence}"
