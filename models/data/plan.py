"""What is to be built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from twofold.policy import HousePolicy
from twofold.prompt import Profile

WANTED: Final[Mapping[str, float]] = {
    "escalate": 0.2,
    "not_in_sources": 0.08,
    "closed": 0.04,
    "clarify": 0.06,
    "decline": 0.12,
}
"""Kind of row -> the share of a split that it should have; the rest answers."""
EVAL_SHARE: Final = 0.12


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """What is built, and how. `copies` with changed facts are made of each answering row."""

    house: HousePolicy
    profile: Profile = "tuned"
    copies: int = 2
    seed: int = 7
    wanted: Mapping[str, float] = field(default_factory=lambda: dict(WANTED))
    eval_share: float = EVAL_SHARE
