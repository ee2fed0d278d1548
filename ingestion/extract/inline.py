"""What stands within a line of a page, as Markdown: emphasis, code, links; no markup of its own."""

import re

from selectolax.lexbor import LexborNode

from ingestion.extract.characters import seen, squeezed
from ingestion.extract.formulas import formula
from ingestion.extract.scripts import END, NOTE, OPENINGS, settle

MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*"}
STRUCK = frozenset(("del", "s", "strike"))
"""What stands in them is not valid any more, and the page says so."""
CODE = frozenset(("code", "kbd", "samp", "tt"))
SILENT = frozenset(("input", "select", "textarea", "option", "datalist", "-comment", "rp"))
_CLEAN = re.compile(r"^[^\s()<>]++$")
_PATH = re.compile(r"^[\w/-]++$")
_SCHEMES = ("https://", "http://", "mailto:", "tel:", "/", ".")
_TO_NOTE = re.compile(r"#(?:_?ftn|fn|foot|end-?note|note|cite|ref)", re.IGNORECASE)
_NOTE_NAMES = re.compile(r"\b(?:footnote|noteref|reference|fn|fnref)", re.IGNORECASE)
_FILE_NAME = re.compile(r"^[\w.@-]++$")
_WORD = re.compile(r"\w")
_GUTTER = re.compile(
    r"(?:^|\s)(?:line-?n(?:o|os|um|umbers?)|line-numbers?(?:-rows)?|linenodiv|rouge-gutter"
    r"|hljs-ln-(?:numbers|n))(?:\s|$)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"^\[?\(?\w{1,3}\)?\]?$")


class Writer:
    """Writes the inside of blocks. `shown` says of a node whether readers see it."""

    def __init__(self, hidden: frozenset[int]) -> None:
        self._hidden = hidden

    def line(self, node: LexborNode) -> str:
        """Returns all of a block's inline content, on the lines that its breaks make."""
        return tidy(self.children(node))

    def bare(self, node: LexborNode) -> str:
        """Returns the same without any marks and on one line: for headings."""
        return " ".join(settle(self._children(node, marks=False)).split())

    def children(self, node: LexborNode) -> str:
        return self._children(node, marks=True)

    def _children(self, node: LexborNode, *, marks: bool) -> str:
        return "".join(self.inline(child, marks=marks) for child in node.iter(include_text=True))

    def inline(self, node: LexborNode, *, marks: bool = True) -> str:
        if node.is_text_node:
            return squeezed(node.text(deep=False))
        tag = node.tag or ""
        if tag in STRUCK or tag in SILENT or node.mem_id in self._hidden:
            return ""
        if tag == "br":
            return "\n"
        if tag == "img":
            return alternative(node)
        if tag == "math":
            return formula(node)
        if tag in CODE:
            text = squeezed(code_text(node)).strip()
            return code_span(text) if marks else text
        text = self._children(node, marks=marks)
        return self._marked(node, tag, text, marks=marks)

    def _marked(self, node: LexborNode, tag: str, text: str, *, marks: bool) -> str:
        if opening := OPENINGS.get(tag):
            return (NOTE if tag == "sup" and _leads_to_note(node) else opening) + text + END
        if tag == "a":
            return _link(node, text, marks=marks)
        if tag == "q":
            return f"“{text}”"
        if tag == "rt":
            return f"({text})" if text.strip() else ""
        if marks and (mark := MARKS.get(tag)):
            return wrapped(text, mark)
        return text


def tidy(text: str) -> str:
    """Scripts written out, each line without white space around it, no empty lines."""
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in settle(text).split("\n"))
    return "\n".join(line for line in lines if line)


def code_text(node: LexborNode) -> str:
    """Returns the text of code: what stands there stands there, with its line breaks."""
    parts: list[str] = []
    for child in node.iter(include_text=True):
        if child.is_text_node:
            parts.append(child.text(deep=False))
        elif child.tag == "br":
            parts.append("\n")
        elif child.tag != "-comment" and not numbers_lines(child):
            parts.append(code_text(child))
    return seen("".join(parts))


def numbers_lines(node: LexborNode) -> bool:
    """Returns whether it is the gutter of a listing: what stands there is no code."""
    return _GUTTER.search(node.attributes.get("class") or "") is not None


def code_span(text: str) -> str:
    ticks = "`"
    while ticks in text:
        ticks += "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}" if text else ""


def alternative(node: LexborNode) -> str:
    """Returns what an image says to who does not see it; a file's name says nothing."""
    text = squeezed(node.attributes.get("alt") or "").strip()
    ending = text.rpartition(".")[2] if "." in text else ""
    is_file = _FILE_NAME.match(text) and 2 <= len(ending) <= 5
    return "" if is_file else text


def wrapped(text: str, opening: str, closing: str = "") -> str:
    """Marks hug the text: white space inside them would stop them from being marks."""
    core = text.strip()
    if not core:
        return text
    before = text[: len(text) - len(text.lstrip())]
    after = text[len(text.rstrip()) :]
    return f"{before}{opening}{core}{closing or opening}{after}"


def _link(node: LexborNode, text: str, *, marks: bool) -> str:
    target = seen(node.attributes.get("href") or "").strip()
    if target.startswith("#"):
        if not _WORD.search(text):
            return ""  # the anchor of a heading, the way back from a note
        bare = re.sub("[\ue000-\ue003]", "", text).strip()
        return NOTE + bare + END if _TO_NOTE.match(target) and _BRACKETED.match(bare) else text
    core = text.strip()
    if not marks or not core or not _is_target(target):
        return text
    if target in (core, f"mailto:{core}", f"tel:{core}", f"http://{core}", f"https://{core}"):
        return text
    return wrapped(text, "[", f"]({target})")


def _is_target(target: str) -> bool:
    """Returns an address, or a file's; no script, and nothing that would end a Markdown link."""
    if not _CLEAN.match(target):
        return False
    head, dot, _ = target.partition(".")
    relative = bool(dot) and _PATH.match(head) is not None
    return relative or target.lower().startswith(_SCHEMES)


def _leads_to_note(node: LexborNode) -> bool:
    names = f"{node.attributes.get('class') or ''} {node.attributes.get('role') or ''}"
    if _NOTE_NAMES.search(names):
        return True
    links = node.css("a[href]")
    return any((link.attributes.get("href") or "").startswith("#") for link in links)
