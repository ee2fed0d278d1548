"""A web page without what stands around its content: the same page then hashes the same."""

import re
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingestion.sources.pages import allows_index
from twofold.errors import InvalidInput

_NO_TEXT = "script, style, noscript, template, iframe, object, svg, input, select"
_AROUND = (
    "nav, [role=navigation], [role=search], [role=banner], [role=contentinfo], [role=dialog],"
    " [role=alertdialog], dialog"
)
_EDGES = "header, footer, aside, [role=complementary]"
_LISTS = "ul, ol, div, section, p"
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LEAVES = "p, li, h1, h2, h3, h4, h5, h6, td, th, dt, dd, label, button, figcaption, div, span, a"
_NAMED = (
    "main",
    "[role=main]",
    "[itemprop=articleBody]",
    ".article-body",
    ".markdown-body",
    ".article__body",
    ".entry-content",
    ".post-content",
    "article",
)
_SPACES = re.compile(r"\s+")
_ENOUGH = 0.8
"""Share of the page's prose that its main part must hold."""
_HALF = 0.5
"""Share that an element which a theme names as content must hold: less is a teaser."""
_MENU = 0.7
"""Share of a block's words that stand in links, above which it only leads on."""
_MENU_LINKS = 4
_EDGE = 200
"""Blocks at either end of a page that may be the site's."""
_NOT_OF_THE_WEB = re.compile(
    "idna|mbcs|oem|punycode|undefined|(?:raw-)?unicode-escape|utf-?7", re.IGNORECASE
)
"""Python's own codings: no browser reads a page by them."""
_CHARSET = re.compile(rb"""<meta[^<>]+charset\s*+=\s*+["']?\s*+([\w.:-]+)""", re.IGNORECASE)


def answer(asked: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    """Returns the fields of `pages.WebText`."""
    text = decode_page(raw, asked["content_type"])
    return read_page(text, asked["url"], content=asked["content"], without=asked["without"])


def trimmed(asked: Mapping[str, Any], raw: bytes) -> dict[str, str]:
    """Returns the page without those of the `repeated` blocks that it begins or ends with."""
    return {"html": without_repeated(raw.decode(), frozenset(asked["repeated"]))}


def read_page(
    text: str, url: str, *, content: str = "", without: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns the page's main content, or that of the element that the selector `content` finds.

    Elements that a selector of `without` finds are taken out. Raises InvalidInput where `content`
    finds nothing, or a selector is none.
    """
    tree = LexborHTMLParser(text)
    base = urljoin(url, _attribute(tree, "base[href]", "href"))
    links = _links(tree, base)
    title = _title(tree)
    canonical = _attribute(tree, "link[rel=canonical]", "href")
    locale = _attribute(tree, "html", "lang")
    robots = tree.css("meta[name=robots i], meta[name=googlebot i]")
    indexed = allows_index(" ".join(node.attributes.get("content") or "" for node in robots))
    for selector in without:
        for node in _css(tree, selector):
            node.remove()
    root = _chosen(tree, content, url) if content else _main(tree)
    found = {"title": title, "locale": locale, "links": links, "indexed": indexed}
    if root is None:
        return found
    heading = root.css_first("h1")
    if heading is not None and (named := _squeezed(heading.text())):
        found["title"] = named
    for node in root.css("a[href]"):
        node.attrs["href"] = urljoin(base, node.attributes.get("href") or "")
    html = root.html or ""
    body = LexborHTMLParser(html).body
    leaves = [_mark(leaf) for leaf in _leaves(body)] if body is not None else []
    return found | {
        "html": html,
        "canonical": urljoin(base, canonical) if canonical else "",
        "words": sorted(set(_squeezed(root.text(separator=" ")).split())),
        "edges": sorted({*leaves[:_EDGE], *leaves[-_EDGE:]}),
    }


def without_repeated(html: str, repeated: Collection[str]) -> str:
    tree = LexborHTMLParser(html)
    body = tree.body
    if body is None:
        return html
    leaves = _leaves(body)
    for run in (leaves, leaves[::-1]):
        for leaf in run:
            if _mark(leaf) not in repeated:
                break
            leaf.remove()
    left = [leaf for leaf in _leaves(body) if leaf.tag not in _HEADINGS]
    # A page of which nothing else is left says what others say, too.
    return (body.inner_html or html) if left else html


def _mark(leaf: LexborNode) -> str:
    """Returns a digest of a leaf's text, as long as any other's."""
    return blake2b(_squeezed(leaf.text()).encode(errors="replace"), digest_size=8).hexdigest()


def _leaves(root: LexborNode) -> list[LexborNode]:
    """Elements with text and no such elements in them, in reading order."""
    found = root.css(_LEAVES)
    outer: set[int] = set()
    for node in found:
        up = node.parent
        while up is not None and up.mem_id not in outer:
            outer.add(up.mem_id)
            up = up.parent
    return [node for node in found if node.mem_id not in outer and _squeezed(node.text())]


def decode_page(body: bytes, content_type: str) -> str:
    """Returns text of a page, by the charset that its header names, or itself, or that most
    pages use."""
    named = re.search(r"charset\s*+=\s*+[\"']?([\w.:-]+)", content_type, re.IGNORECASE)
    within = _CHARSET.search(body[:2048])
    charset = named[1] if named else within[1].decode("ascii", "replace") if within else "utf-8"
    if _NOT_OF_THE_WEB.fullmatch(charset.replace("_", "-")):
        charset = "utf-8"
    for name in (charset, "utf-8", "cp1252"):
        try:
            return body.decode(name)
        except (UnicodeError, LookupError):
            continue
    return body.decode("utf-8", "replace")


def _chosen(tree: LexborHTMLParser, selector: str, url: str) -> LexborNode:
    found = _css(tree, selector)
    if not found:
        raise InvalidInput(f"Nothing on {url!r} matches the selector {selector!r} of `content`.")
    return found[0]


def _css(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    try:
        return tree.css(selector)
    except Exception as error:
        raise InvalidInput(f"{selector!r} is not a CSS selector. Mend it.") from error


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """Returns what the page is about: by what it says of itself, else by where its text is."""
    body = tree.body
    if body is None:
        return None
    for node in body.css(_NO_TEXT):
        node.remove()
    for node in body.css(_AROUND):
        node.remove()
    whole = _prose(body)
    for node in body.css(_EDGES):
        if _within_content(node) is None and _prose(node) * 2 < whole:
            node.remove()
    whole = _prose(body)
    for selector in _NAMED:
        found = [node for node in body.css(selector) if _prose(node) >= whole * _HALF]
        if found and _prose(found[0]):
            return found[0]
    root = _densest(body)
    for node in root.css(_LISTS):
        if node.parent is not None and _is_menu(node) and _prose(node) * 2 < whole:
            node.remove()
    return root


def _within_content(node: LexborNode) -> LexborNode | None:
    up = node.parent
    while up is not None and up.tag not in ("main", "article", "blockquote"):
        up = up.parent
    return up


def _is_menu(node: LexborNode) -> bool:
    links = node.css("a")
    if len(links) < _MENU_LINKS:
        return False
    linked = sum(len(link.text().split()) for link in links)
    return linked >= len(node.text().split()) * _MENU


def _densest(body: LexborNode) -> LexborNode:
    """Returns the smallest element that holds nearly all text that is not a link."""
    wanted = _prose(body) * _ENOUGH
    node = body
    while True:
        inner = [
            child
            for child in node.iter()
            if child.tag in ("div", "section", "article", "td", "table", "tbody", "tr", "center")
            and _prose(child) >= wanted
        ]
        if not inner:
            return node
        node = inner[0]


def _prose(node: LexborNode) -> int:
    linked = sum(len(link.text()) for link in node.css("a"))
    return len(_squeezed(node.text())) - linked


def _title(tree: LexborHTMLParser) -> str:
    site = _attribute(tree, "meta[property='og:site_name']", "content")
    named = _attribute(tree, "meta[property='og:title']", "content")
    head = tree.css_first("head > title")
    title = named or (_squeezed(head.text()) if head is not None else "")
    for mark in (" | ", " - ", " – ", " — ", " · ", " :: "):
        if site and title.endswith(mark + site):
            title = title[: -len(mark + site)]
    return _squeezed(title)


def _links(tree: LexborHTMLParser, base: str) -> list[str]:
    links: list[str] = []
    for node in tree.css("a[href]"):
        if "nofollow" not in (node.attributes.get("rel") or ""):
            try:
                links.append(urljoin(base, node.attributes.get("href") or ""))
            except ValueError:
                continue
    return links


def _attribute(tree: LexborHTMLParser, selector: str, name: str) -> str:
    node = tree.css_first(selector)
    return (node.attributes.get(name) or "").strip() if node is not None else ""


def _squeezed(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
