"""Bytes to sections: whatever a document is, it is read in a confined process."""

from typing import TYPE_CHECKING

from ingestion.confined import Bounds, ask
from ingestion.extract.document import Block, Extracted, Section
from ingestion.extract.metadata import Metadata
from twofold.index.contract import KINDS

if TYPE_CHECKING:
    # The confined process reads documents, and needs nothing of where they come from.
    from ingestion.sources.base import Fetched

READER = "ingestion.extract.reading:answer"
"""Loaded in the confined process alone."""

__all__ = ["Block", "Bounds", "Extracted", "Metadata", "Section", "extract"]


def extract(
    external_id: str, fetched: "Fetched", *, zone: str = "UTC", bounds: Bounds | None = None
) -> Extracted:
    """Returns title, sections and metadata of a document; days without a time are days in `zone`.

    Raises InvalidInput saying what is wrong with it and what to do.
    """
    asked = {
        "external_id": external_id,
        "media_type": fetched.media_type,
        "meta": dict(fetched.meta),
        "trusted": fetched.trusted,
        "zone": zone,
    }
    said = ask(READER, asked, fetched.raw, bounds)
    sections = tuple(Section.of_record(each) for each in said["sections"])
    meta = _metadata(said["meta"])
    kept = {name: said[name] for name in ("skipped", "hidden", "named")}
    return Extracted(said["title"], sections, meta, **kept)


def _metadata(said: dict[str, object]) -> Metadata:
    kind = next(kind for kind in KINDS if kind == said["kind"])
    return Metadata(**{**said, "kind": kind, "audience": tuple(said["audience"])})  # type: ignore[arg-type]
