"""Of generated pages: every visible word is read, in order, and no hidden one; every number stays
as it is, and none comes in."""

import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.extract import Extracted
from ingestion.extract.reading import read

SEEN = st.integers(0, 9999).map(lambda n: f"seen{n}word")
HIDDEN = st.integers(0, 9999).map(lambda n: f"hidden{n}word")
NUMBER = st.one_of(
    st.integers(0, 10**7).map(str),
    st.decimals(0, 10**5, places=2).map(str),
    st.integers(1, 999).flatmap(lambda a: st.integers(0, 999).map(lambda b: f"{a}.{b:03}")),
    st.integers(1, 99).map(lambda n: f"{n} 000"),
    st.integers(1, 99).map(lambda n: f"1'{n:03}"),
)
PROSE = st.lists(SEEN, min_size=1, max_size=5).map(" ".join)
FIXED = settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def html_part(inner: Any) -> Any:
    """Visible elements, and hidden ones between them."""
    return st.one_of(
        PROSE.map(lambda text: f"<p>{text}</p>"),
        PROSE.map(lambda text: f"<p>a <b>{text}</b> <em>b</em></p>"),
        PROSE.map(lambda text: f"<h3>{text}</h3>"),
        st.lists(PROSE, min_size=1, max_size=3).map(
            lambda rows: "<ul>" + "".join(f"<li>{row}</li>" for row in rows) + "</ul>"
        ),
        st.lists(PROSE, min_size=1, max_size=3).map(
            lambda rows: (
                "<table>" + "".join(f"<tr><td>{row}</td></tr>" for row in rows) + "</table>"
            )
        ),
        PROSE.map(lambda text: f"<details><summary>{text}</summary><p>x</p></details>"),
        PROSE.map(lambda text: f'<p><a href="/a">{text}</a></p>'),
        PROSE.map(lambda text: f"<pre>{text}</pre>"),
        PROSE.map(lambda text: f"<blockquote><p>{text}</p></blockquote>"),
        PROSE.map(lambda text: f"<dl><dt>{text}</dt><dd>x</dd></dl>"),
        HIDDEN.map(lambda text: f'<p style="display:none">{text}</p>'),
        HIDDEN.map(lambda text: f"<div hidden>{text}</div>"),
        HIDDEN.map(lambda text: f"<template><p>{text}</p></template>"),
        HIDDEN.map(lambda text: f"<!-- {text} -->"),
        HIDDEN.map(lambda text: f"<script>{text}</script>"),
        HIDDEN.map(lambda text: f"<p><del>{text}</del></p>"),
        inner.map(lambda parts: "<div>" + "".join(parts) + "</div>"),
        inner.map(lambda parts: "<section><form>" + "".join(parts) + "</form></section>"),
    )


PARTS = st.recursive(
    st.lists(html_part(st.just([])), max_size=4),
    lambda inner: st.lists(html_part(inner), max_size=4),
    max_leaves=12,
)
MARKDOWN = st.lists(
    st.one_of(
        PROSE,
        PROSE.map(lambda text: f"## {text}"),
        PROSE.map(lambda text: f"- {text}\n- x"),
        PROSE.map(lambda text: f"> {text}"),
        PROSE.map(lambda text: f"```\n{text}\n```"),
        PROSE.map(lambda text: f"| {text} |\n|---|\n| x |"),
        PROSE.map(lambda text: f"**{text}** and *x* and `y`"),
        PROSE.map(lambda text: f"!!! note\n    {text}"),
        PROSE.map(lambda text: f":::tip\n{text}\n:::"),
        PROSE.map(lambda text: f"[{text}](https://x.example/a?b=1&region=2)"),
        HIDDEN.map(lambda text: f"<!-- {text} -->"),
        HIDDEN.map(lambda text: f"~~{text}~~"),
        HIDDEN.map(lambda text: f"<div hidden>\n\n{text}\n\n</div>"),
    ),
    min_size=1,
    max_size=8,
).map("\n\n".join)


def told(extracted: Extracted) -> str:
    """Titles, headings and text in reading order, each heading once (the last is its own)."""
    parts = [extracted.title if extracted.named else ""]
    before: tuple[str, ...] = ()
    for section in extracted.sections:
        path = section.heading_path
        parts += [
            name
            for at, name in enumerate(path)
            if at == len(path) - 1 or before[at : at + 1] != (name,)
        ]
        parts.append(section.text)
        before = section.heading_path
    return "\n".join(parts)


def check(text: str, media_type: str) -> None:
    extracted = read("x", media_type, text.encode(), {})
    words = re.findall(r"seen\d+word", told(extracted))
    assert words == re.findall(r"seen\d+word", text)
    assert "hidden" not in told(extracted).replace("hidden>", "")


@FIXED
@given(PARTS)
def test_every_visible_word_of_a_page_is_read_and_no_hidden_one(parts: list[str]) -> None:
    check(f"<html><body><p>seen0word</p>{''.join(parts)}</body></html>", "text/html")


@FIXED
@given(MARKDOWN)
def test_every_visible_word_of_markdown_is_read_and_no_hidden_one(text: str) -> None:
    check(f"seen0word\n\n{text}\n", "text/markdown")


@FIXED
@given(
    st.lists(NUMBER, min_size=1, max_size=6), st.sampled_from(["html", "markdown", "mdx", "plain"])
)
def test_numbers_stay_as_they_are_and_none_comes_in(numbers: list[str], kind: str) -> None:
    lines = [f"costs {number} EUR" for number in numbers]
    if kind == "html":
        text = "".join(f"<p>{line}<sup>1</sup></p>" for line in lines)
    elif kind == "plain":
        text = "\n\n".join(lines)
    else:
        text = "\n\n".join(f"{line}[^1]" for line in lines) + "\n\n[^1]: plus VAT"
    extracted = read("x", f"text/{kind}", text.encode(), {})
    said = re.findall(r"costs (.+?) EUR", told(extracted))
    assert said == numbers
