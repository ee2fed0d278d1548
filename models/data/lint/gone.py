"""Rows that rest on a document version which answers no more."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from models.data.lint.findings import Place, RowFinding
from models.suite.client import AnswerClient


class Version(NamedTuple):
    """A version of a document (`source/external_id`)."""

    document: str
    number: int


Live = Mapping[Version, bool]
"""Whether it answers today."""


async def ask_live(client: AnswerClient, rows: Sequence[Place]) -> Live:
    """Of every version that rows show. Raises UpstreamError."""
    shown = {Version(d.document, d.version) for place in rows for d in place.row.documents}
    return {version: await client.is_live(*version) for version in sorted(shown)}


def gone(rows: Sequence[Place], live: Live) -> Iterator[RowFinding]:
    for place in rows:
        for document in place.row.documents:
            version = Version(document.document, document.version)
            if live.get(version, False):
                continue
            cited = " that it cites" if document.n in place.row.gold else ""
            reason = f"version {version.number} of {version.document}{cited} answers no more"
            yield place.finding("gone", reason, "Build the dataset again from today's index.")
            break
