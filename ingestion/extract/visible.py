"""What of a page its readers can see: at once, or by opening what can be opened.

Panels of accordions and tabs are content though they are hidden until somebody clicks; text that
nothing on the page opens is not.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

NEVER = (
    "script, style, noscript, template, svg, iframe, object, embed, video, audio, canvas, map,"
    " head, title, link, meta, del, s, strike, dialog:not([open]), [role=dialog],"
    " [role=alertdialog], td.linenos, td.lineno, td.rouge-gutter, td.hljs-ln-numbers"
)
"""Elements that are no text of the page, or not of the page as it stands."""
_MAYBE = (
    "[hidden], [aria-hidden=true], [style], [class*=hid], [class*=none], [class*=only],"
    " [class*=screen-reader], [class*=assistive]"
)
_UNSEEN_STYLE = re.compile(
    r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|mso-hide\s*:\s*all"
    r"|text-decoration(?:-line)?\s*:[^;]{0,60}line-through|font-size\s*:\s*0(?:px|pt|em|%)?\s*(?:;|!|$)|clip\s*:\s*rect\(\s*0|text-indent\s*:\s*-\d{3,})",
    re.IGNORECASE,
)
_UNSEEN_CLASS = re.compile(
    r"(?:^|\s)(?:hidden|d-none|is-hidden|u-hidden|hide|sr-only|visually-?hidden"
    r"|screen-reader-(?:text|only)|assistive-text)(?:\s|$)"
)
_SHOWN_CLASS = re.compile(r"(?:^|\s)(?:d-\w+-\w+|(?:sm|md|lg|xl|2xl|print):\w+)(?:\s|$)")
_OPENS = re.compile(
    r"(?:^|[\s_-])(?:accordions?|collaps\w*|tabs?|tab-?panels?|tab-?panes?|panels?|panes?|toggles?"
    r"|expand\w*|faqs?|answers?|disclosure|details?)(?:$|[\s_-])",
    re.IGNORECASE,
)
_DIALOG = re.compile(r"(?:^|[\s_-])(?:modal|pop-?up|offcanvas|overlay)(?:$|[\s_-])", re.IGNORECASE)
_ICON = re.compile(r"(?:^|[\s_-])(?:icons?|glyph\w*|fa|material-\w+)(?:$|[\s_-])", re.IGNORECASE)
_UNDISPLAYED = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LONGEST_SHEET = 300_000
_SIMPLE = re.compile(r"^(?:[a-z][a-z0-9]*+)?(?:[.#][A-Za-z_][\w-]*+)++$")
_REFERENCES = ("aria-controls", "data-target", "data-bs-target", "data-tab", "data-tab-target")


def unseen(tree: LexborHTMLParser) -> frozenset[int]:
    """Returns `mem_id` of every element, with all that stands in it, that readers never see."""
    body = tree.body
    if body is None:
        return frozenset()
    opened = _opened(body)
    candidates = [node for node in body.css(_MAYBE) if _is_unseen(node)]
    for selector in _undisplayed([node.text() for node in tree.css("style")]):
        candidates += body.css(selector)
    never = (node.mem_id for node in body.css(NEVER))
    closed = (node.mem_id for node in candidates if not _can_be_opened(node, opened))
    return frozenset((*never, *closed))


def _is_unseen(node: LexborNode) -> bool:
    attributes = node.attributes
    if "hidden" in attributes and (attributes["hidden"] or "") != "until-found":
        return True
    if _UNSEEN_STYLE.search(attributes.get("style") or ""):
        return True
    classes = attributes.get("class") or ""
    if _UNSEEN_CLASS.search(classes) and not _SHOWN_CLASS.search(classes):
        return True
    if attributes.get("aria-hidden") != "true":
        return False
    return _pictures_a_formula(node) or _is_decoration(node, classes)


def _pictures_a_formula(node: LexborNode) -> bool:
    """Returns whether it draws what the formula beside it says: said twice, 2 becomes 22."""
    return any(
        beside is not None and not beside.is_text_node and _has_formula(beside)
        for beside in (node.prev, node.next)
    )


def _has_formula(node: LexborNode) -> bool:
    return node.tag == "math" or node.css_first("math") is not None


def _is_decoration(node: LexborNode, classes: str) -> bool:
    """Returns whether the element is hidden from screen readers only and is an icon or within a
    line."""
    text = node.text()
    inline = node.tag in ("span", "b", "strong", "em", "i", "a", "small")
    return not inline or bool(_ICON.search(classes)) or not re.search(r"\w", text)


def _can_be_opened(node: LexborNode, opened: frozenset[str]) -> bool:
    attributes = node.attributes
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    if _DIALOG.search(names):
        return False
    if (attributes.get("id") or "") in opened or attributes.get("role") == "tabpanel":
        return True
    if attributes.get("role") == "region" and "aria-labelledby" in attributes:
        return True
    return bool(_OPENS.search(names)) or _behind_a_switch(node)


def _behind_a_switch(node: LexborNode) -> bool:
    before = node.prev
    while before is not None and (before.is_text_node or before.tag == "-comment"):
        before = before.prev
    if before is None:
        return False
    if "aria-expanded" in before.attributes:
        return True
    return before.css_first("[aria-expanded]") is not None


def _opened(body: LexborNode) -> frozenset[str]:
    """Returns the ids of elements that something on the page opens."""
    found: set[str] = set()
    selector = ", ".join(f"[{name}]" for name in _REFERENCES) + ", a[href^='#']"
    for node in body.css(selector):
        for name in (*_REFERENCES, "href"):
            value = node.attributes.get(name) or ""
            found.update(each.lstrip("#.") for each in value.split())
    return frozenset(found) - {""}


def _undisplayed(sheets: list[str]) -> list[str]:
    """Returns plain classes and ids that the page's own style sheets do not display, on any
    screen."""
    hidden: list[str] = []
    shown: set[str] = set()
    for selectors, body in _rules("\n".join(sheets)[:_LONGEST_SHEET]):
        for selector in map(str.strip, selectors.split(",")):
            if _UNDISPLAYED.search(body):
                hidden.append(selector)
            elif "display" in body:
                shown.add(selector)
    return [each for each in hidden if _SIMPLE.fullmatch(each) and each not in shown]


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Yields (selectors, declarations) outside @media and its like."""
    first, *rest = sheet.split("/*")
    sheet = first + "".join(part.partition("*/")[2] for part in rest)
    depth = 0
    for part in sheet.split("}"):
        *outer, body = part.split("{")
        if not depth and len(outer) == 1:
            yield outer[0].rpartition(";")[2], body
        depth = max(0, depth + len(outer) - 1)
