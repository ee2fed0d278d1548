"""Tables that say what models did side by side: arms, a served model beside the composer, adapters
that the gate refused, prompts with what they cost. Rendered by `tools.figures` into docs."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.diagnosis.verdicts import METRICS
from models.gate.judge import METRICS as REPLIES
from models.gate.rules import KEPT
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


def refusals_table(result: Mapping[str, Any]) -> str:
    """Of what `python -m benchmarks.gate_refusals` kept: the gate's own words, and the figures that
    they rest on."""
    rows = []
    for name, each in result["adapters"].items():
        gate = each["gate"]
        asked = [""] * 4
        if gate is not None:
            arm, book = gate["arms"][name], gate["closed_book"]
            asked = [_figure(arm[metric]) for metric in ("action", "over_escalated", "cites")]
            asked.append(f"{book['leaks']} of {book['probes']}")
        said = "<br>".join(map(_short, each["why"])) or "passed"
        rows.append([f"`{name}`", each["told"], said, *asked])
    head = [
        "adapter", "what is wrong with its rows", "what the gate says",
        "action", "escalated without need", "cites", "leaks",
    ]  # fmt: skip
    return _table(head, rows)


def noticed_table(result: Mapping[str, Any]) -> str:
    """The loss that the gate of the same run notices in four runs of five."""
    gates = (each["gate"] for each in result["adapters"].values() if each["gate"])
    found = next(gates)["compared"]
    rows = [
        [REPLIES[each["metric"]], str(each["n"]), _share(each["noticed"])]
        for each in found
        if each["metric"] in KEPT
    ]
    return _table(["metric", "rows that tell", "loss noticed"], rows)


def preference_table(result: Mapping[str, Any]) -> str:
    """Of what `python -m benchmarks.preference` kept: the gate's figures of the adapter that it
    began with and of the one that came of it."""
    before, after = result["before"], result["after"]
    rows = [[what, _figure(before[metric]), _figure(after[metric])]
            for metric, what in REPLIES.items()]  # fmt: skip
    rows.append(["pairs trained on", "", str(result["pairs"]["train"])])
    rows.append(["approved over rejected on unseen pairs, nats",
                 *(f"{each:.1f}" for each in result["margins"])])  # fmt: skip
    said = "<br>".join(map(_short, result["reasons"])) or "passed"
    rows.append(["what the gate says, beside the first", "", said])
    return _table(["", "before", "after"], rows)


def prompts_table(result: Mapping[str, Any]) -> str:
    """Of what `python -m benchmarks.economics` kept: the servers, measured; where only tokens were
    counted, that it was not run."""
    if not result["measured"]:
        return "Not measured: `python -m benchmarks.economics`."
    prices = {arm["arm"]: arm["dollars_per_1000"] for arm in result["arms"]}
    memory = {"tuned": result["memory_gib"]["tuned"]}
    rows = [
        [
            name, str(each["calls"]), f"{each['read']:,.0f}", f"{each['hit_share']:.0%}",
            f"{each['written']:,.0f}", f"{each['first_token_s']:.1f} s",
            f"{each['answers_per_hour']:,.0f}",
            f"{memory.get(name, result['memory_gib']['base']):.1f} GiB",
            f"${prices[name]:.3f}",
        ]
        for name, each in result["measured"].items()
    ]  # fmt: skip
    head = [
        "", "rows", "tokens read", "… from the cache", "written", "first token, mean",
        "answers an hour", "memory", "$ for 1,000",
    ]  # fmt: skip
    quality = [
        [name, *(_figure(each["quality"][metric]) for metric in each["quality"])]
        for name, each in result["measured"].items()
    ]
    metrics = next(iter(result["measured"].values()))["quality"]
    return f"{_table(head, rows)}\n\n{_table(['', *(REPLIES[m] for m in metrics)], quality)}"


def served_costs_table(result: Mapping[str, Any]) -> str:
    """Of what `python -m benchmarks.arms` kept: the base with the `full` prompt and the tuned model
    with its own, both with retrieval, as the cost page has them."""
    rows = []
    named = {"base, `full`": "rag", "tuned": "both", "no model": "composer, shipped"}
    for name, arm in named.items():
        found = result["arms"][arm]
        cached = found["prefix_cached"] if found["prompt_tokens"] else None
        rows.append(
            [
                name, str(found["cases"]), f"{found['prompt_tokens']:,.0f}", _share(cached),
                f"{found['completion_tokens']:.0f}",
                f"{60 * found['cases'] / found['minutes']:,.0f}",
                f"${found['dollars_a_thousand']:.3f}", _figure(found["passed"]),
                _figure(found["metrics"].get("own")), _figure(found["metrics"]["facts"]),
            ]
        )  # fmt: skip
    head = [
        "", "cases", "tokens read", "… of these cached", "written", "answers an hour",
        "$ for 1,000", "passes", "… by the model's own reply", "key facts",
    ]  # fmt: skip
    return _table(head, rows)


def tokens_table(result: Mapping[str, Any]) -> str:
    """Of the same: what is read and written, and what it costs where tokens are bought."""
    rows = [
        [
            arm["arm"], f"{arm['prompt_tokens']:,.0f}", f"{arm['shared_tokens']:,.0f}",
            f"{arm['prompt_tokens'] - arm['shared_tokens']:,.0f}",
            f"{arm['completion_tokens']:,.0f}", _dollars(arm["dollars_per_1000"]),
            _dollars(arm["dollars_per_1000_uncached"]),
        ]
        for arm in result["arms"]
    ]  # fmt: skip
    head = [
        "", "tokens of a call", "of them the same in every call", "another in each call", "written",
        "$ for 1,000 answers", "… without the cache",
    ]  # fmt: skip
    return _table(head, rows)


def break_even_line(result: Mapping[str, Any]) -> str:
    """Of the same: the volume from which on tuning pays."""
    once, even = result["first_cost"], result["break_even_answers_per_month"]
    pays = "no volume pays" if even is None else f"it takes {even:,} answers a month for a year"
    return f"Tuning costs ${once:,.0f} at first, and {pays}."


def _dollars(value: float | None) -> str:
    return "" if value is None else f"${value:.3f}"


def _short(reason: str) -> str:
    """A reason without what a model said as an example: it may hold anything."""
    return reason.partition(", such as ")[0].replace("|", "/")


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
