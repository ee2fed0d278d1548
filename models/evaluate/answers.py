"""The answer eval: every question of a suite asked, and what came back scored against it."""

import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

import structlog

from models.asking import ask_each
from models.stats import Estimate, estimate, percentile
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case
from twofold.errors import UpstreamError
from twofold.reply import OURS, judged
from twofold.text.blocks import squeeze

METRICS = {
    "action": "action as expected",
    "escalation_team": "team, of right escalations",
    "escalation_reason": "reason, of right escalations",
    "gold_cited": "a gold document cited",
    "citation_precision": "citations of gold documents",
    "facts": "key facts present",
    "all_facts": "all key facts present",
    "quotes_true": "quotes literally in their version",
    "over_escalated": "escalated without need",
    "under_escalated": "not escalated though needed",
}
"""Metric -> what it is the share of. The last two are better the lower they are."""
_log = structlog.get_logger("twofold.evaluate")

SEARCHED = 50
"""Passages asked for to see what stood before the reply maker: the most that a search gives."""


class ReturnedCitation(NamedTuple):
    """A citation as it came back. `literal`: None where its version's text could not be had."""

    document: str
    version: int
    quote: str
    literal: bool | None


class RecordedCandidate(NamedTuple):
    """A retrieved chunk, in the order of its score. `text` is empty where it could not be had."""

    chunk: str
    document: str
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question's answer and the evidence of how it came about. `seconds` is wall time."""

    case: Case
    answer_id: str
    action: str
    team: str | None
    reason: str | None
    text: str
    served_by: str
    citations: tuple[ReturnedCitation, ...]
    candidates: tuple[RecordedCandidate, ...]
    packed: frozenset[str]
    why: str
    seconds: float
    ours: tuple[str, ...] = ()
    """What of the text the service itself says, and no reply maker or source."""

    @property
    def judged(self) -> str:
        return judged(self.text, self.ours)

    @property
    def gold_cited(self) -> bool:
        return any(is_gold(c.document, self.case) for c in self.citations)

    @property
    def missing_facts(self) -> list[tuple[str, ...]]:
        return [fact for fact in self.case.expect.spellings if not says(self.judged, fact)]

    @property
    def problems(self) -> list[str]:
        """What is wrong with the answer; nothing where it is right."""
        expect, found = self.case.expect, []
        if self.action != expect.action:
            found.append(f"{self.action} instead of {expect.action}")
        elif (self.team, self.reason) != (expect.team, expect.reason):
            found.append(f"{self.team}/{self.reason} instead of {expect.team}/{expect.reason}")
        elif expect.action == "ANSWER":
            if not self.gold_cited:
                found.append("no gold document cited")
            found += [f"fact missing: {fact[0]!r}" for fact in self.missing_facts]
        if any(c.literal is False for c in self.citations):
            found.append("a quote does not stand in its document version")
        return found


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """Metric -> estimate; latencies in seconds; groups name the same metrics for a part."""

    cases: int
    metrics: Mapping[str, Estimate]
    latency_p50: float
    latency_p95: float
    confusion: Mapping[tuple[str, str], int]
    """(expected action, action that came) -> questions."""
    by_tag: Mapping[str, Mapping[str, Estimate]]
    by_action: Mapping[str, Mapping[str, Estimate]]
    served_by: Mapping[str, int]

    def data(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "metrics": _data(self.metrics),
            "latency": {"p50": round(self.latency_p50, 4), "p95": round(self.latency_p95, 4)},
            "confusion": [
                {"expected": expected, "got": got, "cases": n}
                for (expected, got), n in sorted(self.confusion.items())
            ],
            "by_tag": {tag: _data(found) for tag, found in self.by_tag.items()},
            "by_action": {action: _data(found) for action, found in self.by_action.items()},
            "served_by": dict(self.served_by),
        }


def is_gold(document: str, case: Case) -> bool:
    """Returns whether a `source/external_id` is one of the case's gold documents (external ids)."""
    return document.partition("/")[2] in case.expect.documents


async def ask_all(
    client: AnswerClient,
    cases: Sequence[Case],
    *,
    pass_as_of: bool = False,
    concurrency: int = 1,
    progress: Callable[[int], None],
) -> list[Outcome]:
    """Asks every question, each in a conversation of its own. Outcomes in the order of `cases`.

    With `concurrency` 1 the latencies are those of an idle service. Nobody is called for what is
    handed over, and at the end everything is deleted that the questions left at the service.
    """
    versions = _Versions(client)
    customer = f"evaluation-{uuid4()}"

    def ask(case: Case) -> Coroutine[Any, Any, Outcome]:
        return _ask(client, versions, case, customer, pass_as_of)

    try:
        return await ask_each(ask, cases, concurrency, lambda done, _of: progress(done))
    finally:
        await _tidy(client, customer)


def score(outcomes: Sequence[Outcome]) -> AnswerReport:
    """Returns every metric with an interval that resamples gold documents with all their
    questions."""
    tags = sorted({tag for outcome in outcomes for tag in outcome.case.tags})
    actions = sorted({outcome.case.expect.action for outcome in outcomes})
    seconds = [outcome.seconds for outcome in outcomes]
    return AnswerReport(
        cases=len(outcomes),
        metrics=_metrics(outcomes),
        latency_p50=percentile(seconds, 0.5),
        latency_p95=percentile(seconds, 0.95),
        confusion=Counter((outcome.case.expect.action, outcome.action) for outcome in outcomes),
        by_tag={tag: _metrics([o for o in outcomes if tag in o.case.tags]) for tag in tags},
        by_action={
            action: _metrics([o for o in outcomes if o.case.expect.action == action])
            for action in actions
        },
        served_by=Counter(outcome.served_by for outcome in outcomes),
    )


async def _tidy(client: AnswerClient, customer: str) -> None:
    """Deletes what an eval asked: it is no customer's, and must not be counted, exported or
    learned from."""
    try:
        done = await client.forget_customer(customer)
    except UpstreamError as error:
        _log.warning("the eval's answers stay in the ledger", customer=customer, why=error.message)
    else:
        if not done:
            why = "the key lacks the scope admin"
            _log.warning("the eval's answers stay in the ledger", customer=customer, why=why)


async def _ask(
    client: AnswerClient, versions: "_Versions", case: Case, customer: str, pass_as_of: bool
) -> Outcome:
    body: dict[str, Any] = {"message": case.question, "audience": case.audience}
    body |= {"customer": customer, "evaluation": True}
    if case.locale:
        body["locale"] = case.locale
    if case.history:
        body["history"] = [turn.model_dump() for turn in case.history]
    if pass_as_of and case.as_of:
        body["as_of"] = case.as_of.isoformat()
    started = time.perf_counter()
    try:
        answer = await client.chat(body)
    except UpstreamError as error:
        raise UpstreamError(f"Question {case.id!r} was not answered: {error.message}") from error
    seconds = time.perf_counter() - started
    record = await client.record(answer["answer_id"])
    texts = await _texts(client, body, record["standalone"]) if case.expect.documents else {}
    escalation = answer["escalation"] or {}
    return Outcome(
        case=case,
        answer_id=answer["answer_id"],
        action=answer["action"],
        team=escalation.get("team"),
        reason=escalation.get("reason"),
        text=answer["text"],
        served_by=answer["served_by"],
        citations=tuple([await versions.check(citation) for citation in answer["citations"]]),
        candidates=tuple(
            RecordedCandidate(c["chunk"], c["document"], c["score"], texts.get(c["chunk"], ""))
            for c in record["retrieved"]
        ),
        packed=frozenset(record["packed"]),
        why=str(record["signals"].get("why", "")),
        seconds=seconds,
        ours=tuple(record["signals"].get(OURS, ())),
    )


async def _texts(client: AnswerClient, asked: Mapping[str, Any], standalone: str) -> dict[str, str]:
    """Returns the texts, by chunk id, of what retrieval finds for the same question."""
    same = {key: asked[key] for key in ("audience", "locale", "as_of") if key in asked}
    found = await client.search({"query": standalone, "limit": SEARCHED, **same})
    return {candidate["chunk"]: candidate["text"] for candidate in found["candidates"]}


class _Versions:
    """Fetches the texts of document versions, each once."""

    def __init__(self, client: AnswerClient) -> None:
        self._client = client
        self._texts: dict[tuple[str, int], str | None] = {}

    async def check(self, citation: Mapping[str, Any]) -> ReturnedCitation:
        document, version, quote = citation["document"], citation["version"], citation["quote"]
        key = (document, version)
        if key not in self._texts:
            text = await self._client.version_text(document, version)
            self._texts[key] = None if text is None else squeeze(text)
        text = self._texts[key]
        literal = None if text is None else bool(quote.strip()) and squeeze(quote) in text
        return ReturnedCitation(document, version, quote, literal)


class _Value(NamedTuple):
    metric: str
    value: float
    cluster: str


def _metrics(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    values = [value for outcome in outcomes for value in _values(outcome)]
    return {
        metric: estimate(
            [v.value for v in values if v.metric == metric],
            [v.cluster for v in values if v.metric == metric],
        )
        for metric in METRICS
    }


def _values(outcome: Outcome) -> list[_Value]:
    """Returns what one answer adds to each metric that it has a part in."""
    case, expect = outcome.case, outcome.case.expect
    escalated = outcome.action == "ESCALATE"
    found: list[tuple[str, float]] = [("action", outcome.action == expect.action)]
    if expect.action == "ESCALATE":
        found.append(("under_escalated", not escalated))
        if escalated:
            found.append(("escalation_team", outcome.team == expect.team))
            found.append(("escalation_reason", outcome.reason == expect.reason))
    else:
        found.append(("over_escalated", escalated))
    if expect.action == "ANSWER":
        found.append(("gold_cited", outcome.gold_cited))
        found += [("citation_precision", is_gold(c.document, case)) for c in outcome.citations]
        if facts := expect.spellings:
            missing = len(outcome.missing_facts)
            found.append(("facts", 1 - missing / len(facts)))
            found.append(("all_facts", not missing))
    found += [("quotes_true", c.literal) for c in outcome.citations if c.literal is not None]
    return [_Value(metric, float(value), case.cluster) for metric, value in found]


def _data(metrics: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: found.data() for name, found in metrics.items() if found.n}


async def indexed(client: AnswerClient, outcome: Outcome) -> bool | None:
    """Returns whether the index gives the asker a gold document at all; None where it is not in
    question.

    Asked with the document's own name and the facts wanted of it: what is not among the 50 passages
    nearest to that is not there, or not for this asker.
    """
    case = outcome.case
    if not outcome.problems or not case.expect.documents:
        return None
    if any(is_gold(candidate.document, case) for candidate in outcome.candidates):
        return True
    for document in case.expect.documents:
        name = document.rpartition("/")[2].rpartition(".")[0].replace("-", " ")
        facts = " ".join(fact[0] for fact in case.expect.spellings)
        body = {"query": f"{name} {facts}", "limit": SEARCHED, "audience": case.audience}
        found = await client.search(body)
        if any(is_gold(each["document"], case) for each in found["candidates"]):
            return True
    return False
