"""What was deleted at the service goes out of datasets that were made of it."""

from collections.abc import Sequence

from models.data.rows import Dataset, Row, Split, write_manifest, write_rows
from models.suite.client import AnswerClient


async def erased(client: AnswerClient, dataset: Dataset) -> list[Row]:
    """Returns rows of answers and hand-overs that are not on record any more, and what was made of
    them.

    Raises UpstreamError where the service does not say.
    """
    known: dict[tuple[str, str], bool] = {}
    found = []
    for row in (row for rows in dataset.rows.values() for row in rows):
        kind = {"feedback": "answers", "agent": "handoffs"}.get(row.origin)
        if kind is None:
            continue
        at = kind, row.parent.partition(":")[2]
        if at not in known:
            known[at] = await client.is_there(*at)
        if not known[at]:
            found.append(row)
    return found


def forget(dataset: Dataset, gone: Sequence[Row]) -> None:
    """Writes the dataset's files anew without these rows, and its manifest."""
    ids = {row.id for row in gone}
    files = dict(dataset.manifest.files)
    names: list[Split] = [name for name in dataset.rows if f"{name}.jsonl" in files]
    for name in names:
        kept = [row for row in dataset.rows[name] if row.id not in ids]
        files[f"{name}.jsonl"] = write_rows(dataset.folder / f"{name}.jsonl", kept)
    write_manifest(dataset.folder, dataset.manifest.model_copy(update={"files": files}))
