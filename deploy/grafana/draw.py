"""Draws the page *Which layer hurts* from recorded series: no screenshot, where no Grafana is.

.venv-ops/bin/python deploy/grafana/draw.py OUT/panels.json docs/images/which-layer-hurts.png
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLUMNS = 4
COLOURS = ("#3274d9", "#e0752d", "#56a64b", "#b877d9", "#d44a3a", "#8f8f8f", "#1f9e8e", "#c4a000")
UNITS = {"percentunit": "%", "reqps": "per second", "s": "seconds", "short": ""}
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
MOST_NAMED = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("series", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    board = json.loads(options.series.read_text(encoding="utf-8"))
    plt.rcParams |= {"font.size": 7, "axes.titlesize": 8, "axes.titleweight": "bold"}
    lines = _lines(board["panels"])
    figure = plt.figure(figsize=(13, 2.15 * len(lines)))
    grid = figure.add_gridspec(
        len(lines), COLUMNS, height_ratios=[0.12 if isinstance(each, str) else 1 for each in lines]
    )
    for number, line in enumerate(lines):
        if isinstance(line, str):
            heading = figure.add_subplot(grid[number, :])
            heading.axis("off")
            heading.text(0, 0, line, fontsize=10, weight="bold")
            continue
        wide = COLUMNS // len(line)
        for at, panel in enumerate(line):
            cells = grid[number, at * wide : (at + 1) * wide]
            _draw(figure.add_subplot(cells), panel, board)
    figure.suptitle(
        f"{board['title']} — the panels' expressions over a run at {board['pace']} times the pace,"
        " drawn with matplotlib; shaded: faults are injected",
        fontsize=9,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(options.picture, dpi=80)
    print(options.picture)


def _lines(panels: list[dict[str, Any]]) -> list[str | list[dict[str, Any]]]:
    """Headings, and panels as they stand beside each other: small ones four in a line."""
    lines: list[str | list[dict[str, Any]]] = []
    for panel in panels:
        if "row" in panel:
            lines.append(panel["row"])
            continue
        room = COLUMNS if panel["kind"] == "stat" else 2
        last = lines[-1] if lines else ""
        if isinstance(last, list) and len(last) < room and last[0]["kind"] == panel["kind"]:
            last.append(panel)
        else:
            lines.append([panel])
    return lines


def _draw(axes: Axes, panel: dict[str, Any], board: dict[str, Any]) -> None:
    percent = 100 if panel["unit"] == "percentunit" else 1
    axes.set_title(panel["title"], loc="left")
    axes.axvspan(board["undisturbed"], board["seconds"], color="#000000", alpha=0.06, lw=0)
    loudest = sorted(panel["series"], key=lambda each: -_mean(each["points"]))
    drawn = [each for each in loudest if any(value == value for _, value in each["points"])]
    for number, series in enumerate(drawn):
        points = series["points"]
        axes.plot(
            [at for at, _ in points],
            [value * percent for _, value in points],
            color=COLOURS[number % len(COLOURS)],
            lw=1.1,
            label=_name(series) if len(drawn) > 1 and number < MOST_NAMED else None,
        )
    for step in panel["thresholds"]:
        if step["value"] is not None and drawn and step["value"] * percent <= axes.get_ylim()[1]:
            axes.axhline(step["value"] * percent, color="#d44a3a", lw=0.8, ls="--")
    axes.set_xlim(0, board["seconds"])
    axes.set_ylim(bottom=0)
    axes.set_ylabel(UNITS.get(panel["unit"], panel["unit"]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    if not drawn:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="#888888")
    if len(drawn) > 1:
        axes.legend(loc="upper left", frameon=False, fontsize=6, ncols=2)


def _mean(points: list[list[float]]) -> float:
    known = [value for _, value in points if value == value]
    return sum(known) / len(known) if known else 0.0


def _name(series: dict[str, Any]) -> str:
    return LEGEND.sub(lambda found: series["labels"].get(found[1], ""), series["legend"])


if __name__ == "__main__":
    main()
