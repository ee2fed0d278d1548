"""Rows whose prompt is not the one that the service asks with today."""

from collections.abc import Iterator, Sequence

from models.data.lint.findings import RowFinding, RowPlace
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest

AGAIN = "Build the dataset again."


def drift(rows: Sequence[RowPlace], house: HousePolicy) -> Iterator[RowFinding]:
    """Yields rows that differ from what the service would make today: by digest, by the rendered
    messages, and by the numbers of the documents."""
    for place in rows:
        row = place.row
        today = prompt_digest(house, row.profile)
        if row.prompt != today:
            reason = f"its {row.profile} prompt is {row.prompt}, today's is {today}"
        elif row.house != house.digest:
            reason = f"its house policy is {row.house}, today's is {house.digest}"
        elif [d.n for d in row.documents] != list(range(1, len(row.documents) + 1)):
            reason = "its documents are not numbered 1, 2, …: marks would mean others"
        elif row.messages != (rendered := row.rendered(house)):
            pairs = zip(row.messages, rendered, strict=False)
            at = next((n for n, (one, other) in enumerate(pairs, start=1) if one != other), 0)
            where = f"message {at}" if at else "the number of messages"
            reason = f"its prompt is not what the service would render: {where} differs"
        else:
            continue
        yield place.finding("drift", reason, AGAIN)
