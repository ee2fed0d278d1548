"""A dataset after its documents changed: which rows rest on what answers no more, and the rest.

A row that people approved when a document said one thing teaches to say it still. Each such row is
asked of today's service again: where today's passages hold its reply it stays, with these passages;
where they do not, it goes, and somebody has to write it anew.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from models.data.collect import Built, collect
from models.data.lint.gone import Live, VersionRef
from models.data.plan import DatasetPlan
from models.data.rows import SPLITS, Dataset, Row, Split
from models.data.seeds import Cite, Seed
from models.data.vary import rendered, varied
from models.suite.client import AnswerClient


class Stale(NamedTuple):
    """A row as it came, and the versions it shows that answer no more; `gold`: its reply rests on
    one of them."""

    split: Split
    row: Row
    versions: tuple[VersionRef, ...]
    gold: bool


class Refreshed(NamedTuple):
    """The new splits, the ids of rows that were kept with other passages, and of those that went,
    with the reason."""

    splits: dict[Split, list[Row]]
    renewed: tuple[str, ...]
    dropped: Mapping[str, str]


def stale(dataset: Dataset, live: Live) -> Iterator[Stale]:
    """Yields stale rows as they were collected, in order; what was made of them goes with them."""
    for split in SPLITS:
        for row in dataset.rows[split]:
            if row.made:
                continue
            old = [
                d for d in row.documents if not live.get(VersionRef(d.document, d.version), False)
            ]
            if old:
                versions = tuple(VersionRef(d.document, d.version) for d in old)
                yield Stale(split, row, versions, any(d.n in row.gold for d in old))


async def refreshed(
    client: AnswerClient,
    dataset: Dataset,
    live: Live,
    plan: DatasetPlan,
    progress: Callable[[int, int], None],
) -> Refreshed:
    """Returns every split with stale rows asked again; what is made of rows is made anew. Raises
    UpstreamError."""
    old = {each.row.id: each for each in stale(dataset, live)}
    renewed: dict[str, Row] = {}
    dropped: dict[str, str] = {}
    for done, (id, each) in enumerate(old.items(), start=1):
        built = await collect(client, [_seed(each.row)], plan, lambda _: None)
        _sort(id, built, renewed, dropped)
        progress(done, len(old))
    splits: dict[Split, list[Row]] = {}
    for split, rows in dataset.rows.items():
        kept = [renewed.get(row.id, row) for row in rows if not row.made and row.id not in dropped]
        splits[split] = (
            [rendered(row, plan.house) for row in kept]
            if split == "heldout"
            else varied(kept, plan)
        )
    return Refreshed(splits, tuple(renewed), dropped)


def _sort(id: str, built: Built, renewed: dict[str, Row], dropped: dict[str, str]) -> None:
    if built.rows:
        renewed[id] = built.rows[0]
    else:
        dropped[id] = next(iter(built.left_out), "it gave no row")


def _seed(row: Row) -> Seed:
    """Returns what the row was made from. Of a suite's row the reply is made of today's sources
    again."""
    cites = {d.n: Cite(d.document) for d in row.documents}
    expected = row.expected
    return Seed(
        row.origin,
        row.ref,
        row.question,
        expected.action,
        row.history,
        tuple(row.audience.split(",")),
        row.locale,
        expected.team or "",
        expected.reason or "",
        "" if row.origin == "suite" else row.text,
        cites,
        tuple(cites[n] for n in row.gold),
        row.facts,
    )
