"""Questions that ask the same thing in other words, put together."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

ALIKE: Final = 0.6
"""Cosine from which on two questions count as one; of MiniLM's, which puts most paraphrases above
and other questions below."""
ALIKE_E5: Final = 0.9
"""The same of E5's, to which no two texts are far from each other."""


def groups(vectors: npt.NDArray[np.float32], embedder: str) -> list[list[int]]:
    """Indices of unit vectors (n, dimension) in groups, largest first; each question goes to the
    group whose first one is nearest, where that is near enough. The first of a group stands for it.
    `embedder` names who made the vectors.
    """
    least = ALIKE_E5 if "e5" in embedder.lower() else ALIKE
    leaders: list[int] = []
    found: list[list[int]] = []
    for index, vector in enumerate(vectors):
        near = vectors[leaders] @ vector if leaders else np.empty(0)
        best = int(near.argmax()) if leaders else -1
        if leaders and near[best] >= least:
            found[best].append(index)
        else:
            leaders.append(index)
            found.append([index])
    return sorted(found, key=lambda group: -len(group))


def middle(vectors: npt.NDArray[np.float32], group: Sequence[int]) -> int:
    """Returns the question of a group that is nearest to all of it."""
    own = vectors[list(group)]
    return group[int((own @ own.sum(axis=0)).argmax())]
