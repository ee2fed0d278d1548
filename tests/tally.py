"""What the fault suite counted, over all processes that ran a part of it."""

from collections import Counter

TALLY: Counter[str] = Counter()
