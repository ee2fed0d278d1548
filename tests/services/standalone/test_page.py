"""The page in a real Chromium."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from services.answer import pipeline
from services.answer.contract import Ask
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.pipeline import Parts
from services.standalone.app import create_app
from tests.services.standalone.browser import Browser, chromium
from tests.services.standalone.serving import needs_weights, served, small_parts
from twofold.reply import Action, Citation, Escalation

pytestmark = [
    needs_weights,
    pytest.mark.skipif(
        chromium() is None and not os.environ.get("TWOFOLD_REQUIRE_SERVERS"),
        reason="chromium is not installed: apt-get install chromium",
    ),
]

ROLL = "How long does the old signing secret keep working after I roll it?"
LAST = "document.querySelector('.turn:last-child')"
Script = Callable[..., None]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with small_parts(tmp_path_factory.mktemp("page")) as parts:
        yield parts


@pytest.fixture(scope="module")
def url(parts: Parts) -> Iterator[str]:
    with served(create_app(parts)) as url:
        yield url


@pytest.fixture
def page(url: str, tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as page:
        page.size(1280, 860)
        load(page, url)
        yield page
        assert page.errors == []
        assert {request.split("/")[2] for request in page.requests} == {url.split("/")[2]}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Makes the next answers say what a test wants shown."""

    def say(
        text: str,
        *citations: Citation,
        action: Action = "ANSWER",
        escalation: Escalation | None = None,
        pieces: int = 3,
    ) -> None:
        done = Answered("a1", "c1", action, text, citations, escalation, "tuned")

        async def answer(_ask: Ask, _parts: Parts) -> AsyncIterator[Event]:
            yield Meta("a1", "c1")
            yield Acted(action, escalation, "tuned")
            for start in range(0, len(text), pieces):
                yield Delta(text[start : start + pieces])
            yield Cited(citations)
            yield Done(done)

        monkeypatch.setattr(pipeline, "answer", answer)

    return say


def load(page: Browser, url: str) -> None:
    page.open(url)
    page.wait("document.body && document.body.dataset.ready == 'yes'")


def ask(page: Browser, question: str) -> None:
    before = page.run("document.querySelectorAll('.feedback').length")
    page.run("document.querySelector('#question').focus()")
    page.type(question)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('.feedback').length == {before + 1}")


def text(page: Browser, selector: str) -> str:
    return str(page.run(f"{LAST}.querySelector('{selector}').textContent"))


def cite(
    quote: str = "A quote.", title: str = "A title", url: str = "https://x.example/"
) -> Citation:
    return Citation(1, "chunk", "id", "help/a.md", 3, title, url, quote)


def test_a_person_asks_and_sees_the_sources(page: Browser) -> None:
    assert page.run("document.querySelectorAll('.example').length") == 4
    ask(page, ROLL)
    assert "12 hours" in text(page, ".text")
    assert text(page, ".badge") == "Answer"
    page.run(f"{LAST}.querySelector('.mark').click()")
    assert page.run(f"{LAST}.querySelector('.source.open').dataset.n") == "1"
    assert "12 hours" in text(page, ".source.open .quote")
    link = page.run(f"{LAST}.querySelector('.source a').href")
    assert link == "https://help.brackwater.example/articles/rotate-signing-secret"
    assert "12 hours" in page.run("document.querySelector('#announce').textContent")


def test_a_reload_shows_the_same_conversation(page: Browser, url: str) -> None:
    ask(page, ROLL)
    page.run(f"{LAST}.querySelector('[data-rating=up]').click()")
    page.wait(f"{LAST}.querySelector('.said')")
    look = f"['.text', '.cited'].map((each) => {LAST}.querySelector(each).innerText).join()"
    before = page.run(look)
    load(page, url)
    assert page.run(look) == before
    assert page.run(f"{LAST}.querySelector('[data-rating=up]').ariaPressed") == "true"
    page.run("document.querySelector('#fresh').click()")
    load(page, url)
    assert page.run("document.querySelectorAll('.turn').length") == 0


def test_a_conversation_that_is_gone_starts_anew(page: Browser, url: str) -> None:
    page.run("localStorage.setItem('twofold.conversation', 'gone')")
    load(page, url)
    assert page.run("localStorage.getItem('twofold.conversation')") is None
    assert page.run("document.querySelector('#welcome').hidden") is False
    page.errors.clear()  # The browser itself logs the 404.


def test_an_escalation_names_its_team(page: Browser) -> None:
    ask(page, "My account was hacked and someone changed my password")
    assert text(page, ".badge") == "Handed to a person"
    assert text(page, ".handoff strong") == "Goes to our security team"


def test_a_refused_question_says_why(page: Browser, url: str) -> None:
    page.run("localStorage.setItem('twofold.conversation', 'gone')")
    page.run("document.querySelector('#question').removeAttribute('maxlength')")
    page.run(f"document.querySelector('#question').value = {'why ' * 2000!r}")
    page.run("document.querySelector('#form').requestSubmit()")
    page.wait(f"{LAST}?.querySelector('.failed')")
    assert "at most 4,000" in text(page, ".failed")
    page.errors.clear()  # The browser itself logs the 413.


ATTACKS = [
    '<img src=x onerror="window.hit=1">',
    "<script>window.hit=1</script>",
    "<svg onload=window.hit=1><iframe srcdoc='<script>parent.hit=1</script>'>",
    "[click](javascript:window.hit=1)",
    "[click](JaVaScRiPt:window.hit=1) [data](data:text/html,<script>hit=1</script>)",
    "[click](\tjavascript:window.hit=1) [vb](vbscript:x) [file](file:///etc/passwd)",
    '![pixel](http://tracker.example/pixel.png) ![x](https://tracker.example/a "b")',
    "[![pixel](http://tracker.example/p.png)](https://x.example)",
    "[1](javascript:window.hit=1) [2][1] [x]: javascript:window.hit=1",
    '<a href="javascript:window.hit=1">x</a> <style>*{display:none}</style>',
    "`<img src=x onerror=window.hit=1>` ```\n<script>window.hit=1</script>\n```",
    "| <img src=x onerror=window.hit=1> | b |\n|---|---|\n| <script>hit=1</script> | c |",
    "- <details open ontoggle=window.hit=1>\n> <form action=//tracker.example><input>",
    'https://x.example/"onmouseover="window.hit=1 http://[bad <b>bold</b>',
    "&lt;script&gt;window.hit=1&lt;/script&gt; &#60;img src=x onerror=window.hit=1&#62;",
]
ALLOWED = {
    *("P", "H3", "UL", "OL", "LI", "PRE", "CODE", "BLOCKQUOTE", "HR", "DIV", "TABLE", "THEAD"),
    *("TBODY", "TR", "TH", "TD", "STRONG", "EM", "A", "BUTTON"),
}


def test_markup_in_an_answer_is_text(page: Browser, script: Script) -> None:
    for attack in ATTACKS:
        script(f"{attack}\n\nSee [1].", cite(quote=attack, title=attack, url=attack), pieces=1)
        ask(page, "x")
        tags = page.run(f"[...{LAST}.querySelectorAll('.text *, .quote *')].map((n) => n.tagName)")
        assert set(tags) <= ALLOWED, attack
        links = page.run(f"[...{LAST}.querySelectorAll('a')].map((n) => n.href)")
        assert all(link.startswith(("https://x.example", "http://tracker")) for link in links), (
            attack
        )
        allowed = [
            "class",
            "href",
            "target",
            "rel",
            "type",
            "aria-label",
            "title",
            "start",
            "tabindex",
        ]
        named = page.run(
            f"[...{LAST}.querySelectorAll('.text *, .cited *')]"
            ".flatMap((n) => n.getAttributeNames())"
        )
        assert set(named) <= {*allowed, "data-n", "viewBox", "aria-hidden", "d"}, attack
    page.run(
        "document.querySelectorAll('.text *')"
        ".forEach((n) => n.dispatchEvent(new Event('mouseover')))"
    )
    assert page.run("window.hit") is None


def test_inline_script_would_not_run_anyway(page: Browser) -> None:
    page.run(
        "(() => { const s = document.createElement('script'); s.append('window.hit = 1');"
        " try { document.body.append(s) } catch {} })()"
    )
    assert page.run("window.hit") is None
    page.errors.clear()  # What the policy refused is logged as an error.


MARKDOWN = """\
## Steps

1. Open **Settings**. [1]
2. Choose *Roll* and wait:
   - `one` line
   - two

| Plan | Price |
|:--|--:|
| River | $249 |

```sh
bw roll <id>
```

[1]

> Quoted. See [the page](https://help.brackwater.example/a_(b)) or https://x.example/c_d."""


def test_markdown_becomes_what_it_means(page: Browser, script: Script) -> None:
    script(MARKDOWN, cite(), pieces=2)
    ask(page, "x")
    shape = page.run(
        f"[...{LAST}.querySelectorAll('.text > *')]"
        ".map((n) => n.tagName + '.' + n.className).join(' ')"
    )
    assert shape == "H3. OL. DIV.table PRE. P.cites BLOCKQUOTE."
    assert text(page, ".text ol > li:nth-child(2) ul code") == "one"
    assert text(page, ".text pre") == "bw roll <id>"
    assert text(page, ".text td:last-child") == "$249"
    assert page.run(f"{LAST}.querySelectorAll('.mark').length") == 2
    links = page.run(f"[...{LAST}.querySelectorAll('.text a')].map((n) => n.href)")
    assert links == ["https://help.brackwater.example/a_(b)", "https://x.example/c_d"]


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out(page: Browser, script: Script, width: int) -> None:
    page.size(width, 700)
    table = f"| {'t' * 90} | b |\n|-|-|\n| c | d |"
    script(
        f"{'w' * 300} `{'c' * 300}`\n\n```\n{'p' * 300}\n```\n\n{table}",
        cite(quote="q" * 300, title="t" * 200),
    )
    ask(page, "q" * 200)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelector('main').scrollWidth") <= width
    assert page.run("document.querySelector('#send').getBoundingClientRect().right") <= width


def test_the_keyboard_reaches_everything_that_can_be_used(page: Browser, script: Script) -> None:
    script("Yes. [1]", cite())
    ask(page, "x")
    page.run("document.querySelector('#audience').focus()")
    reached = []
    for _ in range(12):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.className"))
    for each in ("locale", "fresh", "mark", "number", "title", "tool", "question"):
        assert each in reached, reached
    unnamed = page.run(
        "[...document.querySelectorAll('button, select, textarea, a')].filter((n) =>"
        " !(n.ariaLabel || n.textContent.trim() || n.labels?.[0]?.textContent)).length"
    )
    assert unnamed == 0
