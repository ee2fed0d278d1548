"""`twofold knowledge lint`: what in the documents themselves will make answers wrong."""

from collections.abc import Sequence

from ingestion.lint.contradictions import contradictions
from ingestion.lint.duplicates import duplicates
from ingestion.lint.findings import Finding, Place, ordered
from ingestion.lint.injection import injections
from ingestion.lint.pages import Page, ReadPages, read_folder, read_source
from ingestion.lint.upkeep import freshness, links, thin
from twofold.clients.embedder import Embedder

__all__ = ["Finding", "Page", "Place", "ReadPages", "lint", "read_folder", "read_source"]


def lint(pages: Sequence[Page], now: float, embedder: Embedder | None = None) -> list[Finding]:
    """Returns every finding, severe ones first. `now` is epoch seconds."""
    return ordered(
        [
            *contradictions(pages, now, embedder),
            *injections(pages, embedder),
            *duplicates(pages, now),
            *freshness(pages, now),
            *thin(pages),
            *links(pages),
        ]
    )
