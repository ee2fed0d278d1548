"""Every kind of source that can be synced, and how it is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ingestion.sources.base import OURS, Source
from ingestion.sources.config import SourceConfig, read_config
from ingestion.sources.folder import Folder
from twofold.errors import InvalidInput
from twofold.settings import Settings

KINDS = ("folder", "website", "zendesk", "intercom", "feed", "github_releases")
"""`push` is a kind too, but its documents come by themselves."""


def open_source(settings: Settings, kind: str, name: str, config: Mapping[str, Any]) -> Source:
    """Returns a source of a kind. Raises InvalidInput naming what of its config is wrong."""
    config = {key: value for key, value in config.items() if key not in OURS}
    if kind == "folder":
        return _folder(settings, name, config)
    # Imported late: each needs a library or two, which a process that reads folders need not load.
    from ingestion.sources.web import Web

    web = Web.of(settings)
    match kind:
        case "website":
            from ingestion.sources.website import Website

            return Website(name, config, web)
        case "zendesk":
            from ingestion.sources.zendesk import Zendesk

            return Zendesk(name, config, web)
        case "intercom":
            from ingestion.sources.intercom import Intercom

            return Intercom(name, config, web)
        case "feed":
            from ingestion.sources.feed import Feed

            return Feed(name, config, web)
        case "github_releases":
            from ingestion.sources.github_releases import GitHubReleases

            return GitHubReleases(name, config, web)
    raise InvalidInput(
        f"Source {name!r} is of kind {kind!r}, which cannot be synced. Kinds that can:"
        f" {', '.join(KINDS)}."
    )


class FolderConfig(SourceConfig):
    """`path`, and what holds for its files where their own front matter does not say otherwise."""

    path: Annotated[str, Field(min_length=1)]


def _folder(settings: Settings, name: str, config: Mapping[str, Any]) -> Folder:
    meta = read_config(FolderConfig, "folder", config).record()
    path = Path(meta.pop("path"))
    return Folder(name, path, max_file_mb=settings.max_file_mb, meta=meta)
