"""Intercom: published help center articles in all their languages, and internal articles.

Shapes: developers.intercom.com/docs/references/rest-api/api.intercom.io/articles.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from pydantic import Field

from ingestion.sources.config import (
    Audience,
    SecretName,
    SourceConfig,
    Texts,
    read_config,
    read_secret,
)
from ingestion.sources.records import MAX_PAGES, Api, Record, epoch, rows, text
from ingestion.sources.web import Web
from twofold.errors import UpstreamError

KIND = "intercom"
VERSION = "2.14"
PER_PAGE = 50
STAFF = "internal"


class IntercomConfig(SourceConfig):
    """`url` differs by region: https://api.intercom.io, api.eu.intercom.io, api.au.intercom.io.

    `audiences` maps collection ids to audiences: Intercom tells no article's audience by itself.
    `internal` also reads internal articles, for the audience `internal`.
    """

    token_env: SecretName
    url: str = "https://api.intercom.io"
    locales: Texts = ()
    audiences: dict[str, Audience] = Field(default_factory=dict)
    internal: bool = False


class Intercom:
    kind = KIND

    def __init__(self, name: str, config: Mapping[str, Any], web: Web) -> None:
        self.name = name
        self._config = read_config(IntercomConfig, KIND, config)
        self._web = web
        self._root = httpx.URL(web.check(self._config.url))

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config.record()

    def discover(self) -> Iterator[Record]:
        """Raises Forbidden on a refused token, UpstreamError where the listing breaks off."""
        token = read_secret(self._config.token_env, str(self._root))
        with self._web.fetcher() as fetcher:
            credentials = {"Authorization": f"Bearer {token}"}
            api = Api(fetcher, str(self._root), credentials, {"Intercom-Version": VERSION})
            collections = {
                str(each.get("id")): each for each in self._paged(api, "/help_center/collections")
            }
            for article in self._paged(api, "/articles"):
                yield from self._languages(article, collections)
            if self._config.internal:
                for article in self._paged(api, "/internal_articles"):
                    yield from self._internal(article)

    def _paged(self, api: Api, path: str) -> Iterator[dict[str, Any]]:
        """Articles can move between pages while we read: each is given once."""
        seen: set[str] = set()
        page = total = 1
        while page <= min(total, MAX_PAGES):
            url = str(self._root.join(f"{path}?page={page}&per_page={PER_PAGE}"))
            answer = api.get(url)
            for row in rows(answer, "data", url):
                if (id := str(row.get("id"))) not in seen:
                    seen.add(id)
                    yield row
            pages = answer.get("pages")
            total = pages.get("total_pages", 1) if isinstance(pages, dict) else 1
            if not isinstance(total, int):
                raise UpstreamError("Intercom did not say how many pages there are.")
            page += 1

    def _languages(
        self, article: dict[str, Any], collections: Mapping[str, dict[str, Any]]
    ) -> Iterator[Record]:
        if "id" not in article or "state" not in article:
            raise UpstreamError("Intercom sent an article without its id or state.")
        default = text(article.get("default_locale")) or "en"
        said = {default: article}
        translated = article.get("translated_content")
        if isinstance(translated, dict):
            said |= {key: each for key, each in translated.items() if isinstance(each, dict)}
        parents = [str(id) for id in article.get("parent_ids") or [article.get("parent_id")]]
        labels = [text(collections[id].get("name")) for id in parents if id in collections]
        mapped = [self._config.audiences[id] for id in parents if id in self._config.audiences]
        for locale, content in sorted(said.items()):
            wanted = not self._config.locales or locale in self._config.locales
            body = text(content.get("body"))
            if not wanted or content.get("state") != "published" or not body:
                continue
            meta = self._config.meta(
                title=text(content.get("title")),
                url=text(content.get("url")),
                locale=locale,
                labels=labels,
                audience=sorted(set(mapped)),
            )
            key = f"{article['id']}/{locale}"
            yield Record(key, body, "text/html", epoch(content.get("updated_at")), meta)

    def _internal(self, article: dict[str, Any]) -> Iterator[Record]:
        if body := text(article.get("body")):
            meta = self._config.meta(
                title=text(article.get("title")),
                locale=text(article.get("locale")),
                audience=[STAFF],
            )
            key = f"internal/{article.get('id')}"
            yield Record(key, body, "text/html", epoch(article.get("updated_at")), meta)
