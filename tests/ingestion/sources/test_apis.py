"""Intercom and GitHub releases, and wrong configs, by their documented shapes."""

from pathlib import Path
from typing import Any

import pytest

from ingestion.sources.feed import Feed
from ingestion.sources.github_releases import GitHubReleases
from ingestion.sources.intercom import Intercom
from ingestion.sources.web import Web
from ingestion.sync.pipeline import sync
from tests.ingestion.helpers import WORKSPACE, readable
from tests.ingestion.sources.web import Net, in_turn, metas, reply, texts
from twofold.errors import Forbidden, InvalidInput, NotFound, UpstreamError
from twofold.stack import Stack

INTERCOM = "https://api.intercom.io"
RELEASES = "https://api.github.com/repos/brack/water/releases?per_page=100"
FEED = "https://brack.example.com/releases.xml"


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_SECRET_TOKEN", "canary")
    monkeypatch.setenv("TWOFOLD_SECRET_TOKEN_HOST", "api.intercom.io, api.github.com")


def article(id: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "article",
        "id": str(id),
        "workspace_id": "ab12",
        "title": f"Title {id}",
        "description": "",
        "body": f"<p>Body {id}</p>",
        "author_id": 5,
        "state": "published",
        "created_at": 1672928359,
        "updated_at": 1672928610,
        "url": f"https://help.brack.example/en/articles/{id}",
        "parent_id": 31,
        "parent_ids": [31],
        "parent_type": "collection",
        "default_locale": "en",
        **changes,
    }


def listing(rows: list[dict[str, Any]], page: int = 1, of: int = 1) -> Any:
    pages = {"type": "pages", "page": page, "per_page": 50, "total_pages": of}
    if page < of:
        pages["next"] = {"page": page + 1}
    return reply({"type": "list", "pages": pages, "total_count": 99, "data": rows})


def intercom(*pages: list[dict[str, Any]]) -> Net:
    collections = listing([{"id": "31", "type": "collection", "name": "Billing"}])
    net = Net({f"{INTERCOM}/help_center/collections?page=1&per_page=50": collections})
    for number, rows in enumerate(pages, 1):
        net.pages[f"{INTERCOM}/articles?page={number}&per_page=50"] = listing(
            rows, number, len(pages)
        )
    return net


def of_intercom(net: Net, **config: Any) -> Intercom:
    return Intercom("ic", {"token_env": "TWOFOLD_SECRET_TOKEN", **config}, net.web())


def test_intercom_articles_of_all_pages_are_read_once() -> None:
    net = intercom([article(1), article(2)], [article(2), article(3)])
    assert sorted(texts(of_intercom(net))) == ["1/en", "2/en", "3/en"]
    assert net.asked[0].headers["authorization"] == "Bearer canary"
    assert net.asked[0].headers["intercom-version"] == "2.14"


def test_intercom_tells_state_language_and_place() -> None:
    content = {"type": "article_content", "title": "Titel", "body": "<p>Worte</p>"}
    said = {
        "type": "article_translated_content",
        "de": {**content, "state": "published", "updated_at": 1672928700, "url": "https://h/de"},
        "fr": {**content, "state": "draft"},
    }
    found = metas(of_intercom(intercom([article(1, translated_content=said)])))
    assert sorted(found) == ["1/de", "1/en"]
    assert found["1/de"] == {
        "audience": ["public"],
        "labels": ["Billing"],
        "title": "Titel",
        "url": "https://h/de",
        "locale": "de",
    }


def test_intercom_drafts_and_deleted_articles_disappear(stack: Stack) -> None:
    net = intercom([article(1), article(2), article(3)])
    sync(stack, WORKSPACE, of_intercom(net))
    net.pages |= intercom([article(1), article(2, state="draft")]).pages
    assert sync(stack, WORKSPACE, of_intercom(net)).removed == 2
    assert list(readable(stack)) == ["ic/1/en"]


def test_intercom_collections_and_internal_articles_have_their_audiences() -> None:
    net = intercom([article(1)])
    internal = {"id": 9, "type": "internal_article", "title": "T", "body": "<p>Secret</p>"}
    net.pages[f"{INTERCOM}/internal_articles?page=1&per_page=50"] = listing([internal])
    found = metas(of_intercom(net, audiences={"31": "customer"}, internal=True))
    assert {key: meta["audience"] for key, meta in found.items()} == {
        "1/en": ["customer"],
        "internal/9": ["internal"],
    }


@pytest.mark.parametrize(
    "answer",
    [
        reply(status=500),
        reply({"type": "error.list"}),
        reply({"type": "list", "data": [{"title": "x"}], "pages": {"total_pages": 1}}),
        reply({"type": "list", "data": [], "pages": {"total_pages": "2"}}),
        reply(b'{"type": "li', content_type="application/json"),
    ],
)
def test_intercom_listings_that_break_off_are_errors(answer: Any) -> None:
    net = intercom([article(1)], [])
    net.pages[f"{INTERCOM}/articles?page=2&per_page=50"] = answer
    with pytest.raises(UpstreamError):
        texts(of_intercom(net))


def release(id: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "html_url": f"https://github.com/brack/water/releases/tag/v{id}",
        "tag_name": f"v{id}",
        "name": f"Release {id}",
        "body": f"Fixes {id}.",
        "draft": False,
        "prerelease": False,
        "created_at": "2026-01-01T00:00:00Z",
        "published_at": "2026-01-02T00:00:00Z",
        **changes,
    }


def github(net: Net, state: Path | None = None, **config: Any) -> GitHubReleases:
    return GitHubReleases("gh", {"repository": "brack/water", **config}, net.web(state))


def test_github_releases_of_all_pages_are_read() -> None:
    link = f'<{RELEASES}&page=2>; rel="next", <{RELEASES}&page=2>; rel="last"'
    net = Net(
        {
            RELEASES: reply([release(3), release(2, name="")], link=link),
            f"{RELEASES}&page=2": reply([release(1)], link=f'<{RELEASES}>; rel="first"'),
        }
    )
    found = metas(github(net, token_env="TWOFOLD_SECRET_TOKEN"))
    assert sorted(found) == ["1", "2", "3"]
    assert found["2"] == {
        "audience": ["public"],
        "labels": ["v2"],
        "title": "v2",
        "url": "https://github.com/brack/water/releases/tag/v2",
        "kind": "release_note",
    }
    assert net.asked[1].headers["authorization"] == "Bearer canary"


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, ["1"]),
        ({"prereleases": True}, ["1", "3"]),
        ({"drafts": True}, ["1", "2"]),
        ({"drafts": True, "prereleases": True}, ["1", "2", "3"]),
    ],
)
def test_github_drafts_and_prereleases_are_an_option(
    config: dict[str, bool], found: list[str]
) -> None:
    rows = [release(1), release(2, draft=True), release(3, prerelease=True), release(4, body=None)]
    assert sorted(texts(github(Net({RELEASES: reply(rows)}), **config))) == found


def test_github_is_asked_conditionally(tmp_path: Path) -> None:
    net = Net({RELEASES: in_turn(reply([release(1)], etag='"1"'), reply(status=304))})
    first, second = texts(github(net, tmp_path)), texts(github(net, tmp_path))
    assert first == second == {"1": "Fixes 1."}
    assert net.asked[1].headers["if-none-match"] == '"1"'


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(status=404), NotFound),
        (reply(status=403), Forbidden),
        (reply(status=502), UpstreamError),
        (reply({"message": "x"}), UpstreamError),
        (reply([release(1)], link='<https://evil.com/next>; rel="next"'), UpstreamError),
        (reply([{"tag_name": "v1", "body": "x"}]), UpstreamError),
    ],
)
def test_github_errors_are_told(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        texts(github(Net({RELEASES: answer})))


def test_a_release_that_says_it_is_internal_is_told_to_nobody_else(stack: Stack) -> None:
    body = "---\naudience: [internal]\n---\n\nFixes."
    net = Net({RELEASES: reply([release(1, body=body)])})
    sync(stack, WORKSPACE, github(net))
    assert list(readable(stack)) == []
    assert readable(stack, "internal") == {"gh/1": ["Fixes."]}


@pytest.mark.parametrize(
    ("open_", "says"),
    [
        (lambda: GitHubReleases("x", {"repository": "../../etc"}, Web()), "repository: "),
        (
            lambda: GitHubReleases("x", {"repository": "a/b", "url": "http://10.0.0.1"}, Web()),
            "clo|p",
        ),
        (lambda: Intercom("x", {}, Web()), "token_env: it is missing"),
        (lambda: Intercom("x", {"token_env": "dG9rOmNhbmFyeQ="}, Web()), "name of a variable"),
        (lambda: Feed("x", {"url": "nonsense"}, Web()), "must start with https"),
        (lambda: Feed("x", {"url": FEED, "kind": "tale"}, Web()), "kind: it must be one of"),
    ],
)
def test_a_wrong_config_is_explained_without_its_secret(open_: Any, says: str) -> None:
    with pytest.raises((InvalidInput, Forbidden), match=says) as caught:
        open_()
    assert "dG9r" not in str(caught.value)
