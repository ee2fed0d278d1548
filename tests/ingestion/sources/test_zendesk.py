"""Zendesk's documented shapes: listings, translations, segments, and the incremental export."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingestion.sources.zendesk import Zendesk
from ingestion.sync.pipeline import sync
from tests.ingestion.helpers import WORKSPACE, readable
from tests.ingestion.sources.web import Net, in_turn, metas, reply, texts
from twofold.errors import Forbidden, InvalidInput, SetupError, UpstreamError
from twofold.stack import Stack

ROOT = "https://brack.zendesk.com/api/v2/help_center"
SIGNED_IN, STAFF, VIP = 101, 102, 103


def article(id: int, body: str = "Words.", **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "url": f"{ROOT}/en-us/articles/{id}.json",
        "html_url": f"https://brack.zendesk.com/hc/en-us/articles/{id}",
        "author_id": 7,
        "draft": False,
        "section_id": 20,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-02-03T04:05:06Z",
        "name": f"Title {id}",
        "title": f"Title {id}",
        "source_locale": "en-us",
        "locale": "en-us",
        "outdated": False,
        "user_segment_id": None,
        "user_segment_ids": [],
        "permission_group_id": 9,
        "label_names": [],
        "body": f"<p>{body}</p>",
        **changes,
    }


def segment(id: int, user_type: str, **changes: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {key: [] for key in ("group_ids", "organization_ids", "tags")}
    return {"id": id, "name": "x", "user_type": user_type, "built_in": True, **lists, **changes}


class Center(Net):
    """A help center as Zendesk serves it, changed by changing `articles`."""

    def __init__(self, *articles: dict[str, Any], locales: tuple[str, ...] = ("en-us",)) -> None:
        super().__init__()
        self.articles = list(articles)
        self.locales = locales
        self.segments = [
            segment(SIGNED_IN, "signed_in_users"),
            segment(STAFF, "staff"),
            segment(VIP, "signed_in_users", tags=["vip"], built_in=False),
        ]
        self.changed: list[dict[str, Any]] = []
        self.translations: dict[int, list[dict[str, Any]]] = {}
        self.per_page = 100

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) in self.pages:
            return super().handle_request(request)
        self.asked.append(request)
        return reply(self._answer(request))(request)

    def _answer(self, request: httpx.Request) -> dict[str, Any]:
        path = request.url.path.removeprefix("/api/v2/help_center/").removesuffix(".json")
        params = request.url.params
        locale, _, name = path.rpartition("/")
        if path == "locales":
            return {"locales": list(self.locales), "default_locale": self.locales[0]}
        if path == "user_segments":
            return {"user_segments": self.segments, "next_page": None, "count": 3}
        if name == "categories":
            return {"categories": [{"id": 10, "name": "Billing"}], "next_page": None}
        if name == "sections":
            rows = [{"id": 20, "category_id": 10, "name": "Invoices"}]
            return {"sections": rows, "next_page": None}
        if path == "incremental/articles":
            end = int(params["start_time"]) + (10 if self.changed else 0)
            url = f"{ROOT}/incremental/articles.json?start_time={end}"
            found, self.changed = self.changed, []
            return {"articles": found, "count": len(found), "end_time": end, "next_page": url}
        if name == "translations":
            return {"translations": self.translations[int(path.split("/")[1])], "next_page": None}
        rows = [each for each in self.articles if each["locale"] == locale]
        if "per_page" in params:
            return {"articles": rows[:1], "count": len(rows), "page": 1, "next_page": None}
        at = int(params.get("page[after]", 0))
        end = at + self.per_page
        more = end < len(rows)
        following = f"{ROOT}/{locale}/articles.json?page[size]=100&page[after]={end}"
        links = {"next": following if more else None, "prev": None}
        return {"articles": rows[at:end], "meta": {"has_more": more}, "links": links}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_SECRET_ZENDESK", "canary")
    monkeypatch.setenv("TWOFOLD_SECRET_ZENDESK_HOST", "brack.zendesk.com")


def source(net: Net, state: Path | None = None, **config: Any) -> Zendesk:
    signed = {"email": "bot@brack.example", "token_env": "TWOFOLD_SECRET_ZENDESK"}
    url = "https://brack.zendesk.com"
    return Zendesk("zen", {"url": url, **signed, **config}, net.web(state))


def test_an_article_becomes_a_document() -> None:
    net = Center(article(1, label_names=["vat"]))
    (item,) = list(source(net).discover())
    fetched = item.fetch()
    assert (item.external_id, fetched.raw, fetched.media_type) == (
        "1/en-us",
        b"<p>Words.</p>",
        "text/html",
    )
    assert fetched.updated_at == 1770091506
    assert fetched.meta == {
        "audience": ["public"],
        "labels": ["Billing", "Invoices", "vat"],
        "title": "Title 1",
        "url": "https://brack.zendesk.com/hc/en-us/articles/1",
        "locale": "en-us",
    }
    token = base64.b64encode(b"bot@brack.example/token:canary").decode()
    assert {request.headers["authorization"] for request in net.asked} == {f"Basic {token}"}


def test_every_page_and_every_language_is_read() -> None:
    german = [article(n, locale="de", body="Worte.") for n in range(3)]
    net = Center(*(article(n) for n in range(7)), *german, locales=("de", "en-us"))
    net.per_page = 3
    found = texts(source(net))
    assert len(found) == 10
    assert found["2/de"] == "<p>Worte.</p>"
    assert len(texts(source(net, locales="de"))) == 3


@pytest.mark.parametrize(
    ("changes", "audience"),
    [
        ({}, ["public"]),
        ({"user_segment_id": SIGNED_IN}, ["customer"]),
        ({"user_segment_id": STAFF}, ["internal"]),
        ({"user_segment_id": VIP}, ["segment:103"]),
        ({"user_segment_id": 999}, ["segment:999"]),
        ({"user_segment_ids": [SIGNED_IN, VIP]}, ["customer", "segment:103"]),
        ({"user_segment_id": 55}, ["partner"]),
    ],
)
def test_segments_become_audiences(changes: dict[str, Any], audience: list[str]) -> None:
    found = metas(source(Center(article(1, **changes)), audiences={"55": "partner"}))
    assert found["1/en-us"]["audience"] == audience


def test_without_a_token_only_public_articles_come_and_staff_endpoints_are_left_alone() -> None:
    net = Center(article(1))
    found = metas(Zendesk("zen", {"url": "https://brack.zendesk.com"}, net.web()))
    assert found["1/en-us"]["audience"] == ["public"]
    assert not any("user_segments" in url or "incremental" in url for url in net.urls)
    assert all("authorization" not in request.headers for request in net.asked)


def test_drafts_are_left_out_and_an_article_that_becomes_one_disappears(
    stack: Stack, tmp_path: Path
) -> None:
    net = Center(article(1), article(2, draft=True), article(3))
    sync(stack, WORKSPACE, source(net, tmp_path))
    assert list(readable(stack)) == ["zen/1/en-us", "zen/3/en-us"]
    net.articles[2] = article(3, draft=True)
    net.changed = [net.articles[2]]
    net.translations[3] = [{**net.articles[2], "source_id": 3}]
    report = sync(stack, WORKSPACE, source(net, tmp_path))
    assert (report.unchanged, report.removed) == (1, 1)
    assert list(readable(stack)) == ["zen/1/en-us"]


def test_after_the_first_sync_only_changes_are_read(stack: Stack, tmp_path: Path) -> None:
    net = Center(*(article(n) for n in range(5)))
    sync(stack, WORKSPACE, source(net, tmp_path))
    net.asked.clear()
    net.articles[4] = article(4, body="New words.")
    net.changed = [net.articles[4]]
    net.translations[4] = [net.articles[4]]
    report = sync(stack, WORKSPACE, source(net, tmp_path))
    assert (report.changed, report.unchanged) == (1, 4)
    assert not any("page%5Bsize%5D=100" in url and "/articles.json" in url for url in net.urls)
    assert readable(stack)["zen/4/en-us"] == ["New words."]


def test_a_deleted_article_disappears_at_the_next_sync(stack: Stack, tmp_path: Path) -> None:
    net = Center(article(1), article(2))
    sync(stack, WORKSPACE, source(net, tmp_path))
    net.articles.pop()
    assert sync(stack, WORKSPACE, source(net, tmp_path)).removed == 1


def test_one_deleted_and_one_added_are_told_apart(stack: Stack, tmp_path: Path) -> None:
    net = Center(article(1), article(2))
    sync(stack, WORKSPACE, source(net, tmp_path))
    net.articles[1] = article(3)
    net.changed, net.translations[3] = [net.articles[1]], [net.articles[1]]
    report = sync(stack, WORKSPACE, source(net, tmp_path))
    assert (report.added, report.removed) == (1, 1)


def test_a_narrowed_segment_narrows_at_the_next_sync(stack: Stack, tmp_path: Path) -> None:
    net = Center(article(1))
    sync(stack, WORKSPACE, source(net, tmp_path))
    net.articles[0] = article(1, user_segment_id=STAFF)
    net.changed, net.translations[1] = [net.articles[0]], [net.articles[0]]
    sync(stack, WORKSPACE, source(net, tmp_path))
    assert (readable(stack), list(readable(stack, "internal"))) == ({}, ["zen/1/en-us"])


LIST = f"{ROOT}/en-us/articles.json?page%5Bsize%5D=100"


@pytest.mark.parametrize(
    "answer",
    [
        reply(status=500),
        reply(b'{"articles": [', content_type="application/json"),
        reply({"error": "RecordNotFound"}),
        reply({"articles": None}),
        reply({"articles": [{"title": "no id"}]}),
        reply([]),
        reply("<html>login</html>", content_type="text/html"),
        reply(b"{}", content_length="500", content_type="application/json"),
    ],
)
def test_a_listing_that_breaks_off_removes_nothing(
    answer: Any, stack: Stack, tmp_path: Path
) -> None:
    net = Center(article(1))
    sync(stack, WORKSPACE, source(net, tmp_path, sweep_hours=0))
    net.pages |= {LIST: answer, LIST.replace("%5B", "[").replace("%5D", "]"): answer}
    with pytest.raises(UpstreamError):
        sync(stack, WORKSPACE, source(net, tmp_path, sweep_hours=0))
    assert list(readable(stack)) == ["zen/1/en-us"]


def test_429_is_waited_out_and_a_refused_token_is_told() -> None:
    net = Center(article(1))
    once = reply({"locales": ["en-us"]})
    net.pages[f"{ROOT}/locales.json"] = in_turn(reply(status=429, retry_after="0"), once)
    assert len(texts(source(net))) == 1
    net.pages[f"{ROOT}/locales.json"] = reply(status=401)
    with pytest.raises(Forbidden, match="credentials") as caught:
        texts(source(net))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("server", ["https://evil.example", "http://brack.zendesk.com", "//["])
def test_the_token_goes_along_to_no_other_server(server: str) -> None:
    net = Center(article(1))
    following = f"{server}/api/v2/help_center/more.json"
    said = {"articles": [article(1)], "meta": {"has_more": True}, "links": {"next": following}}
    net.pages[f"{ROOT}/en-us/articles.json?page[size]=100"] = reply(said)
    net.pages[f"{ROOT}/en-us/articles.json?page%5Bsize%5D=100"] = reply(said)
    with pytest.raises(UpstreamError, match="another server"):
        texts(source(net))
    assert {str(asked.url.copy_with(raw_path=b"/")) for asked in net.asked} == {
        "https://brack.zendesk.com/"
    }


def test_secrets_come_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="TWOFOLD_SECRET_") as caught:
        source(Center(), token_env="AWS_SECRET_ACCESS_KEY")
    assert "AWS" not in str(caught.value)
    with pytest.raises(InvalidInput, match="together"):
        source(Center(), email="")
    monkeypatch.delenv("TWOFOLD_SECRET_ZENDESK")
    with pytest.raises(SetupError, match="TWOFOLD_SECRET_ZENDESK is not set"):
        texts(source(Center()))


def test_a_secret_goes_only_where_the_operator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Center()
    monkeypatch.setenv("TWOFOLD_SECRET_ZENDESK_HOST", "other.zendesk.com")
    with pytest.raises(Forbidden, match="TWOFOLD_SECRET_ZENDESK_HOST names its hosts"):
        texts(source(net))
    monkeypatch.delenv("TWOFOLD_SECRET_ZENDESK_HOST")
    with pytest.raises(SetupError, match="TWOFOLD_SECRET_ZENDESK_HOST, to"):
        texts(source(net))
