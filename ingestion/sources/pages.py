"""A web page without what stands around its content: the same page then hashes the same."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from twofold.errors import InvalidInput

_NOISE = (
    "script, style, noscript, template, iframe, object, svg, nav, footer, form, button, select,"
    " input, dialog, [hidden], [aria-hidden=true], [role=navigation], [role=search],"
    " [role=banner], [role=contentinfo], [role=dialog], [role=complementary]"
)
_NOISY = re.compile(
    r"(?:^|[\s_-])(?:nav(?:bar|igation)?|side-?bar|bread-?crumbs?|cookies?|consent|share|sharing"
    r"|social|comments?|related|recent|feedback|vot(?:e|es|ing)|helpful|pagination|pager|toc|skip"
    r"|newsletter|advert|promo|modal|popup|masthead|menu)(?:$|[\s_-])",
    re.IGNORECASE,
)
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
_LEAST = 40
"""Characters: what a theme names as content and holds less is an empty shell."""


_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)


class WebText(NamedTuple):
    """What a page holds. Addresses are absolute; `canonical` is "" where it names none."""

    title: str
    html: str
    canonical: str
    locale: str
    links: Sequence[str]


def read_page(text: str, url: str, *, content: str = "", without: Sequence[str] = ()) -> WebText:
    """The page's main content, or that of the element that the selector `content` finds.

    Elements that a selector of `without` finds are taken out. Raises InvalidInput where `content`
    finds nothing, or a selector is none.
    """
    tree = LexborHTMLParser(text)
    base = urljoin(url, _attribute(tree, "base[href]", "href"))
    links = _links(tree, base)
    title = _title(tree)
    canonical = _attribute(tree, "link[rel=canonical]", "href")
    locale = _attribute(tree, "html", "lang")
    for selector in without:
        for node in _css(tree, selector):
            node.decompose()
    root = _chosen(tree, content, url) if content else _main(tree)
    if root is None:
        return WebText(title, "", "", locale, links)
    heading = root.css_first("h1")
    if heading is not None and (named := _squeezed(heading.text())):
        title = named
    for node in root.css("a[href]"):
        node.attrs["href"] = urljoin(base, node.attributes.get("href") or "")
    html = root.html or ""
    return WebText(title, html, urljoin(base, canonical) if canonical else "", locale, links)


def decode_page(body: bytes, content_type: str) -> str:
    """Text of a page, by the charset that its header names, or itself, or that most pages use."""
    named = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", content_type, re.IGNORECASE)
    within = _CHARSET.search(body[:2048])
    charset = named[1] if named else within[1].decode("ascii", "replace") if within else "utf-8"
    for name in (charset, "utf-8", "cp1252"):
        try:
            return body.decode(name)
        except (UnicodeDecodeError, LookupError):
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
    body = tree.body
    if body is None:
        return None
    for node in body.css(_NOISE):
        node.decompose()
    _drop_noisy(body)
    for selector in _NAMED:
        found = [node for node in body.css(selector) if len(_squeezed(node.text())) >= _LEAST]
        if len(found) == 1:
            return found[0]
    return _densest(body)


def _drop_noisy(body: LexborNode) -> None:
    whole = len(body.text())
    for node in body.css("div, section, aside, header, ul, ol, p"):
        attributes = node.attributes
        names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
        # A wrapper named after its side bar still holds the article.
        keeps = node.css_first("h1, main, article") is not None or len(node.text()) * 2 >= whole
        if not keeps and _NOISY.search(names):
            node.decompose()


def _densest(body: LexborNode) -> LexborNode:
    """The smallest element that holds nearly all text that is not a link."""
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
