"""Every PromQL expression that is shipped, and what a running Prometheus says to it."""

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DURATION = re.compile(r"\[(\d{1,4})([smhd])\]")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
AGE = re.compile(r"(_(?:age|oldest)_seconds\)?) > (\d{1,6})")
NAMESPACE = "twofold"


class Expression(NamedTuple):
    """`where`: `dashboard/panel`, `record/name`, `alert/name` or `keda/component`."""

    where: str
    expr: str


def expressions() -> Iterator[Expression]:
    """Of all dashboards, recording rules and alerts, and of the triggers of KEDA."""
    for path in sorted((ROOT / "helm/twofold/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield Expression(f"{path.stem}/{panel['title']}", target["expr"])
    for path in sorted((ROOT / "helm/twofold/rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                kind = "record" if "record" in rule else "alert"
                yield Expression(f"{kind}/{rule[kind]}", rule["expr"].strip())
    for path in sorted((ROOT / "helm/twofold/templates").glob("*/scaledobject.yaml")):
        for line in path.read_text().splitlines():
            if line.strip().startswith("query: "):
                expr = line.partition("query: ")[2].replace("{{ .Release.Namespace }}", NAMESPACE)
                yield Expression(f"keda/{path.parent.name}", expr)


def seen_by(expr: str) -> str:
    """What an alert looks at: its expression without the thresholds, so that it returns something
    while all is well."""
    return re.sub(r" (?:[<>]|==) [\d.]+(?: \* [\d.]+)?(?=$| and | or )", "", expr)


def paced(expr: str, pace: int) -> str:
    """The expression where time goes `pace` times as fast: windows, and thresholds of ages."""
    expr = AGE.sub(lambda found: f"{found[1]} > {int(found[2]) / pace:g}", expr)
    return DURATION.sub(lambda found: f"[{_ms(found[1] + found[2], pace)}]", expr)


def paced_rules(text: str, pace: int) -> str:
    """A file of rules, its windows, ages and `for` at that pace; as it is at a pace of one."""
    if pace == 1:
        return text
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = paced(rule["expr"], pace)
            if "for" in rule:
                rule["for"] = _ms(rule["for"], pace)
    return yaml.safe_dump(rules, sort_keys=False, width=1000)


def _ms(duration: str, pace: int) -> str:
    return f"{int(duration[:-1]) * UNITS[duration[-1]] * 1000 // pace}ms"


class Prometheus:
    """A running one, by its HTTP interface."""

    def __init__(self, url: str) -> None:
        self._url = url

    def series(self, expr: str) -> list[dict[str, Any]]:
        """What the expression returns now. Raises HTTPError for one that Prometheus refuses."""
        return list(self._get("query", query=expr)["result"])

    def over_time(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        return list(self._get("query_range", query=expr, start=start, end=end, step=step)["result"])

    def firing(self) -> set[str]:
        found = self._get("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}

    def _get(self, what: str, **parameters: Any) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as response:
            data: dict[str, Any] = json.loads(response.read())["data"]
        return data
