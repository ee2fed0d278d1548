"""Tables that say what arms did, and a served model beside the composer: rendered by
`tools.figures` into docs/diagnosis.md and docs/behaviour.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.diagnosis.verdicts import METRICS
from models.suite.customer import OUTCOMES


def arms_table(result: Mapping[str, Any]) -> str:
    """Of what `python -m benchmarks.arms` kept: each arm with what it costs, each metric of each
    arm with its interval, and what made failures pass."""
    arms: Mapping[str, Mapping[str, Any]] = result["arms"]
    first = [
        [
            f"`{name}`", str(arm["cases"]), _figure(arm["passed"]),
            _figure(arm["metrics"].get("own")), _figure(arm["metrics"].get("replaced")),
            f"{arm['prompt_tokens']:.0f}",
            _share(arm["prefix_cached"]), f"{arm['completion_tokens']:.0f}",
            f"{arm['minutes']:.1f}", f"{arm['dollars_a_thousand']:.2f}",
        ]
        for name, arm in arms.items()
    ]  # fmt: skip
    head = [
        "arm", "cases", "passes", "… by the model's own reply", "its reply replaced", "tokens read",
        "… of these cached", "written", "minutes", "dollars a thousand",
    ]  # fmt: skip
    second = [
        [label, *(_figure(arm["metrics"].get(metric)) for arm in arms.values())]
        for metric, label in METRICS.items()
        if any(metric in arm["metrics"] for arm in arms.values())
    ]
    return f"{_table(head, first)}\n\n{_table(['', *(f'`{name}`' for name in arms)], second)}"


def flips_table(result: Mapping[str, Any]) -> str:
    """What was tried on the failures, and how many it made pass."""
    told = result["diagnosis"]
    names = {**told["tried"], **told["flipped_by"]}
    order = sorted(names, key=lambda name: -told["flipped_by"].get(name, 0))
    rows = [
        [f"`{name}`", str(told["tried"].get(name, "")), str(told["flipped_by"].get(name, 0))]
        for name in order
    ]
    return _table(["counterfactual", "tried on", "made pass, or showed it"], rows)


def served_table(result: Mapping[str, Any]) -> str:
    """Of what `python -m benchmarks.served` kept."""
    rows = [
        [
            name, *(_figure(found[outcome]) for outcome in OUTCOMES), f"{found['p50']:.1f} s",
            f"{found['p95']:.1f} s", f"{found['by'].get('tuned', 0)} of {found['turns']}",
            str(found["replaced"]),
        ]
        for name, found in result.items()
    ]  # fmt: skip
    named = [outcome.replace("_", " ") for outcome in OUTCOMES]
    head = ["", *named, "p50", "p95", "told by the model", "its reply replaced"]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figure(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return ""
    low, high = found["ci"]
    within = "" if low is None else f" [{_share(low)}, {_share(high)}]"
    return f"{_share(found['value'])}{within}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".removeprefix("0") if value < 1 else "1.00"
