"""What is wrong with a dataset: one file for each concern, every finding with its row and a fix."""

from collections.abc import Callable, Iterator, Sequence

from models.data.lint.balance import balance
from models.data.lint.crossing import crossing
from models.data.lint.drift import drift
from models.data.lint.duplicates import duplicates
from models.data.lint.findings import RowFinding, places
from models.data.lint.gone import Live, gone
from models.data.lint.leaks import leaks
from models.data.lint.length import CountTokens, length
from models.data.lint.pairs import pairs
from models.data.lint.personal import personal
from models.data.lint.policy import policy
from models.data.rows import Dataset
from twofold.policy import HousePolicy

__all__ = ["RowFinding", "lint"]


def lint(
    dataset: Dataset,
    house: HousePolicy,
    *,
    live: Live | None,
    count: CountTokens,
    most_tokens: int,
    progress: Callable[[int, int], None],
) -> list[RowFinding]:
    """Returns every finding, by file and line. `live` tells whether a document version still
    answers; None where no service was asked."""
    rows = places(dataset)
    checks: Sequence[Callable[[], Iterator[RowFinding]]] = (
        lambda: leaks(rows, house),
        lambda: drift(rows, house),
        lambda: duplicates(rows),
        lambda: crossing(rows),
        lambda: policy(rows, house),
        lambda: pairs(rows, house),
        lambda: personal(rows, house),
        lambda: length(rows, count, most_tokens),
        lambda: iter(()) if live is None else gone(rows, live),
        lambda: balance(dataset),
    )
    found: list[RowFinding] = []
    for done, check in enumerate(checks, start=1):
        found += check()
        progress(done, len(checks))
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.concern))
