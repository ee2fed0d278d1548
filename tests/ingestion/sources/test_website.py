"""A website, page by page: what is found, kept, skipped, and asked for again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ingestion.confined import Bounds
from ingestion.extract import extract
from ingestion.sources.web import Web
from ingestion.sources.website import Website
from ingestion.sync.pipeline import sync
from tests.ingestion.helpers import WORKSPACE, readable
from tests.ingestion.sources.web import Net, html, in_turn, reply, texts, validated
from twofold.errors import Forbidden, InvalidInput, UpstreamError
from twofold.stack import Stack

SITE = "https://docs.example.com"
WORDS = "A paragraph that is long enough to be what the page is about, and then some more of it. "


def page(title: str, body: str = "", **head: str) -> str:
    extra = "".join(f'<link rel="{rel}" href="{href}">' for rel, href in head.items())
    return (
        f"<html lang=de><head><title>{title} | Docs</title>{extra}</head><body>"
        f"<nav><a href=/a>A</a></nav><main><h1>{title}</h1><p>{WORDS}{body}</p></main>"
        "<footer>Imprint</footer></body></html>"
    )


def sitemap(*urls: str, changed: str = "") -> str:
    mark = f"<lastmod>{changed}</lastmod>" if changed else ""
    rows = "".join(f"<url><loc>{SITE}{url}</loc>{mark}</url>" for url in urls)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'


def index(*urls: str) -> str:
    rows = "".join(f"<sitemap><loc>{SITE}{url}</loc></sitemap>" for url in urls)
    return (
        f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</sitemapindex>'
    )


def net(pages: dict[str, Any], *listed: str) -> Net:
    """A site whose sitemap lists `listed`, or all its pages."""
    made = Net({f"{SITE}{path}": answer for path, answer in pages.items()})
    made.pages.setdefault(f"{SITE}/sitemap.xml", reply(sitemap(*(listed or pages))))
    return made


def site(web: Web, **config: Any) -> Website:
    return Website("docs", {"url": f"{SITE}/", **config}, web)


def found(net: Net, state: Path | None = None, **config: Any) -> Sequence[str]:
    config.setdefault("requests_per_second", 50)
    return sorted(key.removeprefix(SITE) for key in texts(site(net.web(state), **config)))


def test_pages_of_the_sitemap_become_documents() -> None:
    web = net({"/a": html(page("Apples")), "/b": html(page("Berries"))})
    website = site(web.web(), audience="customer", labels="docs", requests_per_second=50)
    (first, _second) = list(website.discover())
    fetched = first.fetch()
    assert first.external_id == f"{SITE}/a"
    assert "Imprint" not in fetched.raw.decode()
    assert fetched.meta == {
        "audience": ["customer"],
        "labels": ["docs"],
        "title": "Apples",
        "url": f"{SITE}/a",
        "locale": "de",
    }


def test_a_sitemap_index_of_two_levels_is_followed() -> None:
    web = net({"/a": html(page("A")), "/b": html(page("B"))})
    web.pages[f"{SITE}/sitemap.xml"] = reply(index("/one.xml", "/two.xml"))
    web.pages[f"{SITE}/one.xml"] = reply(sitemap("/a", changed="2026-03-01T10:00:00Z"))
    web.pages[f"{SITE}/two.xml"] = reply(index("/three.xml"))
    web.pages[f"{SITE}/three.xml"] = reply(sitemap("/b", changed="2026-03-01"))
    assert found(web) == ["/a", "/b"]


@pytest.mark.parametrize(
    "answer",
    [
        reply(status=500),
        reply("<urlset><url>"),
        reply('<!DOCTYPE x [<!ENTITY a "b">]><urlset/>'),
    ],
)
def test_a_sitemap_that_cannot_be_read_changes_nothing(answer: Any, stack: Stack) -> None:
    web = net({"/a": html(page("A"))})
    source = site(web.web(stack.settings.home), requests_per_second=50)
    sync(stack, WORKSPACE, source)
    web.pages[f"{SITE}/sitemap.xml"] = answer
    with pytest.raises(UpstreamError):
        sync(stack, WORKSPACE, source)
    assert list(readable(stack)) == [f"docs/{SITE}/a"]


@pytest.mark.parametrize(
    "answer",
    [reply(status=404), reply(status=500), html("<html>Sorry"), reply("<urlset><url>")],
    ids=["gone", "down", "page", "broken"],
)
def test_one_child_sitemap_that_fails_removes_nothing_and_says_so(
    answer: Any, stack: Stack
) -> None:
    web = net({"/a": html(page("A")), "/b": html(page("B", "b"))})
    web.pages[f"{SITE}/sitemap.xml"] = reply(index("/one.xml", "/two.xml"))
    web.pages[f"{SITE}/one.xml"] = reply(sitemap("/a"))
    web.pages[f"{SITE}/two.xml"] = reply(sitemap("/b"))
    source = site(web.web(attempts=1), requests_per_second=50)
    assert sync(stack, WORKSPACE, source).added == 2
    web.pages[f"{SITE}/two.xml"] = answer
    web.pages[f"{SITE}/a"] = html(page("A", "New."))
    report = sync(stack, WORKSPACE, source)
    assert (report.changed, report.removed) == (1, 0)
    assert "two.xml" in report.remark
    assert "nothing was removed" in report.remark
    assert len(readable(stack)) == 2
    web.pages[f"{SITE}/sitemap.xml"] = reply(index("/one.xml"))
    whole = sync(stack, WORKSPACE, source)
    assert (whole.removed, whole.remark) == (1, "")


def test_a_sitemap_that_is_a_page_is_none_and_links_are_followed() -> None:
    web = net({"/": html(page("Home", '<a href="b">b</a>')), "/b": html(page("B", "b"))})
    web.pages[f"{SITE}/sitemap.xml"] = html("<!doctype html><html><body>App</body></html>")
    assert found(web) == ["/", "/b"]


def test_pages_that_ask_not_to_be_found_are_not_told(stack: Stack) -> None:
    closed = page("C").replace("<title>", "<meta name=ROBOTS content='noindex'><title>")
    header = {"x-robots-tag": "googlebot: noindex, nofollow"}
    web = net({"/a": html(page("A")), "/b": html(page("B", "b")), "/c": html(page("C"))})
    source = site(web.web(), requests_per_second=50)
    assert sync(stack, WORKSPACE, source).added == 3
    web.pages[f"{SITE}/b"] = html(page("B", "b"), **header)
    web.pages[f"{SITE}/c"] = html(closed)
    report = sync(stack, WORKSPACE, source)
    assert (report.skipped, report.removed) == (2, 2)
    assert all("noindex" in each.reason for each in report.left_out)
    assert list(readable(stack)) == [f"docs/{SITE}/a"]


def test_different_pages_that_name_one_original_are_all_kept() -> None:
    pages = {
        f"/{name}": html(
            f"<head><link rel=canonical href=/></head><main><h1>{name}</h1><p>{text}</p></main>"
        )
        for name, text in (
            ("", "The start of our help pages."),
            ("fees", "The monthly fee is 12 EUR, due on the first."),
            ("hours", "We are there from nine to five on workdays."),
            ("copy", "The start of our help pages."),
        )
    }
    web = net(pages)
    assert "/fees" in found(web)
    assert "/hours" in found(web)
    assert "/" in found(web)


def test_what_most_pages_begin_and_end_with_is_kept_once(stack: Stack) -> None:
    pages = {
        f"/{n}": html(
            f"<body><div class=top>Call 0800 55 for help</div><h1>Part {n}</h1>"
            f"<p>Part number {n} weighs {n + 40} kg and is blue.</p>"
            "<div id=cookies>We use cookies on this site</div></body>"
        )
        for n in range(6)
    }
    source = site(net(pages).web(), requests_per_second=50)
    sync(stack, WORKSPACE, source)
    said = {key: " ".join(texts) for key, texts in readable(stack).items()}
    for n in range(6):
        text = said[f"docs/{SITE}/{n}"]
        assert f"{n + 40} kg" in text
        assert ("0800 55" in text, "cookies" in text) == (n == 0, n == 0)


def test_names_that_sound_like_noise_are_content() -> None:
    body = "".join(
        f"<section id={name}><p>Our {name} page says {at} things of interest.</p></section>"
        for at, name in enumerate(("share-a-tool", "feedback", "promo-code", "related-info"))
    )
    (text,) = texts(site(net({"/a": html(f"<body>{body}</body>")}).web())).values()
    assert all(f"says {at} things" in text for at in range(4))


def test_robots_are_obeyed() -> None:
    web = net({"/a": html(page("A")), "/private/b": html(page("B"))})
    web.pages[f"{SITE}/robots.txt"] = reply("User-agent: *\nDisallow: /private/")
    assert found(web) == ["/a"]
    assert f"{SITE}/private/b" not in web.urls


def test_robots_name_the_sitemap_and_an_error_there_stops_the_sync() -> None:
    web = net({"/a": html(page("A"))})
    web.pages[f"{SITE}/map.xml"] = web.pages.pop(f"{SITE}/sitemap.xml")
    web.pages[f"{SITE}/robots.txt"] = reply(f"Sitemap: {SITE}/map.xml")
    assert found(web) == ["/a"]
    web.pages[f"{SITE}/robots.txt"] = reply(status=500)
    with pytest.raises(UpstreamError):
        found(web)


def test_patterns_narrow_what_is_read() -> None:
    web = net({path: html(page(path)) for path in ("/help/a", "/help/old/b", "/blog/c")})
    assert found(web, include="/help/*", exclude=["/help/old/*"]) == ["/help/a"]
    assert f"{SITE}/blog/c" not in web.urls


def test_one_page_under_several_addresses_is_one_document() -> None:
    same = html(page("A", canonical="/a"))
    web = net({"/a": same, "/a?utm_source=mail": same, "/copy": same, "/b": html(page("B"))})
    assert found(web) == ["/a", "/b"]


def test_a_page_cannot_speak_for_another_site() -> None:
    web = net({"/a": html(page("A", canonical="https://evil.example.com/a"))})
    assert found(web) == ["/a"]


def test_without_a_sitemap_links_are_followed() -> None:
    web = net({"/": html(page("Home", '<a href="b#x">b</a>')), "/a": html(page("A"))})
    web.pages[f"{SITE}/b"] = html(page("B", '<a href="https://other.com/">o</a>'))
    del web.pages[f"{SITE}/sitemap.xml"]
    assert found(web) == ["/", "/a", "/b"]
    assert "https://other.com/" not in web.urls


def test_what_is_not_modified_is_not_sent_again(tmp_path: Path, stack: Stack) -> None:
    web = net({"/a": validated(page("A"), '"1"'), "/b": html(page("B"))})
    source = site(web.web(tmp_path), requests_per_second=50)
    assert sync(stack, WORKSPACE, source).added == 2
    report = sync(stack, WORKSPACE, site(web.web(tmp_path), requests_per_second=50))
    assert (report.unchanged, report.changed) == (2, 0)
    assert web.asked[-2].headers["if-none-match"] == '"1"'
    web.pages[f"{SITE}/a"] = validated(page("A", "More."), '"2"')
    assert sync(stack, WORKSPACE, source).changed == 1


def test_what_stands_around_a_page_does_not_change_it(stack: Stack) -> None:
    first = page("A")
    second = first.replace("Imprint", "Imprint 2").replace("<nav>", "<script>var t=2</script><nav>")
    web = net({"/a": in_turn(html(first), html(second))})
    source = site(web.web(), requests_per_second=50)
    sync(stack, WORKSPACE, source)
    assert sync(stack, WORKSPACE, source).unchanged == 1


@pytest.mark.parametrize("status", [404, 410, 403, 401])
def test_a_page_that_is_gone_or_closed_disappears(status: int, stack: Stack) -> None:
    web = net({"/a": html(page("A")), "/b": html(page("B"))})
    source = site(web.web(), requests_per_second=50)
    sync(stack, WORKSPACE, source)
    web.pages[f"{SITE}/b"] = reply(status=status)
    assert sync(stack, WORKSPACE, source).removed == 1
    assert list(readable(stack)) == [f"docs/{SITE}/a"]


@pytest.mark.parametrize("answer", [reply(status=500), html("<p>cut", content_length="99999")])
def test_a_page_that_fails_keeps_what_was_live(answer: Any, stack: Stack, tmp_path: Path) -> None:
    canonical = html(page("B", canonical=f"{SITE}/b-named"))
    web = net({"/a": html(page("A")), "/b": canonical})
    source = site(web.web(tmp_path, attempts=1), requests_per_second=50)
    sync(stack, WORKSPACE, source)
    web.pages[f"{SITE}/b"] = answer
    report = sync(stack, WORKSPACE, source)
    assert (report.failed, report.removed) == (1, 0)
    assert sorted(readable(stack)) == [f"docs/{SITE}/a", f"docs/{SITE}/b-named"]


def test_a_site_that_shuts_us_out_is_not_an_empty_site(stack: Stack) -> None:
    web = net({f"/{n}": html(page(f"P{n}")) for n in range(12)})
    source = site(web.web(), requests_per_second=50)
    sync(stack, WORKSPACE, source)
    web.pages |= {f"{SITE}/{n}": reply(status=403) for n in range(12)}
    with pytest.raises(UpstreamError, match="in a row"):
        sync(stack, WORKSPACE, source)
    assert len(readable(stack)) == 12


def test_a_redirect_out_of_the_site_is_left_out() -> None:
    web = net({"/a": reply(status=302, location="https://other.com/"), "/b": html(page("B"))})
    web.pages["https://other.com/"] = html(page("Other"))
    assert found(web) == ["/b"]


@pytest.mark.parametrize(
    ("said", "source", "readers"),
    [
        ("public", "public", "public"),
        ("public", "internal", "internal"),
        ("Internal", "public", "internal"),
    ],
)
def test_a_page_may_shut_readers_out_and_let_none_in(said: str, source: str, readers: str) -> None:
    text = f"---\naudience: [{said}]\n---\n# Hi\n\nText."
    web = net({"/a": reply(text, content_type="text/markdown")})
    (found,) = site(web.web(), audience=source).discover()
    assert extract(found.external_id, found.fetch()).meta.audience == (readers,)


def test_content_and_without_choose_by_selector() -> None:
    body = f"<body><div id=x><p>{WORDS}</p><p class=ad>Buy</p></div><main>no</main></body>"
    web = net({"/a": html(body)})
    (text,) = texts(site(web.web(), content="#x", without=".ad")).values()
    assert ("Buy" in text, "no<" in text, WORDS.strip()[:20] in text) == (False, False, True)
    report = list(site(web.web(), content="#none").discover())
    with pytest.raises(InvalidInput, match="matches the selector"):
        report[0].fetch()


def test_main_content_keeps_headings_tables_lists_and_code() -> None:
    inner = (
        f"<h2 id=h>Plans</h2><table><tr><th>Plan</th></tr><tr><td>Pro</td></tr></table>"
        f"<ol><li>{WORDS}</li></ol><pre>run --now</pre><a href='../x'>x</a>"
    )
    body = (
        f"<html><body><div class=sidebar><a href=/q>{WORDS}</a></div><div class=wrap><div>{inner}"
        f"</div><div class='was-helpful feedback'>Was this helpful?</div></div></body></html>"
    )
    (text,) = texts(site(net({"/p/a": html(body)}).web())).values()
    for kept in ("<h2", "<table", "<ol>", "<pre>", f"{SITE}/x"):
        assert kept in text
    for dropped in ("/q", "helpful"):
        assert dropped not in text


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"url": "ftp://x.com"}, "must start with https"),
        ({"url": f"{SITE}/", "colour": "red"}, "colour: there is no such key"),
        ({}, "url: it is missing"),
        ({"url": f"{SITE}/", "max_pages": "many"}, "max_pages: "),
        ({"url": f"{SITE}/", "audience": "No One"}, "audience.0: it must be a name"),
        ({"url": "http://127.0.0.1/"}, "private or reserved"),
    ],
)
def test_a_wrong_config_is_explained(config: dict[str, Any], says: str) -> None:
    with pytest.raises((InvalidInput, Forbidden), match=says):
        Website("docs", config, Web())


@pytest.mark.heavy
@pytest.mark.parametrize(
    "made", ["<aside>" * 60_000 + WORDS, "<div>" * 60_000 + WORDS], ids=["asides", "boxes"]
)
def test_a_page_made_to_hold_its_reader_fails_alone(made: str) -> None:
    web = net({"/a": html(page("A")), "/b": html(f"<body>{made}")}).web()
    quick = web._replace(bounds=Bounds(cpu=1, wall=10.0, memory=400, output=8))
    first, second = site(quick, requests_per_second=50).discover()
    assert WORDS.strip() in first.fetch().raw.decode()
    with pytest.raises(InvalidInput):
        second.fetch()


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "utf-7", "zlib", "none/such"])
def test_a_page_that_names_no_coding_of_the_web_is_read_all_the_same(charset: str) -> None:
    body = page("A", "Zwölf. " * 2000)
    web = net({"/a": reply(body, content_type=f"text/html; charset={charset}")})
    (text,) = texts(site(web.web())).values()
    assert "Zwölf" in text


def test_a_day_that_is_none_is_no_day() -> None:
    day = "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"
    web = net({"/a": html(page("A"), last_modified=day)})
    assert found(web) == ["/a"]


@pytest.mark.heavy
def test_a_sitemap_made_to_fill_its_reader_is_given_up() -> None:
    """In another coding than the one that is looked through for entities."""
    entities = f'<!DOCTYPE u [<!ENTITY a "{"x" * 100_000}">]>'
    bomb = f"<?xml version='1.0'?>{entities}<urlset><url><loc>{'&a;' * 20_000}</loc></url></urlset>"
    web = net({"/a": html(page("A"))})
    web.pages[f"{SITE}/sitemap.xml"] = reply(bomb.encode("utf-16-le"))
    with pytest.raises(UpstreamError):
        found(web)


def test_robots_that_name_more_sitemaps_than_a_site_has_are_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingestion.sources.sitemap.MAX_SITEMAPS", 20)
    web = net({"/a": html(page("A"))})
    named = "\n".join(f"Sitemap: {SITE}/{n}.xml" for n in range(300))
    web.pages[f"{SITE}/robots.txt"] = reply(named)
    with pytest.raises(UpstreamError, match="over 20 sitemaps"):
        found(web)
    assert len(web.asked) < 25


def test_robots_that_name_more_robots_than_there_are_are_not_read() -> None:
    web = net({"/a": html(page("A"))})
    names = "\n".join(f"User-agent: r{n}" for n in range(10_000))
    rules = "\n".join(f"Disallow: /{n}" for n in range(10_000))
    web.pages[f"{SITE}/robots.txt"] = reply(f"{names}\n{rules}")
    with pytest.raises(UpstreamError, match="too many robots"):
        found(web)


def test_a_site_over_its_bound_is_told_not_cut() -> None:
    with pytest.raises(InvalidInput, match="over 2 pages"):
        found(net({f"/{n}": html(page("x")) for n in range(3)}), max_pages=2)
