"""A dataset that teaches one behaviour too often and another hardly at all."""

from collections import Counter
from collections.abc import Iterator

from models.data.lint.findings import RowFinding, of_dataset
from models.data.rows import Dataset
from models.data.vary import kind_of
from twofold.policy import NOT_IN_SOURCES

LEAST = 0.5
"""Of a share that was wanted, so much must be reached."""
MOST = 2.0
ONE_REASON = 0.6
"""Of the hand-overs to people, no reason may have more."""
FEW = 20
"""Below so many rows of a kind nothing is said of shares among them."""


def balance(dataset: Dataset) -> Iterator[RowFinding]:
    """Yields findings on the training rows' shares, against those that the manifest wants."""
    train = dataset.rows["train"]
    if not train:
        yield of_dataset("balance", "there is nothing to train on", "Give more to build from.")
        return
    kinds = Counter(kind_of(row) for row in train)
    for kind, wanted in dataset.manifest.wanted.items():
        share = kinds[kind] / len(train)
        if share < LEAST * wanted:
            reason = f"{share:.1%} of the training rows are {kind!r}; {wanted:.1%} were wanted"
            yield of_dataset("balance", reason, f"Give more questions that end in {kind!r}.")
        elif share > MOST * wanted:
            reason = f"{share:.1%} of the training rows are {kind!r}; {wanted:.1%} were wanted"
            yield of_dataset("balance", reason, f"Leave out questions that end in {kind!r}.")
    reasons = Counter(row.expected.reason for row in train if row.expected.action == "ESCALATE")
    del reasons[NOT_IN_SOURCES]
    people = sum(reasons.values())
    for name, n in reasons.most_common(1):
        if people >= FEW and n > ONE_REASON * people:
            said = f"{n} of {people} hand-overs to people have the reason {name!r}"
            yield of_dataset("balance", said, "Give questions that end in the other reasons.")
