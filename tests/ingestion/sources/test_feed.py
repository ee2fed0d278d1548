"""RSS and Atom feeds: entries, older pages, and what is no feed."""

from pathlib import Path
from typing import Any

import pytest

from ingestion.confined import Bounds
from ingestion.sources.feed import Feed
from ingestion.sync.pipeline import sync
from tests.ingestion.helpers import WORKSPACE
from tests.ingestion.sources.web import Net, reply, texts
from twofold.errors import UpstreamError
from twofold.stack import Stack

FEED = "https://brack.example.com/releases.xml"


def rss(*items: str, head: str = "") -> Any:
    rows = "".join(
        f"<item><guid>urn:{name}</guid><title>T {name}</title><link>https://b.example/{name}</link>"
        f"<pubDate>Tue, 03 Mar 2026 10:00:00 GMT</pubDate><category>fix</category>"
        f"<description>&lt;p&gt;Short {name}&lt;/p&gt;</description>"
        f"<content:encoded><![CDATA[<p>All of {name}</p>]]></content:encoded></item>"
        for name in items
    )
    return reply(
        '<?xml version="1.0"?><rss version="2.0" xmlns:content='
        '"http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom">'
        f"<channel><title>Releases</title>{head}{rows}</channel></rss>",
        content_type="application/rss+xml",
    )


def feed(net: Net, state: Path | None = None, **config: Any) -> Feed:
    return Feed("news", {"url": FEED, **config}, net.web(state))


def test_rss_entries_become_release_notes() -> None:
    (item,) = list(feed(Net({FEED: rss("a")}), locale="en").discover())
    fetched = item.fetch()
    assert (item.external_id, fetched.raw) == ("urn:a", b"<p>All of a</p>")
    assert fetched.updated_at == 1772532000
    assert fetched.meta == {
        "audience": ["public"],
        "labels": ["fix"],
        "title": "T a",
        "url": "https://b.example/a",
        "locale": "en",
        "kind": "release_note",
    }


def test_atom_is_read_too_and_older_pages_are_followed() -> None:
    def atom(name: str, link: str = "") -> Any:
        return reply(
            f'<feed xmlns="http://www.w3.org/2005/Atom"><title>R</title><id>f</id>{link}'
            f"<entry><id>urn:{name}</id><title>{name}</title><updated>2026-03-01T00:00:00Z</updated>"
            f'<content type="html">&lt;b&gt;{name}&lt;/b&gt;</content></entry></feed>',
            content_type="application/atom+xml",
        )

    net = Net({FEED: atom("new", '<link rel="next" href="/old.xml"/>')})
    net.pages["https://brack.example.com/old.xml"] = atom("old")
    assert texts(feed(net)) == {"urn:new": "<b>new</b>", "urn:old": "<b>old</b>"}


def test_entries_that_leave_the_feed_stay_unless_told_otherwise(
    stack: Stack, tmp_path: Path
) -> None:
    net = Net({FEED: rss("a", "b")})
    sync(stack, WORKSPACE, feed(net, tmp_path))
    net.pages[FEED] = rss("b", "c")
    report = sync(stack, WORKSPACE, feed(net, tmp_path))
    assert (report.added, report.removed, report.unchanged) == (1, 0, 2)
    assert sync(stack, WORKSPACE, feed(net, tmp_path, keep_older=False)).removed == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply("<html>no</html>", content_type="text/html"),
        reply("<rss><channel><item>", content_type="text/xml"),
        reply("<rss version='2.0'><channel><title>x</title><item>", content_type="text/xml"),
        reply('<!DOCTYPE r [<!ENTITY a "b">]><rss/>', content_type="text/xml"),
        reply("", content_type="text/xml"),
        reply(status=500),
    ],
)
def test_what_is_no_whole_feed_is_an_error(answer: Any) -> None:
    with pytest.raises(UpstreamError):
        texts(feed(Net({FEED: answer})))


@pytest.mark.heavy
def test_a_feed_made_to_hold_its_reader_is_given_up() -> None:
    """Its reader's patterns take time to the square of blank lines, and hold the whole process."""
    head = '<?xml version="1.0"?>' + "\n" * 400_000
    lines = reply(head + '<rss version="2.0"/>', content_type="text/xml")
    web = Net({FEED: lines}).web()._replace(bounds=Bounds(cpu=1, wall=10.0))
    with pytest.raises(UpstreamError, match=r"releases\.xml.*takes over 1 s"):
        list(Feed("news", {"url": FEED}, web).discover())


def test_a_date_that_is_none_leaves_the_entry_as_it_is() -> None:
    def at(moment: str) -> Any:
        entry = (
            f"<entry><id>urn:a</id><title>a</title><updated>{moment}</updated><summary>s</summary>"
        )
        whole = f'<feed xmlns="http://www.w3.org/2005/Atom"><title>R</title>{entry}</entry></feed>'
        return reply(whole, content_type="application/atom+xml")

    for moment in ("0000-01-01T00:00:00Z", "99999-99-99T99:99:99Z", "0001-01-01T00:00:00+23:59"):
        assert texts(feed(Net({FEED: at(moment)}))) == {"urn:a": "s"}, moment


def test_scripts_of_a_feed_do_not_come_through() -> None:
    net = Net({FEED: rss("a<script>alert(1)</script>".replace("<", "&lt;"))})
    assert "<script" not in "".join(texts(feed(net)).values())
