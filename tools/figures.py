"""Writes the figures that documents quote, from what commands measured: `make figures`.

    python -m tools.figures                          the tables of README and docs, and what the
                                                     diagnosis says of itself
    python -m tools.figures keep NAME -- COMMAND …   run a command, keep its last line of JSON

`benchmarks/figures.yaml` says which figures stand in which table and how they are put. A benchmark
keeps its result itself; `keep` does it for other commands. Nothing is typed in by hand: what a
result lacks fails here, and a test holds tables and results equal.
"""

import argparse
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import RESULTS, keep
from tools.arms_table import (
    arms_table,
    break_even_line,
    flips_table,
    noticed_table,
    preference_table,
    prompts_table,
    refusals_table,
    served_costs_table,
    served_table,
    tokens_table,
)

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    ROOT / page
    for page in (
        "README.md",
        "docs/figures.md",
        "docs/diagnosis.md",
        "docs/behaviour.md",
        "docs/economics.md",
    )
)
FIGURES = ROOT / "benchmarks/figures.yaml"
TABLE = re.compile(r"(<!-- figures: (\w+) -->).*?(<!-- /figures -->)", re.DOTALL)
"""Where a table stands: `what` is that of all rows, `readme` and `weak` are README's two; those of
OF_ONE show one result in a form of its own."""
OF_ONE: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "arms": ("arms", arms_table),
    "flips": ("arms", flips_table),
    "served": ("served", served_table),
    "refusals": ("gate_refusals", refusals_table),
    "noticed": ("gate_refusals", noticed_table),
    "preference": ("preference", preference_table),
    "prompts": ("economics", prompts_table),
    "tokens": ("economics", tokens_table),
    "even": ("economics", break_even_line),
    "costs": ("arms", served_costs_table),
}

TRUST = ROOT / "models/diagnosis/trust.json"
INJECTED: Mapping[str, str] = {
    "planted faults, example suite, report half": "eval_inject",
    "planted faults, Magento help center": "eval_inject_magento",
}
"""Results whose figures stand in TRUST, by what they were measured on."""
_NAMED = {
    "layer named rightly": "layer_right",
    "cause named rightly": "cause_right",
    "false alarms": "false_alarms",
}


class _Share(float):
    """A number that prints `.89` where a format asks for `s2`: a share without its leading zero."""

    def __format__(self, spec: str) -> str:
        if spec.startswith("s"):
            shown = format(float(self), f".{spec[1:]}f")
            return shown.removeprefix("0") if shown.startswith("0.") else shown
        return format(float(self), spec)


def table(key: str) -> str:
    """The rows of `figures.yaml` that have `key`, their text for this table, as Markdown; or what
    OF_ONE says.

    Raises KeyError where a result lacks a figure.
    """
    kept = {path.stem: json.loads(path.read_text("utf-8")) for path in RESULTS.glob("*.json")}
    if key in OF_ONE:
        name, render = OF_ONE[key]
        return render(kept[name]["result"])
    values = {name: _numbers(each["result"]) for name, each in kept.items()}
    whole = key == "what"
    head = ["what", "figure", *(["command"] if whole else []), "measured"]
    lines = [head, ["---"] * len(head)]
    for row in yaml.safe_load(FIGURES.read_text("utf-8")):
        if key in row:
            source, figure = kept[row["from"]], row["figure"].format(**values)
            command = [f"`{source['command']}`"] if whole else []
            lines.append([row[key], figure, *command, source["date"]])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(text: str) -> str:
    """`text` with the tables of today between their marks."""
    return TABLE.sub(lambda at: f"{at[1]}\n\n{table(at[2])}\n\n{at[3]}", text)


def trusted(text: str) -> str:
    """Returns the text of TRUST with what was measured last in those rows that INJECTED names."""
    rows = json.loads(text)
    for row in rows:
        if row["data"] not in INJECTED:
            continue
        kept = json.loads((RESULTS / f"{INJECTED[row['data']]}.json").read_text("utf-8"))
        result, name = kept["result"], _NAMED[row["metric"]]
        row["value"], row["ci"] = result[name], result[f"{name}_ci"]
        if name != "false_alarms":
            row["n"] = result["faults"]
            row["note"] = f"kinds kept out of tuning: {result['kept_out'][name]:.2f}"
    return json.dumps(rows, indent=1) + "\n"


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return _Share(value) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what")
    kept = commands.add_parser("keep")
    kept.add_argument("name")
    kept.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.what == "keep":
        done = subprocess.run(options.command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(done.stdout.strip().splitlines()[-1])
        keep(options.name, result, " ".join(options.command))
    for page in PAGES:
        page.write_text(written(page.read_text("utf-8")), "utf-8")
    TRUST.write_text(trusted(TRUST.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
