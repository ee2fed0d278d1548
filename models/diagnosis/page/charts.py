"""Where the marks of the page's plots stand. Drawn by the template, as SVG without scripts."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from models.diagnosis.verdicts import LAYERS, MEANINGS, Diagnosis, Figure, Layer, Verdict

WIDTH: Final = 720
LABEL: Final = 190
NUMBER: Final = 60
ROW: Final = 26
PLOT: Final = WIDTH - LABEL - NUMBER
"""Pixels of the axis; labels stand left of it, numbers right."""


class Bar(NamedTuple):
    """`y` and `width` in pixels."""

    label: str
    meaning: str
    layer: Layer
    y: int
    width: float
    cases: int


class Dot(NamedTuple):
    """A share with its interval, as x positions in pixels; no interval where `low` is None."""

    label: str
    y: int
    x: float
    low: float | None
    high: float | None
    text: str


def bars(verdicts: Sequence[Verdict]) -> list[Bar]:
    """Failures by cause, in the order of an answer's way."""
    counts = {cause: sum(v.cause == cause for v in verdicts) for cause in LAYERS}
    most = max(counts.values(), default=0)
    shown = [(cause, n) for cause, n in counts.items() if n]
    return [
        Bar(cause.replace("_", " "), MEANINGS[cause], LAYERS[cause], y * ROW, PLOT * n / most, n)
        for y, (cause, n) in enumerate(shown)
    ]


def arms(found: Diagnosis) -> list[Dot]:
    """Returns the share that passes, of each arm that was run."""
    ran = [(arm.name, arm.passed) for arm in found.arms if arm.ran and arm.passed]
    return dots(ran)


def gains(found: Diagnosis) -> list[Dot]:
    """Returns what each fix is expected to add to the share that passes."""
    return dots([(fix.cause.replace("_", " "), fix.gain) for fix in found.fixes if fix.flipped])


def dots(figures: Sequence[tuple[str, Figure]]) -> list[Dot]:
    shown = [(label, f, f.value) for label, f in figures if f.value is not None]
    return [
        Dot(
            label,
            y * ROW,
            LABEL + PLOT * _inside(value),
            None if f.ci[0] is None else LABEL + PLOT * _inside(f.ci[0]),
            None if f.ci[1] is None else LABEL + PLOT * _inside(f.ci[1]),
            f"{value:.0%}",
        )
        for y, (label, f, value) in enumerate(shown)
    ]


def _inside(value: float) -> float:
    return min(1.0, max(0.0, value))
