"""Dashboards, rules, docs and code speak of the same metrics, and every alert says what to do."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import need
from tools.metrics_table import declared, name, table

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy/grafana"
RULES = sorted((ROOT / "helm/twofold/rules").glob("*.yaml"))
TESTS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
RUNBOOK = ROOT / "docs/operations/runbook.md"
BOARDS = sorted((ROOT / "helm/twofold/dashboards").glob("*.json"))
OTHERS = frozenset(
    [
        "up",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_hits_total",
        "vllm:prefix_cache_queries_total",
        "vllm:request_success_total",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:request_time_per_output_token_seconds_bucket",
        "redis_memory_used_bytes",
        "redis_memory_max_bytes",
        "redis_aof_last_write_status",
        "pg_stat_activity_count",
        "pg_settings_max_connections",
        "pg_database_size_bytes",
        "collection_points",
        "rest_responses_duration_seconds_bucket",
    ]
)
"""Of others: vLLM, Qdrant, the exporters of Redis and PostgreSQL, Prometheus' own client."""
WORDS = frozenset(
    [
        "sum",
        "min",
        "max",
        "by",
        "rate",
        "increase",
        "histogram_quantile",
        "and",
        "or",
        "on",
        "ignoring",
    ]
)
METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def ours() -> set[str]:
    known = {name(metric) for metric in declared()}
    return known | {f"{each}_{end}" for each in known for end in ("bucket", "count", "sum")}


def named(expr: str) -> set[str]:
    """Metric names in PromQL: not its functions, labels, label values or durations."""
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\bby\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    return {word for word in METRIC.findall(bare) if word not in WORDS}


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    found = [panel for path in BOARDS for panel in json.loads(path.read_text())["panels"]]
    return [panel for panel in found if panel["type"] != "row"]


def anchors() -> set[str]:
    """Of the runbook's headings, as every viewer of Markdown makes them: words, with hyphens."""
    titles = re.findall(r"^## ([\w -]+)$", RUNBOOK.read_text(), re.MULTILINE)
    return {title.lower().replace(" ", "-") for title in titles}


def test_the_table_in_the_docs_is_todays() -> None:
    published = (ROOT / "docs/metrics.md").read_text()
    assert published == table(), "run: python -m tools.metrics_table > docs/metrics.md"


def test_every_metric_of_ours_is_in_the_table() -> None:
    assert len(declared()) > 30
    assert all(f"`{name(metric)}`" in table() for metric in declared())


def test_names_in_dashboards_and_rules_exist() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    expressions += [rule["expr"] for rule in rules()]
    unknown = {word for expr in expressions for word in named(expr)} - ours() - OTHERS - recorded
    assert not unknown
    assert len(expressions) > 60


def test_every_panel_has_a_unit_and_says_what_to_do() -> None:
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"]) > 10, panel["title"]
        (link,) = panel["links"]
        assert link["url"].partition("#")[2] in anchors(), panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)), panel["title"]


def test_every_alert_names_its_layer_and_a_section_of_the_runbook() -> None:
    assert len(alerts()) >= 20
    for alert in alerts():
        assert alert["labels"]["layer"] in ("knowledge", "behaviour", "both"), alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        assert alert["annotations"]["runbook"].partition("#")[2] in anchors(), alert["alert"]
    for layer in ("knowledge", "behaviour"):
        assert any(alert["labels"]["layer"] == layer for alert in alerts())


def test_every_alert_is_seen_firing_by_promtool() -> None:
    fired = {
        case["alertname"]
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    slow = {each["alert"] for each in alerts() if each["alert"].endswith("Slow")}
    assert {each["alert"] for each in alerts()} - fired <= slow


@pytest.mark.parametrize("command", [("check", RULES), ("test", TESTS)], ids=["check", "test"])
def test_promtool(command: tuple[str, list[Path]]) -> None:
    promtool = need(shutil.which("promtool"), "promtool (apt-get install prometheus)")
    verb, paths = command
    done = subprocess.run(
        [promtool, verb, "rules", *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_committed_dashboards_are_what_is_built() -> None:
    python = need(next(iter(sorted((ROOT / ".venv-ops/bin").glob("python"))), None), ".venv-ops")
    done = subprocess.run(
        [python, str(GRAFANA / "build.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
