"""What a training run tells while it runs."""

from collections.abc import Callable
from typing import Final, NamedTuple


class Needs(NamedTuple):
    """What the run will take, measured before its first step: bytes, tokens and seconds. `seconds`
    is without early stopping."""

    device: str
    dtype: str
    parameters: int
    trained: int
    weights: int
    optimizer: int
    activations: int
    """Kept by the longest pass until its backward pass."""
    available: int
    tokens: int
    """Of all epochs."""
    longest: int
    """Tokens of the longest pass."""
    tokens_per_second: float
    seconds: float

    @property
    def memory(self) -> int:
        return self.weights + self.optimizer + self.activations


class Progress(NamedTuple):
    """Where a run stands after a step; `loss` is that step's, `eval_loss` the newest."""

    step: int
    steps: int
    loss: float | None
    eval_loss: float | None
    tokens_per_second: float
    seconds_left: float


class Sampled(NamedTuple):
    """So many eval prompts were answered by the tuned model, to see who keeps the contract."""

    done: int
    total: int


class Compared(NamedTuple):
    """So many pairs were read by the adapter as it began, for what it makes of them."""

    done: int
    total: int


NAMES: Final[dict[type, str]] = {
    Needs: "estimate",
    Progress: "progress",
    Sampled: "asked",
    Compared: "compared",
}
"""What each is called where events are lines of JSON."""
Report = Callable[[Needs | Progress | Sampled | Compared], None]
