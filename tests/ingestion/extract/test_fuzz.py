"""Anything at all, given to every reader: it is read or refused, in its time, in its process.

`FUZZ=1000 pytest tests/ingestion/extract/test_fuzz.py` gives more.
"""

import os
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.extract import Bounds, Extracted, extract
from ingestion.extract.reading import DOCX, PDF
from ingestion.sources import Fetched
from ingestion.sources.cache import Cache
from ingestion.sources.feed import Feed
from ingestion.sources.sitemap import read_sitemap
from tests.ingestion.extract.files import docx, para, pdf, table
from tests.ingestion.sources.web import Net, reply, texts
from twofold.errors import InvalidInput, TwofoldError

URL = "https://x.example/all.xml"
EACH = int(os.environ.get("FUZZ", "25"))
BOUNDS = Bounds(cpu=3, wall=30.0, memory=400, output=2)
"""`wall` is the deadline: who asks waits no longer."""

PIECES = {
    "markdown": [
        "# ",
        "- ",
        "> ",
        "```",
        "| a | b |\n|--|--|\n",
        "![",
        "](",
        "<!--",
        "-->",
        "<details>",
        ":::",
        "!!! note\n    ",
        "[^1]:",
        "~~",
        "***",
        "\t",
        "&#x26;",
        "&lt;",
        "\\",
        "<div hidden>",
        "{% if %}",
        "{{ x }}",
        "<script>",
        '=== "A"\n',
        "$$",
    ],
    "mdx": [
        "<Tabs>",
        "</Tabs>",
        "{/*",
        "*/}",
        "{`",
        "`}",
        "import x from 'y'\n",
        "export const a = {",
        "<A b={() => {",
        "}}>",
        "<>",
        "</>",
        "{...x}",
    ],
    "html": [
        "<p>",
        "</p>",
        "<table><tr>",
        "<td>",
        "<ul><li>",
        "<pre>",
        "<template>",
        "<svg>",
        "<math>",
        "<select>",
        "<style>",
        "</style>",
        "<!DOCTYPE html>",
        "<a href='",
        "&#0;",
        "<plaintext>",
        "<noscript>",
        "<body hidden>",
        "<![CDATA[",
        "<frameset>",
        "<dl><dt>",
    ],
    "front": [
        "---\n",
        "+++\n",
        "{\n",
        "}\n",
        "title: ",
        "audience: [",
        "]",
        "&a ",
        "*a ",
        "!!python/x ",
        "kind: policy\n",
        "a = ",
        "[[x]]\n",
        '"',
        "'''",
        "2026-13-45\n",
        "? ",
        "- - - ",
        "<<: *a\n",
        "expires_at: ",
        "1e999",
        "\\ud800",
    ],
    "xml": [
        "<rss>",
        "<channel>",
        "<item>",
        "<feed xmlns='http://www.w3.org/2005/Atom'>",
        "<entry>",
        "<urlset>",
        "<url><loc>",
        "</loc></url>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]>",
        "&a;",
        "<![CDATA[",
        "]]>",
        "<?xml version='1.0'?>",
        "<sitemapindex>",
        "<lastmod>",
        "</rss>",
        "<title>",
    ],
}
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\x00", "\u202e", "\ud800", "9" * 400, "a" * 2000, "\n" * 300, "é", "\ufeff"]),
)


def text_of(*kinds: str) -> st.SearchStrategy[bytes]:
    """Pieces of the formats in any order, some of them again and again."""
    known = st.sampled_from([piece for kind in kinds for piece in PIECES[kind]])
    many = st.tuples(known, st.sampled_from([1, 1, 1, 3, 400])).map(lambda each: each[0] * each[1])
    whole = st.lists(st.one_of(known, many, WORDS, st.just("\n")), max_size=30).map("".join)
    return whole.map(lambda text: text.encode("utf-8", "surrogatepass"))


GOOD = {
    PDF: pdf([(18, 700, "Title"), (11, 650, "Some words that are long enough to break.")]),
    DOCX: docx(para("Title", "Heading1") + para("Words.") + table(["a", "b"], ["c", "d"])),
}


def damaged(media_type: str) -> st.SearchStrategy[bytes]:
    """A whole file with bytes changed, cut out, doubled."""

    def damage(seed: int) -> bytes:
        rng, raw = random.Random(seed), bytearray(GOOD[media_type])
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(raw))
            match rng.randrange(3):
                case 0:
                    raw[at] = rng.randrange(256)
                case 1:
                    del raw[at : at + rng.randrange(1, 40)]
                case _:
                    raw[at:at] = raw[at : at + 60] * rng.randrange(1, 50)
        return bytes(raw)

    return st.integers(0, 2**32).map(damage)


READERS: dict[str, tuple[str, st.SearchStrategy[bytes]]] = {
    "markdown": ("text/markdown", text_of("front", "markdown", "html")),
    "mdx": ("text/mdx", text_of("front", "mdx", "markdown")),
    "html": ("text/html", text_of("html", "front")),
    "front matter": ("text/markdown", text_of("front")),
    "pdf": (PDF, damaged(PDF)),
    "docx": (DOCX, damaged(DOCX)),
}
FIXED = settings(
    max_examples=EACH,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.heavy
@pytest.mark.parametrize("name", READERS)
def test_whatever_is_given_is_read_or_refused_with_a_sentence(name: str) -> None:
    media_type, files = READERS[name]
    seen: Counter[str] = Counter()

    @FIXED
    @given(files)
    def give(raw: bytes) -> None:
        try:
            found = extract("x", Fetched(raw, media_type), bounds=BOUNDS)
            assert isinstance(found, Extracted)
            seen["read"] += 1
        except InvalidInput:
            seen["refused"] += 1

    give()
    print(name, dict(seen))
    assert seen.total() >= EACH


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["feed", "sitemap"])
def test_whatever_a_site_says_of_its_pages_is_read_or_refused(name: str) -> None:
    seen: Counter[str] = Counter()

    @FIXED
    @given(text_of("xml", "html"))
    def give(raw: bytes) -> None:
        try:
            net = Net({URL: reply(raw, content_type="application/xml")})
            if name == "feed":
                texts(Feed("news", {"url": URL}, net.web()))
            else:
                with net.web().fetcher(Cache()) as fetcher:
                    list(read_sitemap(fetcher, URL, []))
            seen["read"] += 1
        except TwofoldError:
            seen["refused"] += 1

    give()
    print(name, dict(seen))
