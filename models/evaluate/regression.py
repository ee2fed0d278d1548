"""The regression gate: the same questions asked before and after a change, compared one by one."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from models.evaluate.answers import Outcome
from models.markdown import plain
from models.stats import Estimate, difference, mcnemar
from models.suite.suite import Case
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound

LEVEL = 0.05
"""A difference that chance makes more often than this is not told from noise."""

Change = Literal["worse", "better", "other answer"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RegressionCase(_Frozen):
    """One question of a run. `case` is the digest of what was asked and expected."""

    case: str
    question: str
    cluster: str
    problems: tuple[str, ...]
    action: str
    text: str

    @property
    def passed(self) -> bool:
        return not self.problems


class RegressionRun(_Frozen):
    """What a later run is compared with. `at`: ISO 8601, UTC."""

    at: str
    asked: dict[str, RegressionCase]


class Changed(_Frozen):
    """A question whose answer is not the one of the baseline."""

    id: str
    question: str
    change: Change
    before: RegressionCase
    after: RegressionCase


class RegressionResult(_Frozen):
    """Baseline against this run. `difference` is the share that passes now minus before, with its
    95% interval; `p` the exact McNemar test on the questions that passed in one run alone."""

    before: str
    compared: int
    passed_before: int
    passed_now: int
    changed: tuple[Changed, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    asked_otherwise: tuple[str, ...]
    """In both runs, with another question or expectation: nothing to compare."""
    difference: float
    interval: tuple[float, float] | None
    p: float
    allowed: int | None

    def of(self, change: Change) -> list[Changed]:
        return [each for each in self.changed if each.change == change]

    @property
    def told_from_noise(self) -> bool:
        return self.p < LEVEL

    @property
    def failed(self) -> bool:
        """Worse beyond noise, or by more questions than are allowed, where a number was given."""
        worse = len(self.of("worse"))
        if self.allowed is not None and worse > self.allowed:
            return True
        return self.told_from_noise and worse > len(self.of("better"))

    @property
    def verdict(self) -> str:
        """One sentence."""
        worse, better = len(self.of("worse")), len(self.of("better"))
        if not worse and not better:
            return "No question fares otherwise than in the baseline."
        told = f"p = {self.p:.3f}, exact McNemar"
        if self.told_from_noise:
            way = "worse" if worse > better else "better"
            return f"{way.capitalize()} than the baseline, beyond noise ({told})."
        if self.failed:
            return f"{worse} got worse, and {self.allowed} may ({told})."
        return f"{worse} worse, {better} better: not to be told from noise ({told})."


def run_of(outcomes: Sequence[Outcome]) -> RegressionRun:
    asked = {
        o.case.id: RegressionCase(
            case=_digest(o.case),
            question=o.case.question,
            cluster=o.case.cluster,
            problems=tuple(o.problems),
            action=o.action,
            text=o.text,
        )
        for o in outcomes
    }
    return RegressionRun(at=datetime.now(UTC).isoformat(timespec="seconds"), asked=asked)


def read_run(path: Path) -> RegressionRun:
    """Raises NotFound, or InvalidInput with what to do."""
    try:
        return RegressionRun.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(
            f"There is no baseline at {path}. Make one from what you have now: --write."
        ) from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
        raise InvalidInput(
            f"{path} is no baseline ({where}: {error.errors()[0]['msg']}). Make one: --write."
        ) from None


def compare(
    before: RegressionRun, now: RegressionRun, allowed: int | None = None
) -> RegressionResult:
    """Compares, question by question, those that both runs asked in the same way. Raises
    InvalidInput where there is none."""
    both = [id for id in before.asked if id in now.asked]
    same = [id for id in both if before.asked[id].case == now.asked[id].case]
    if not same:
        raise InvalidInput("The baseline is of another suite: no question is the same. --write")
    pairs = {id: (before.asked[id], now.asked[id]) for id in same}
    changed = tuple(
        Changed(id=id, question=now.question, change=change, before=was, after=now)
        for id, (was, now) in pairs.items()
        if (change := _change(was, now)) is not None
    )
    worse, better = (sum(c.change == each for c in changed) for each in ("worse", "better"))
    found: Estimate = difference(
        [now.passed for _, now in pairs.values()],
        [was.passed for was, _ in pairs.values()],
        [now.cluster for _, now in pairs.values()],
    )
    return RegressionResult(
        before=before.at,
        compared=len(same),
        passed_before=sum(was.passed for was, _ in pairs.values()),
        passed_now=sum(now.passed for _, now in pairs.values()),
        changed=changed,
        added=tuple(id for id in now.asked if id not in before.asked),
        removed=tuple(id for id in before.asked if id not in now.asked),
        asked_otherwise=tuple(id for id in both if id not in pairs),
        difference=found.value,
        interval=(found.low, found.high) if found.low == found.low else None,
        p=mcnemar(worse, better),
        allowed=allowed,
    )


def markdown(gate: RegressionResult) -> str:
    """Returns a summary for a pull request."""
    mark = "❌" if gate.failed else "⚠️" if gate.of("worse") else "✅"
    share = f"{gate.difference:+.1%}"
    if gate.interval:
        share += f" (95% {gate.interval[0]:+.1%} to {gate.interval[1]:+.1%})"
    lines = [
        f"## {mark} {gate.verdict}",
        "",
        f"{counted(gate.compared, 'question')} compared with the baseline of {gate.before}:"
        f" {gate.passed_before} passed then, {gate.passed_now} now, {share}.",
    ]
    titles: Mapping[Change, str] = {"worse": "Got worse", "better": "Got better"}
    for change, title in titles.items():
        if rows := gate.of(change):
            lines += ["", f"### {title} ({len(rows)})", "", "| question | before | now |",
                      "|---|---|---|"]  # fmt: skip
            lines += [
                f"| {plain(r.id)} {plain(r.question)} | {_said(r.before)} | {_said(r.after)} |"
                for r in rows
            ]
    if others := gate.of("other answer"):
        names = ", ".join(f"{plain(each.id)}" for each in others)
        lines += ["", f"Answered in other words, and judged as before ({len(others)}): {names}"]
    named: Mapping[str, tuple[str, ...]] = {
        "Only in this run": gate.added,
        "Only in the baseline": gate.removed,
        "Asked or expected otherwise than in the baseline": gate.asked_otherwise,
    }
    for title, ids in named.items():
        if ids:
            lines += ["", f"{title}: " + ", ".join(f"{plain(id)}" for id in ids)]
    return "\n".join(lines) + "\n"


def data(gate: RegressionResult) -> dict[str, Any]:
    """Returns the result for JSON, with what follows from the fields."""
    counts = {
        "worse": len(gate.of("worse")),
        "better": len(gate.of("better")),
        "other_answer": len(gate.of("other answer")),
    }
    said = {"failed": gate.failed, "verdict": gate.verdict, "noise": not gate.told_from_noise}
    return said | counts | gate.model_dump(mode="json")


def _change(was: RegressionCase, now: RegressionCase) -> Change | None:
    if was.passed and not now.passed:
        return "worse"
    if now.passed and not was.passed:
        return "better"
    return "other answer" if (was.action, was.text) != (now.action, now.text) else None


def _said(asked: RegressionCase) -> str:
    return "passes" if asked.passed else plain("; ".join(asked.problems))


def _digest(case: Case) -> str:
    asked = case.model_dump_json(exclude={"tags", "confirmed"})
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
