"""Zendesk Help Center: published articles in all their languages, for those who may read them.

Shapes: developer.zendesk.com/api-reference/help_center (articles, translations, user segments).
With a token, only what changed is read (incremental export); the articles' number then tells
whether some are gone, and only then, or after `sweep_hours`, are all listed again.
"""

import base64
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
from pydantic import Field

from ingestion.sources.base import Fetched
from ingestion.sources.cache import Cache
from ingestion.sources.config import (
    Audience,
    SecretName,
    SourceConfig,
    Texts,
    read_config,
    read_secret,
)
from ingestion.sources.records import MAX_PAGES, Api, epoch, rows, text
from ingestion.sources.web import Web
from twofold.errors import InvalidInput, UpstreamError
from twofold.index.contract import PUBLIC

KIND = "zendesk"
CUSTOMER, STAFF = "customer", "internal"
_STATE = "state"


class ZendeskConfig(SourceConfig):
    """`url` is the help center's, such as https://example.zendesk.com.

    `email` and `token_env` go together; without them only public articles are read. `audiences`
    maps user segment ids to audiences; `locales` are all of the help center's where none are named.
    """

    url: str
    email: str = ""
    token_env: SecretName = ""
    locales: Texts = ()
    audiences: dict[str, Audience] = Field(default_factory=dict)
    sweep_hours: float = Field(default=24.0, ge=0)


class Article(NamedTuple):
    """One translation of an article, kept in the source's memory until it is read."""

    external_id: str
    cache: Cache
    meta: Mapping[str, Any]
    updated_at: float | None

    def fetch(self) -> Fetched:
        body = self.cache.record("article", self.external_id)["body"]
        raw = body.encode(errors="replace")
        return Fetched(raw, "text/html", self.updated_at, self.meta, trusted=False)


class Zendesk:
    kind = KIND

    def __init__(self, name: str, config: Mapping[str, Any], web: Web) -> None:
        self.name = name
        self._config = read_config(ZendeskConfig, KIND, config)
        self._web = web
        if bool(self._config.email) != bool(self._config.token_env):
            raise InvalidInput("A Zendesk source takes `email` and `token_env` together.")
        self._root = str(httpx.URL(web.check(self._config.url)).join("/api/v2/help_center"))

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config.record()

    def discover(self) -> Iterator[Article]:
        """Raises Forbidden on a refused token, UpstreamError where the listing breaks off."""
        credentials = {}
        if self._config.token_env:
            user = f"{self._config.email}/token:{read_secret(self._config.token_env, self._root)}"
            credentials["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        cache = self._web.cache(KIND, self.name, self.config)
        with self._web.fetcher() as fetcher:
            yield from self._articles(_Center(Api(fetcher, self._root, credentials)), cache)

    def _articles(self, center: "_Center", cache: Cache) -> Iterator[Article]:
        locales = list(self._config.locales) or center.locales()
        state = cache.record(_STATE, "") or {}
        if not self._up_to_date(center, cache, state, locales):
            self._sweep(center, cache, locales)
        signed_in = bool(self._config.token_env)
        segments = center.segments() if signed_in else {}
        labels = center.labels(locales)
        for key in cache.keys("article"):
            article = cache.record("article", key)
            if article["draft"] or not text(article["body"]):
                continue
            meta = self._config.meta(
                title=text(article["title"]),
                url=text(article["html_url"]),
                locale=article["locale"],
                audience=self._audience(article, segments) if signed_in else None,
                labels=[*labels.get(article["section_id"], []), *article["labels"]],
            )
            yield Article(key, cache, meta, epoch(article["updated_at"]))

    def _sweep(self, center: "_Center", cache: Cache, locales: list[str]) -> None:
        """Lists everything. Changes that come in meanwhile are asked for next time."""
        began = int(time.time()) - 60
        seen: set[str] = set()
        counts: dict[str, int] = {}
        for locale in locales:
            for article in center.listed(locale):
                counts[locale] = counts.get(locale, 0) + 1
                seen.add(_keep(cache, article, article))
        cache.drop_others("article", seen)
        cache.keep(_STATE, "", {"cursor": began, "swept": began, "locales": locales})

    def _up_to_date(
        self, center: "_Center", cache: Cache, state: dict[str, Any], locales: list[str]
    ) -> bool:
        """Brings what is kept up to date by what changed. False where that cannot be enough."""
        fresh = time.time() - state.get("swept", 0) < self._config.sweep_hours * 3600
        if not self._config.token_env or not fresh or state.get("locales") != locales:
            return False
        cursor = state["cursor"]
        for article, end in center.changed(cursor):
            self._refresh(center, cache, article, locales)
            cursor = max(cursor, end)
        cache.keep(_STATE, "", {**state, "cursor": cursor})
        kept = [cache.record("article", key)["locale"] for key in cache.keys("article")]
        # Changes bring all that is new, so equal numbers mean that nothing is gone.
        return all(center.count(locale) == kept.count(locale) for locale in locales)

    def _refresh(
        self, center: "_Center", cache: Cache, article: dict[str, Any], locales: list[str]
    ) -> None:
        prefix = f"{article['id']}/"
        seen = {
            _keep(cache, article, translation)
            for translation in center.translations(article["id"])
            if translation.get("locale") in locales
        }
        for key in [key for key in cache.keys("article") if key.startswith(prefix)]:
            if key not in seen:
                cache.drop("article", key)

    def _audience(self, article: dict[str, Any], segments: Mapping[str, str]) -> list[str]:
        """Returns who may read it. A segment that nobody mapped is an audience of its own."""
        ids = article["segments"]
        if not ids:
            return [PUBLIC]
        return sorted(
            {self._config.audiences.get(id) or segments.get(id) or f"segment:{id}" for id in ids}
        )


class _Center(NamedTuple):
    """The endpoints of one help center."""

    api: Api

    @property
    def root(self) -> str:
        return self.api.root

    def locales(self) -> list[str]:
        answer = self.api.get(f"{self.root}/locales.json")
        found = answer.get("locales")
        if not isinstance(found, list) or not found:
            raise UpstreamError(f"{self.root} names no locales. Name them in `locales`.")
        return sorted(map(str, found))

    def listed(self, locale: str) -> Iterator[dict[str, Any]]:
        """Articles of a locale, drafts included where the token may see them."""
        yield from self._paged(f"{locale}/articles.json", "articles")

    def count(self, locale: str) -> int:
        answer = self.api.get(f"{self.root}/{locale}/articles.json?per_page=1")
        count = answer.get("count")
        return count if isinstance(count, int) else -1

    def changed(self, since: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Articles with any change since then, each with the time to go on from."""
        url = f"{self.root}/incremental/articles.json?start_time={since}"
        for _ in range(MAX_PAGES):
            answer = self.api.get(url)
            found = rows(answer, "articles", url)
            end = answer.get("end_time")
            end = end if isinstance(end, int) else since
            for article in found:
                yield article, end
            following = text(answer.get("next_page"))
            # The last page names itself as the next one.
            if not found or not following or following == url or end <= since:
                return
            url, since = following, end

    def translations(self, article: Any) -> Iterator[dict[str, Any]]:
        yield from self._paged(f"articles/{int(article)}/translations.json", "translations")

    def segments(self) -> dict[str, str]:
        """Returns the audience of each segment id that stands for all customers or all staff."""
        found: dict[str, str] = {}
        for segment in self._paged("user_segments.json", "user_segments"):
            narrowed = any(
                segment.get(key)
                for key in ("group_ids", "organization_ids", "tags", "or_tags", "added_user_ids")
            )
            whom = {"signed_in_users": CUSTOMER, "staff": STAFF}.get(str(segment.get("user_type")))
            if whom and not narrowed:
                found[str(segment.get("id"))] = whom
        return found

    def labels(self, locales: list[str]) -> dict[Any, list[str]]:
        """Returns, for each section id, the names of its category and of itself, in the first
        locale."""
        where = f"{locales[0]}/"
        categories = {
            each.get("id"): text(each.get("name"))
            for each in self._paged(f"{where}categories.json", "categories")
        }
        return {
            each.get("id"): [
                name
                for name in (categories.get(each.get("category_id"), ""), text(each.get("name")))
                if name
            ]
            for each in self._paged(f"{where}sections.json", "sections")
        }

    def _paged(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """Yields all rows, by cursor pagination, or by `next_page` where the server has only
        that."""
        url = f"{self.root}/{path}?page[size]=100"
        for _ in range(MAX_PAGES):
            answer = self.api.get(url)
            yield from rows(answer, key, url)
            meta, links = answer.get("meta"), answer.get("links")
            if isinstance(meta, dict) and isinstance(links, dict):
                following = text(links.get("next")) if meta.get("has_more") else ""
            else:
                following = text(answer.get("next_page"))
            if not following or following == url:
                return
            url = following
        raise UpstreamError(f"{self.root}/{path} never ends. Nothing was changed.")


def _keep(cache: Cache, article: dict[str, Any], said: dict[str, Any]) -> str:
    """Stores one language of an article: rights and place are the article's, the words those of
    `said`."""
    try:
        key = f"{int(article['id'])}/{said['locale']}"
        ids = article.get("user_segment_ids") or [article["user_segment_id"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UpstreamError(f"Zendesk sent an article without its {error}.") from error
    record = {
        "title": said.get("title"),
        "body": said.get("body"),
        "draft": bool(said.get("draft")),
        "html_url": said.get("html_url"),
        "updated_at": said.get("updated_at"),
        "locale": str(said["locale"]),
        "section_id": article.get("section_id"),
        "segments": [str(id) for id in ids if id is not None],
        "labels": [str(name) for name in article.get("label_names") or []],
    }
    cache.keep("article", key, record)
    return key
