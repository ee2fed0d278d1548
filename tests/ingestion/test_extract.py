"""What extraction keeps, drops and normalises, format by format."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ingestion.extract import Extracted, extract
from ingestion.sources import Fetched
from twofold.errors import InvalidInput

ROOT = Path(__file__).parents[2]
MD, MDX, HTML, TEXT = "text/markdown", "text/mdx", "text/html", "text/plain"


def read(text: str, media_type: str = MD, name: str = "some/change-your_plan.md") -> Extracted:
    return extract(name, Fetched(text.encode(), media_type))


def body(text: str, media_type: str = MD) -> str:
    return "\n\n".join(section.text for section in read(text, media_type).sections)


class Case(NamedTuple):
    id: str
    media_type: str
    source: str
    expected: str


CASES = [
    Case(
        "link", MD, "See [the guide](https://x.example/a).", "See [the guide](https://x.example/a)."
    ),
    Case("html-link", MD, 'See <a href="/a" target="_blank">it</a>.', "See [it](/a)."),
    Case("tags", MD, "A <ins>B</ins> <span class='x'>C</span><br/>D", "A B C\nD"),
    Case("placeholder", MD, "Run it with <project-id> there.", "Run it with <project-id> there."),
    Case("autolink", MD, "At <https://x.example>.", "At https://x.example."),
    Case("code-span", MD, "Use `<b>&amp;</b>` &amp; rest.", "Use `<b>&amp;</b>` & rest."),
    Case("fence", MD, "```html\n<b>x</b>\n<!-- y -->\n```", "```html\n<b>x</b>\n<!-- y -->\n```"),
    Case("comment", MD, "A\n\n<!-- gone\n\nall of it -->\n\nB", "A\n\nB"),
    Case("image", MD, "![The settings page](a.png) ![x.png](x.png)", "The settings page"),
    Case("escape", MD, r"The locale is en\_GB.", "The locale is en_GB."),
    Case("callout", MD, ">![info]\n>\n>Mind this.", "> **Info:**\n>\n> Mind this."),
    Case("alert", MD, "> [!WARNING]\n> Mind this.", "> **Warning:**\n> Mind this."),
    Case("note", MD, "> **Note:** Mind this.", "> **Note:** Mind this."),
    Case("directive", MD, ":::note\nMind this.\n:::", "**Note:**\nMind this."),
    Case("directive-title", MD, ":::tip[Short cut]\nX.\n:::", "**Tip:** Short cut\nX."),
    Case("liquid", MD, "{% ifversion fpt %}Free{% endif %}", "Free"),
    Case("table", MD, "| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    Case(
        "html-table",
        MD,
        "<table>\n<tr><th>a</th><th>b</th></tr>\n\n"
        "    <tr><td>1<br>2</td><td>x|y</td></tr>\n</table>",
        "| a | b |\n| --- | --- |\n| 1 2 | x\\|y |",
    ),
    Case("rule", MD, "A\n\n---\n\nB", "A\n\nB"),
    Case("crlf", MD, "A\r\n\r\nB\r\n", "A\n\nB"),
    Case("imports", MDX, "import X from './x'\nexport const a = {\n  b: 1\n}\n\nText.", "Text."),
    Case(
        "jsx", MDX, "<Note kind={(a) => b}>\n  Mind **this**.\n</Note>", "**Note:**\nMind **this**."
    ),
    Case("jsx-title", MDX, '<Tab title="Mac">\nA day.\n</Tab>', "**Mac**\nA day."),
    Case(
        "jsx-code",
        MDX,
        "```jsx\nimport X from 'x'\n<X/>\n```",
        "```jsx\nimport X from 'x'\n<X/>\n```",
    ),
    Case("jsx-indented", MDX, "<Tabs>\n    <Tab>\n    Text.\n    </Tab>\n</Tabs>", "Text."),
    Case("mdx-in-md", MD, "import X from '@site/x';\n\nText. <X />", "Text."),
    Case(
        "prose-import", MD, "import the file first\n\nThen go.", "import the file first\n\nThen go."
    ),
    Case(
        "page",
        HTML,
        "<html><head><title>T</title><style>x</style></head><body><nav>Home</nav>"
        "<main><p>A <b>b</b> <a href='/c'>c</a>.</p><script>d</script></main>"
        "<footer>E</footer></body></html>",
        "A **b** [c](/c).",
    ),
    Case(
        "html-list",
        HTML,
        "<ol start=3><li>A<ul><li>B</li></ul></li><li><p>C</p><pre>d\n e</pre></li></ol>",
        "3. A\n   - B\n4. C\n\n   ```\n   d\n    e\n   ```",
    ),
    Case(
        "spans",
        HTML,
        "<table><tr><th colspan=2>a</th></tr><tr><td rowspan=2>b</td><td>c</td></tr>"
        "<tr><td>d</td></tr></table>",
        "| a |  |\n| --- | --- |\n| b | c |\n| b | d |",
    ),
    Case("quote", HTML, "<blockquote><p>A</p><p>B</p></blockquote>", "> A\n>\n> B"),
    Case(
        "loose",
        HTML,
        "Loose <em>text</em><div>in <code>divs</code></div>",
        "Loose *text*\n\nin `divs`",
    ),
    Case("script-link", HTML, "<a href='javascript:alert(1)'>go</a>", "go"),
    Case("text", TEXT, "---\nA\nB\n\n\nC <b>\n", "---\nA\nB\n\nC <b>"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_text_survives(case: Case) -> None:
    assert body(case.source, case.media_type) == case.expected


@pytest.mark.parametrize(
    ("text", "media_type", "title"),
    [
        ("---\ntitle: 'From: front'\n---\n# H\n\nx", MD, "From: front"),
        ("# From **the** `heading`\n\nx", MD, "From the heading"),
        ("## Second level\n\nx", MD, "Change your plan"),
        ("<title>T</title><h1>From <b>h1</b></h1>x", HTML, "From h1"),
        ("<title>From title</title><p>x", HTML, "From title"),
        ("x", TEXT, "Change your plan"),
    ],
)
def test_the_title_is_settled_in_order(text: str, media_type: str, title: str) -> None:
    assert read(text, media_type).title == title


def test_heading_paths_follow_levels_and_leave_the_title_out() -> None:
    text = "# T\n\n0\n\n## A {#a}\n\n1\n\n### B\n\n2\n\n## C\n\n3\n\nSetext\n------\n\n4\n"
    paths = [(section.heading_path, section.text) for section in read(text).sections]
    assert paths == [
        ((), "0"),
        (("A",), "1"),
        (("A", "B"), "2"),
        (("C",), "3"),
        (("Setext",), "4"),
    ]


def test_sections_name_their_line_in_the_file() -> None:
    text = "---\ntitle: T\n---\n\nOne.\n\n## Two\n\n<!-- a\nb -->\n\n## Three\n\nx\n"
    assert [section.line for section in read(text).sections] == [5, 7, 12]
    assert [s.line for s in read("<p>a</p>\n\n<h2>B</h2>\n<p>c</p>", HTML).sections] == [1, 3]


def test_front_matter_is_typed_and_unknown_keys_are_kept() -> None:
    meta = read(
        "---\ntitle: T\nkind: policy\naudience: [customer, internal]\nlocale: de_DE\n"
        "product: billing\nurl: https://x.example\nupdated_at: 2026-09-14\n"
        "effective_from: 2026-03-01\n"
        "expires_at: 2026-03-31\nreview_by: 2027-03-01\nlabels: [a, b]\nodd: {x: 1.5}\n---\nBody"
    ).meta
    assert (meta.kind, meta.audience, meta.locale) == ("policy", ("customer", "internal"), "de-DE")
    assert meta.effective_from == 1772323200
    assert meta.expires_at == 1775001600, "the last valid day is part of it"
    assert meta.extra == {"review_by": "2027-03-01", "labels": ["a", "b"], "odd": {"x": 1.5}}


@pytest.mark.parametrize("key", ["last_updated", "lastmod", "published_at", "published", "date"])
def test_the_day_that_other_tools_write_is_the_day_of_a_page(key: str) -> None:
    assert read(f"---\n{key}: 2026-09-14\n---\nBody").meta.updated_at == 1789344000
    both = read(f"---\n{key}: 2020-01-01\nupdated_at: 2026-09-14\n---\nBody").meta
    assert both.updated_at == 1789344000
    if key == "published":
        with pytest.raises(InvalidInput, match="line 2: published is 'someday'"):
            read(f"---\n{key}: someday\n---\nBody")
    else:
        assert read(f"---\n{key}: someday\n---\nBody").meta.updated_at is None


def test_what_the_source_knows_gives_way_to_front_matter() -> None:
    fetched = Fetched(b"---\ntitle: Mine\n---\nx", MD, meta={"title": "Its", "url": "/a"})
    extracted = extract("a.md", fetched)
    assert (extracted.title, extracted.meta.url) == ("Mine", "/a")


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_text(coding: str) -> None:
    extracted = extract("a.md", Fetched("---\ntitle: Grüße\n---\nHallo".encode(coding), MD))
    assert (extracted.title, extracted.sections[0].text) == ("Grüße", "Hallo")


READERS = """
import subprocess

begun = []

class Counted(subprocess.Popen):
    def __init__(self, *args, **more):
        begun.append(args)
        super().__init__(*args, **more)

subprocess.Popen = Counted
held = b"x" * (600 << 20)  # as a server with its embedder holds
from ingestion.extract import Bounds, extract
from ingestion.sources import Fetched

for memory in (500, 501):  # readers of other bounds must not take the places
    extract("x.md", Fetched(b"# Title", "text/markdown"), bounds=Bounds(memory=memory))
for n in range(4):
    extract(f"{n}.md", Fetched(b"# Title", "text/markdown"))
print(len(begun))
"""


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="children are looked up in /proc")
def test_a_large_process_reads_document_after_document_with_one_reader() -> None:
    """A child's highest memory, as the kernel tells it, begins with what its parent held."""
    done = subprocess.run(
        [sys.executable, "-c", READERS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "3"
