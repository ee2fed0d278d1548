"""What stands on both sides of a split: it makes an evaluation look better than it is."""

from collections.abc import Iterator, Sequence
from itertools import chain

from models.data.lint.findings import RowFinding, RowPlace
from models.data.split import alike, on_alike_passages, ties

FIX = "Move the rows to one side: build the dataset again, or take one out."


def crossing(rows: Sequence[RowPlace]) -> Iterator[RowFinding]:
    """Yields a row of `eval` or `heldout` that shares a document, a conversation or most of its
    words with a row of training; one finding a row. Held-out rows may be about the same
    documents: they are the other half of the suite."""
    told: set[int] = set()
    train = [place for place in rows if place.split == "train"]
    known = {tie: place for place in train for tie in ties(place.row)}
    for at, place in enumerate(rows):
        if place.split == "train":
            continue
        for tie in ties(place.row):
            other = known.get(tie)
            if other is None or (place.split == "heldout" and tie.kind == "document"):
                continue
            told.add(at)
            reason = f"its {tie.kind} ({tie.what}) is in {other.name} as well"
            yield place.finding("crossing", reason, FIX)
            break
    every = [place.row for place in rows]
    documents = (pair for pair in on_alike_passages(every) if rows[pair[1]].split != "heldout")
    for one, at in chain(alike(every), documents):
        before, place = rows[one], rows[at]
        if before.split == "train" != place.split and at not in told:
            told.add(at)
            reason = f"it says nearly what {before.name} ({before.row.id}) says"
            yield place.finding("crossing", reason, FIX)
