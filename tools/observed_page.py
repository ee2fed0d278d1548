"""Writes docs/operations/observed.md from the run on record: `python -m tools.observed_page`.

The run itself: `python -m deploy.local.observe OUT`; its `observed.json` is kept as
deploy/prometheus/observed.json, and what returned nothing there has its reason in unseen.yaml.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "deploy/prometheus/observed.json"
REASONS = ROOT / "deploy/prometheus/unseen.yaml"
PAGE = ROOT / "docs/operations/observed.md"

HEAD = """# What the dashboards and alerts showed

Made by `python -m tools.observed_page` from `deploy/prometheus/observed.json`, which
`python -m deploy.local.observe OUT` wrote on {made}: Compose's topology as processes of one machine
({machine}), that is two answer processes, the widget, Celery's worker and beat on Redis and
PostgreSQL, vLLM 0.32 on the CPU with a tiny model and two releases of it, exporters of Redis and
PostgreSQL, and real Prometheus. Qdrant's server is not to be had there; a stand-in of its HTTP
interface took its place. Customers, visitors, agents and authors came all the while. Time went
{pace} times as fast for rules: a window of an hour was a minute. Grafana was not there either: its
expressions were asked of Prometheus.

## Expressions

{count} expressions of dashboards, recording rules, alerts and KEDA's triggers were evaluated as
they are shipped (of an alert, what it looks at): {numbers} returned numbers, or fired.

{unseen}

## Without a fault

{calm}

## With a fault of each layer

| fault | layer | alert | fired after |
|---|---|---|---|
{faults}

{unanswered}

Seconds from the fault on, at {pace} times the pace; `for` and windows are part of them. Faults of
one stage were made together, so others' alerts may fire beside: {beside}.

## One trace

A question in the widget, as one trace through {services}:

{spans}

A page that was pushed and indexed by the worker is one trace through {job}.

## Which layer hurts

![Panels of the page Which layer hurts, drawn with matplotlib](../images/which-layer-hurts.png)

No screenshot of Grafana: the panels' own expressions over this run, asked of Prometheus, drawn
by `deploy/grafana/draw.py`. White is the time without a fault; grey is that of the faults above.
"""


def page() -> str:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    reasons: dict[str, str] = yaml.safe_load(REASONS.read_text(encoding="utf-8")) or {}
    seen = record["expressions"]
    empty = [each for each in seen if not returned(each)]
    calm = record["calm"]
    quiet = f"{calm['seconds']} s, {calm['requests']} requests, {calm['failed']} failed: "
    quiet += (
        "no alert fired."
        if not calm["firing"]
        else "these fired all the same: " + ", ".join(f"`{each}`" for each in calm["firing"])
        + ". " + " ".join(dict.fromkeys(reasons.get(f"calm/{each}", "") for each in calm["firing"]))
    )  # fmt: skip
    beside = Counter(each for fault in record["faults"] for each in set(fault["beside"]))
    trace = record["trace"]
    return HEAD.format(
        **{key: record[key] for key in ("made", "machine", "pace")},
        count=len(seen),
        numbers=len(seen) - len(empty),
        unseen=_empty(empty, reasons),
        calm=quiet,
        faults="\n".join(_fault(each) for each in record["faults"]),
        unanswered=_unanswered(record, reasons),
        beside=", ".join(f"`{each}`" for each in sorted(beside)) or "none did",
        services=_listed(trace["services"]),
        spans=_spans(trace["spans"]),
        job=_listed(trace["job"]),
    )


def returned(seen: dict[str, Any]) -> bool:
    """Whether an expression gave a number, or its alert fired."""
    return bool(seen["numbers"] or seen["fired"])


def _empty(empty: list[dict[str, Any]], reasons: dict[str, str]) -> str:
    if not empty:
        return "None was empty."
    rows = [f"| {each['where']} | {reasons.get(each['where'], '')} |" for each in empty]
    return "\n".join(["| returned none | why |", "|---|---|", *dict.fromkeys(rows)])


def _unanswered(record: dict[str, Any], reasons: dict[str, str]) -> str:
    """Alerts that no fault of the run is on record for."""
    answered = {name for fault in record["faults"] for name in fault["fired"]}
    alerts = dict.fromkeys(
        each["where"].removeprefix("alert/")
        for each in record["expressions"]
        if each["where"].startswith("alert/")
    )
    rows = [
        f"| `{name}` | {reasons.get(f'unanswered/{name}', '')} |"
        for name in alerts
        if name not in answered
    ]
    if not rows:
        return "Every alert answered a fault."
    said = (
        f"No fault is on record for {len(rows)} of {len(alerts)} alerts. promtool's tests see them"
        " fire on made-up series; of two speeds, the fast one."
    )
    head = [said, "", "| alert | why |", "|---|---|"]
    return "\n".join([*head, *rows])


def _fault(fault: dict[str, Any]) -> str:
    return "\n".join(
        f"| {fault['fault']} | {fault['layer']} | `{name}` |"
        f" {fault['fired'][name]:.0f} s |" if name in fault["fired"] else
        f"| {fault['fault']} | {fault['layer']} | `{name}` | did not |"
        for name in fault["alerts"]
    )  # fmt: skip


def _spans(spans: list[str]) -> str:
    return "\n".join(f"- `{each}`" for each in dict.fromkeys(spans))


def _listed(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
