"""The confusion matrix of `twofold eval inject --details FILE`, as Markdown.

`python -m tools.diagnosis_matrix FILE`: which cause was planted, and which was named.
"""

import sys
from collections import Counter
from pathlib import Path

from models.diagnosis.verdicts import LAYERS
from models.jsonl import read_jsonl

NOTHING = "nothing"


def matrix(path: Path) -> str:
    """Only what was named wrongly is spelt out: right is what most cells would be."""
    counts: Counter[tuple[str, str]] = Counter()
    kept_out: Counter[str] = Counter()
    for _, row in read_jsonl(path):
        if "cause" not in row:
            continue
        verdict = row["verdict"]
        counts[row["cause"], verdict["cause"] if verdict else NOTHING] += 1
        kept_out[row["cause"]] += row["kept_out"]
    lines = [
        "| planted | layer | faults | of kinds kept out | named rightly | named instead |",
        "|---|---|---|---|---|---|",
    ]
    for cause, layer in LAYERS.items():
        total = sum(n for (planted, _), n in counts.items() if planted == cause)
        if not total:
            continue
        wrong = ", ".join(
            f"`{named}` {n}"
            for (planted, named), n in counts.most_common()
            if planted == cause and named != cause
        )
        right = counts[cause, cause]
        lines.append(
            f"| `{cause}` | {layer} | {total} | {kept_out[cause]} | {right} | {wrong or '-'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(matrix(Path(sys.argv[1])))
