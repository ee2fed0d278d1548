"""The run on record has seen every expression that is shipped, and every alert fire."""

import json
import re

import pytest
import yaml

from deploy.local.promql import Expression, expressions, paced, paced_rules, seen_by
from tools.observed_page import PAGE, REASONS, RECORD, ROOT, page, returned

AGAIN = "run python -m deploy.local.observe OUT again, or say in deploy/prometheus/unseen.yaml why"

RUN = json.loads(RECORD.read_text())
SEEN = {Expression(each["where"], each["expr"]): each for each in RUN["expressions"]}
WHY: dict[str, str] = yaml.safe_load(REASONS.read_text()) or {}


def test_every_expression_returned_numbers_or_has_its_reason() -> None:
    shipped = list(expressions())
    assert len(shipped) > 100
    for kind in ("record/", "alert/", "keda/", "twofold-layers/"):
        assert any(each.where.startswith(kind) for each in shipped)
    silent = {
        each.where for each in shipped if each not in SEEN or not returned(SEEN[each])
    } - WHY.keys()
    assert not silent, AGAIN


def test_no_reason_is_kept_for_what_is_seen_or_gone() -> None:
    shipped = list(expressions())
    for where, reason in WHY.items():
        assert len(reason) > 20, where
        kind, _, name = where.partition("/")
        if kind == "calm":
            assert name in RUN["calm"]["firing"]
            continue
        if kind == "unanswered":
            assert name not in {each for fault in RUN["faults"] for each in fault["fired"]}
            continue
        asked = [each for each in shipped if each.where == where]
        assert asked, f"{where} is gone"
        assert any(each not in SEEN or not returned(SEEN[each]) for each in asked), where


def test_every_alert_answered_a_fault_and_none_fired_without_or_has_its_reason() -> None:
    fired = {name for fault in RUN["faults"] for name in fault["fired"]}
    alerts = {
        each.where.removeprefix("alert/")
        for each in expressions()
        if each.where.startswith("alert/")
    }
    assert {f"unanswered/{name}" for name in alerts - fired} <= WHY.keys(), AGAIN
    assert {f"calm/{name}" for name in RUN["calm"]["firing"]} <= WHY.keys()
    assert RUN["calm"]["requests"] > 50
    layers = {fault["layer"] for fault in RUN["faults"]}
    assert layers >= {"knowledge", "ingestion", "widget", "people", "stores"}


def test_one_trace_led_from_the_widget_to_vllm() -> None:
    assert {"widget", "answer", "vllm"} <= set(RUN["trace"]["services"])
    assert set(RUN["trace"]["job"]) == {"answer", "worker"}


def test_the_page_is_todays() -> None:
    assert PAGE.read_text() == page(), "run: python -m tools.observed_page"


@pytest.mark.parametrize(
    ("expr", "faster"),
    [
        ("rate(a[5m])", "rate(a[5000ms])"),
        ("max by (q) (x_age_seconds) > 600", "max by (q) (x_age_seconds) > 10"),
        ("max(x_oldest_seconds) > 300", "max(x_oldest_seconds) > 5"),
        ("y > 0.2", "y > 0.2"),
    ],
)
def test_pace_shortens_windows_and_ages_alone(expr: str, faster: str) -> None:
    assert paced(expr, 60) == faster


def test_rules_at_their_own_pace_are_the_ones_that_are_shipped() -> None:
    (path,) = (ROOT / "helm/twofold/rules").glob("*.yaml")
    text = path.read_text()
    assert paced_rules(text, 1) == text
    quick = yaml.safe_load(paced_rules(text, 60))
    slow = yaml.safe_load(text)
    assert [len(group["rules"]) for group in quick["groups"]] == [
        len(group["rules"]) for group in slow["groups"]
    ]
    assert not re.search(r"\[\d+[mhd]\]", json.dumps(quick))


def test_what_an_alert_looks_at_has_no_threshold() -> None:
    assert seen_by("a > 14.4 * 0.001 and b > 6 * 0.01") == "a and b"
    assert seen_by('up{job=~"answer"} == 0') == 'up{job=~"answer"}'
    assert seen_by("max(a / (b > 0)) > 0.8 or min(c) == 0") == "max(a / (b > 0)) or min(c)"
