"""Nothing in a text leads anywhere but to the hosts that are allowed, and the words stay."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from twofold.text.links import allowed, foreign, settled

HOSTS = frozenset({"help.acme.example"})
GOOD = "https://help.acme.example/refunds"
DISGUISES = [
    "[here](https://evil.test/x)", "[here]( <https://evil.test/x> \"t\")", "<https://evil.test>",
    "https://evil.test/x", "HTTPS://EVIL.TEST/", "http:/evil.test", "http:evil.test",
    "https:\\\\evil.test", "//evil.test/x", "\\\\evil.test\\x", "www.evil.test", "ftp://evil.test",
    "[here](//evil.test)", "[here](javascript:alert(1))", "[here](JaVaScRiPt&#58;alert(1))",
    "[here](data:text/html;base64,PHM+)", "javascript:alert(1)", "java\u200bscript:alert(1)",
    "vbscript:x", "[here][r]\n\n[r]: https://evil.test", "![x](https://evil.test/p.png)",
    "![x][r]\n\n[r]: https://evil.test/p.png", '<a href="https://evil.test">here</a>',
    "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<script>alert(1)</script>",
    "https://help.acme.example@evil.test/", "https://help.acme.example.evil.test/",
    "https://evil.test/https://help.acme.example/", "https://h\u0435lp.acme.example/",
    "https://help\u3002acme\u3002example/", "https://xn--hlp-bpa.acme.example/",
    "[https://help.acme.example](https://evil.test)", "[a](https://help.acme.example\\@evil.test)",
    "[a](https://help.acme.example%2eevil.test)", "&#104;ttps://evil.test", "ht\u2060tps://evil.test",
    "\uff48\uff54\uff54\uff50\uff53\uff1a\uff0f\uff0f\uff45\uff56\uff49\uff4c\uff0e\uff54\uff45\uff53\uff54",
    "[[x]](https://evil.test)", "[a\\]](https://evil.test)", "[a](https://evil.test",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "https://2130706433/", "https://user:pass@evil.test",
    "[a](\thttps://evil.test)", "[a](https://evil\u202e.test)", "mailto:evil@evil.test",
]  # fmt: skip


def targets(markdown: str) -> list[str]:
    """Where a renderer that makes links of everything it can would lead."""
    html = MarkdownIt("commonmark", {"html": True}).render(markdown)
    text = re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL)
    found = re.findall(r"""(?:href|src|on\w+)\s*=\s*["']?([^"'>\s]+)""", text)
    bare = re.sub(r"<[^>]*>", " ", text)
    return found + re.findall(
        r"(?:[a-z]+:)?(?://|\\\\)\S+|\bwww\.\S+|javascript:\S+", bare, re.IGNORECASE
    )


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_disguise_leads_away(disguise: str) -> None:
    shown = settled(f"Read this {disguise} now.", HOSTS)
    assert [each for each in targets(shown) if not allowed(each.rstrip("."), HOSTS)] == []
    assert settled(shown, HOSTS) == shown
    assert shown.startswith("Read this ")
    assert "<script" not in shown


@pytest.mark.parametrize(
    "kept", [f"See [the page]({GOOD}).", f"See {GOOD}.", "HTTPS://HELP.ACME.EXAMPLE/a",
             "a [1] b [2]",
             "at 10:30, std::vector, key:value, C:\\path", "`curl https://evil.test` in code",
             "```\ncurl https://evil.test\n```", "2 < 3 and a <your-key>", "R&D costs 5 &"],
)  # fmt: skip
def test_what_may_stand_stays(kept: str) -> None:
    assert settled(kept, HOSTS) == kept


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Write to [billing](mailto:b@x.example) with it.", "Write to billing with it."),
        ("Write to <mailto:b@x.example> with it.", "Write to b@x.example with it."),
        ("Your account at https://app.x.example/in?a=1.", "Your account at `app.x.example/in`."),
        ("See [verifying](verify.md) first.", "See verifying first."),
    ],
)
def test_only_the_link_goes(text: str, shown: str) -> None:
    assert settled(text, HOSTS) == shown


def test_foreign_addresses_are_named() -> None:
    assert foreign(f"[a]({GOOD}) https://evil.test/x. `https://code.test`", HOSTS) == [
        "https://evil.test/x"
    ]


PIECES = st.sampled_from(
    ["[", "]", "(", ")", "<", ">", "!", "https:", "//", "evil.test", "help.acme.example", "@", "\\",
     "javascript:", "&#58;", " ", "\n", "a", "[r]:", "`", "www.", "\u200b", "\"", "href=", "<a ",
     "/"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
def test_whatever_is_put_together_leads_nowhere(text: str) -> None:
    shown = settled(text, HOSTS)
    html = MarkdownIt("commonmark", {"html": True}).render(shown)
    found = re.findall(r"""<(?:a|img)\b[^>]*?(?:href|src)\s*=\s*["']?([^"'>\s]*)""", html)
    assert [each for each in found if not allowed(each, HOSTS)] == []
