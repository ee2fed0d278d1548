"""Makes Grafana's dashboards from panels.py, with the typed builders of Grafana's own SDK.

    .venv-ops/bin/python deploy/grafana/build.py [--check]

Writes helm/twofold/dashboards/*.json; `--check` says whether they are up to date (exit code 1).
"""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)
from panels import DASHBOARDS, RUNBOOK, Dashboard, Panel

FOLDER = (
    Path(__file__).parents[2] / "helm/twofold/dashboards"
)  # in the chart: helm packs nothing outside it
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = {"timeseries": 8, "stat": 4}


def render(board: Dashboard) -> str:
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["twofold"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .editable()
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(
            dashboard.TextBoxVariable("docs")
            .label("Docs")
            .default_value("https://docs.example.com")
        )
        .link(
            dashboard.DashboardLink("Twofold")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["twofold"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    return (
        json.dumps(
            json.loads(JSONEncoder(sort_keys=True, indent=2).encode(built.build())),
            indent=2,
            sort_keys=True,
        )
        + "\n"
    )


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel:
    made: timeseries.Panel | stat.Panel
    if panel.kind == "stat":
        made = stat.Panel()
    else:
        made = (
            timeseries.Panel()
            .min(0)
            .fill_opacity(8)
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
            .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        )
    made = (
        made.title(panel.title)
        .description(panel.when_red)
        .unit(panel.unit)
        .span(panel.span)
        .height(HEIGHT[panel.kind])
        .datasource(SOURCE)
        .thresholds(_thresholds(panel))
        .links(
            [
                dashboard.DashboardLink("What to do")
                .type(DashboardLinkType.LINK)
                .url(f"${{docs}}{RUNBOOK}#{panel.runbook}")
                .target_blank(True)
            ]
        )
    )
    for letter, query in zip("ABCD", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).datasource(SOURCE).ref_id(letter)
        made = made.with_target(target.legend_format(query.legend or panel.title))
    return made


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    low, high = ("red", "green") if panel.red_below else ("green", "red")
    steps = [Threshold(color=low if panel.red is not None else "green", value=None)]
    if panel.red is not None:
        steps.append(Threshold(color=high, value=panel.red))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    stale = []
    FOLDER.mkdir(exist_ok=True)
    for board in DASHBOARDS:
        path = FOLDER / f"{board.uid}.json"
        text = render(board)
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"Behind panels.py: {', '.join(stale)}. Run: make dashboards")
    print(f"{len(DASHBOARDS)} dashboards {'are up to date' if check else 'written'}")


if __name__ == "__main__":
    main()
