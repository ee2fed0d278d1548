"""Pages whose text stands in their front matter: lists of questions with answers, and the like."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingestion.extract.document import Heading, Located
from ingestion.extract.markdown import parse_markdown
from ingestion.extract.visibility import normal

_TITLES = ("title", "question", "q", "heading", "name", "label", "header", "term", "summary")
_TEXTS = (
    "content", "answer", "a", "body", "text", "description", "details", "definition", "markdown",
    "html", "intro", "lead", "tagline", "subtitle", "excerpt", "message",
)  # fmt: skip
_NO_TEXT = frozenset(
    ("author", "authors", "contributors", "menu", "menus", "nav", "navigation", "sidebar", "links",
     "head", "scripts", "meta", "metadata", "seo", "cascade", "redirectfrom", "images", "image",
     "breadcrumbs", "social", "opengraph", "twitter", "params", "build", "sitemap", "outputs")
)  # fmt: skip
_DEPTH = 4


def text_of(values: Mapping[str, Any], line: int, *, alone: bool) -> list[Heading | Located]:
    """Returns what a page's data say, titles as headings. `alone`: the page has no other text,
    so that its summaries are its text too."""
    parts: list[Heading | Located] = []
    if alone:
        for key in _TEXTS:
            said = next((each for name, each in values.items() if normal(name) == key), None)
            if isinstance(said, str) and said.strip():
                parts += _parsed(said, line)
    for key, value in values.items():
        if normal(key) not in _NO_TEXT and isinstance(value, list | dict):
            parts += _entries(value, 2, line)
    return parts


def _entries(value: Any, level: int, line: int) -> Iterator[Heading | Located]:
    if level > 1 + _DEPTH:
        return
    if isinstance(value, list):
        for each in value:
            yield from _entries(each, level, line)
    elif isinstance(value, dict):
        yield from _entry({normal(key): each for key, each in value.items()}, level, line)


def _entry(value: Mapping[str, Any], level: int, line: int) -> Iterator[Heading | Located]:
    title = next((str(value[key]) for key in _TITLES if isinstance(value.get(key), str)), "")
    texts = [value[key] for key in _TEXTS if isinstance(value.get(key), str) and value[key].strip()]
    inner = [
        part
        for key, each in value.items()
        if key not in _NO_TEXT and isinstance(each, list | dict)
        for part in _entries(each, level + 1, line)
    ]
    if not texts and not inner:
        return
    if title.strip():
        yield Heading(min(level, 6), " ".join(title.split()), line)
    for text in texts:
        yield from _parsed(text, line)
    yield from inner


def _parsed(text: str, line: int) -> Iterator[Heading | Located]:
    for part in parse_markdown(text).parts:
        yield part._replace(line=line)
