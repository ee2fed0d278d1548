"""Release notes of a GitHub repository.

Shapes: docs.github.com/rest/releases/releases. Pages are asked for conditionally, so a repository
that did not change costs nothing of the rate limit.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from ingestion.sources.addresses import shown
from ingestion.sources.config import SecretName, SourceConfig, read_config, read_secret
from ingestion.sources.records import MAX_PAGES, Api, Record, epoch, parse, text
from ingestion.sources.web import Web
from twofold.errors import UpstreamError

KIND = "github_releases"
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_NEXT = re.compile(r'<([^<>]+)>\s*+;[^,<]*\brel="?next"?')


class GitHubConfig(SourceConfig):
    """`url` is the API's, of GitHub Enterprise for instance: https://git.example.com/api/v3."""

    repository: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$")
    url: str = "https://api.github.com"
    token_env: SecretName = ""
    drafts: bool = False
    prereleases: bool = False


class GitHubReleases:
    kind = KIND

    def __init__(self, name: str, config: Mapping[str, Any], web: Web) -> None:
        self.name = name
        self._config = read_config(GitHubConfig, KIND, config)
        self._web = web
        self._root = web.check(self._config.url).rstrip("/")

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config.record()

    def discover(self) -> Iterator[Record]:
        """Raises NotFound where there is no such repository, or the token may not see it."""
        credentials = {}
        if self._config.token_env:
            credentials["Authorization"] = (
                f"Bearer {read_secret(self._config.token_env, self._root)}"
            )
        with (
            self._web.cache(KIND, self.name, self.config) as cache,
            self._web.fetcher(cache) as fetcher,
        ):
            for release in self._releases(Api(fetcher, self._root, credentials, _HEADERS)):
                if self._wanted(release):
                    yield self._record(release)

    def _releases(self, api: Api) -> Iterator[dict[str, Any]]:
        url = f"{self._root}/repos/{self._config.repository}/releases?per_page=100"
        for _ in range(MAX_PAGES):
            page = api.page(url)
            found = parse(page)
            if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
                raise UpstreamError(f"{shown(url)} did not answer with a list of releases.")
            yield from found
            following = _NEXT.search(page.headers.get("link", ""))
            if following is None:
                return
            url = following[1]

    def _wanted(self, release: dict[str, Any]) -> bool:
        draft, early = release.get("draft"), release.get("prerelease")
        named = bool(text(release.get("body")))
        return (
            named and (not draft or self._config.drafts) and (not early or self._config.prereleases)
        )

    def _record(self, release: dict[str, Any]) -> Record:
        if not isinstance(release.get("id"), int):
            raise UpstreamError("GitHub sent a release without its id.")
        tag = text(release.get("tag_name"))
        meta = self._config.meta(
            title=text(release.get("name")) or tag,
            url=text(release.get("html_url")),
            labels=[tag] if tag else [],
        )
        meta.setdefault("kind", "release_note")
        published = epoch(release.get("published_at")) or epoch(release.get("created_at"))
        body = text(release.get("body"))
        return Record(str(release["id"]), body, "text/markdown", published, meta)
