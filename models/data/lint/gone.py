"""Rows that rest on a document version which answers no more."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from models.data.lint.findings import RowFinding, RowPlace
from models.suite.client import AnswerClient


class VersionRef(NamedTuple):
    """A version of a document (`source/external_id`)."""

    document: str
    number: int


Live = Mapping[VersionRef, bool]
"""Whether it answers today."""


async def ask_live(client: AnswerClient, rows: Sequence[RowPlace]) -> Live:
    """Returns whether each version that rows show still answers. Raises UpstreamError."""
    shown = {VersionRef(d.document, d.version) for place in rows for d in place.row.documents}
    return {version: await client.is_live(*version) for version in sorted(shown)}


def gone(rows: Sequence[RowPlace], live: Live) -> Iterator[RowFinding]:
    for place in rows:
        for document in place.row.documents:
            version = VersionRef(document.document, document.version)
            if live.get(version, False):
                continue
            cited = " that it cites" if document.n in place.row.gold else ""
            reason = f"version {version.number} of {version.document}{cited} answers no more"
            yield place.finding("gone", reason, "Build the dataset again from today's index.")
            break
