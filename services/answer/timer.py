"""One question's clock: what each step took, when it must end, and what metrics learn of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.answer.decide.costs import GAP
from services.answer.generate import AnswerContext, ReplyResult, Tried
from twofold import metrics, tracing

_STAGES = {"condense": "condense", "retrieve": "search", "rerank": "rerank", "pack": "pack"}


@dataclass(slots=True)
class RequestTimer:
    """Seconds by step in `timings`; `until` and `started` are on the clock of `time.monotonic`.
    `at` is the step that was begun last."""

    until: float
    started: float = field(default_factory=time.monotonic)
    timings: dict[str, float] = field(default_factory=dict)
    at: str = "queue"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.at, started = name, time.perf_counter()
        try:
            with tracing.span(name):
                yield
        finally:
            self.timings[name] = time.perf_counter() - started
            if name in _STAGES:
                metrics.KNOWLEDGE_STAGE.labels(_STAGES[name]).observe(self.timings[name])

    def share(self, part: float) -> float:
        """Returns the moment when `part` (0..1) of the time that is left will be over."""
        now = time.monotonic()
        return now + part * (self.until - now)

    def spoke(self) -> None:
        """Records that the customer gets the first word now."""
        if "first_word" not in self.timings:
            self.timings["first_word"] = time.monotonic() - self.started
            metrics.BEHAVIOUR_FIRST_TOKEN.observe(self.timings["first_word"])

    def found(self, seen: AnswerContext) -> None:
        found, packed = seen.searched.found, len(seen.packed)
        gap = seen.heard.settled is None and seen.heard.kinds[GAP] > seen.heard.answerable
        metrics.KNOWLEDGE_EVIDENCE.labels("no" if gap or not packed else "yes").inc()
        metrics.KNOWLEDGE_TOP_SCORE.observe(seen.searched.evidence.clues.cosine)
        metrics.KNOWLEDGE_CHUNKS.labels("packed").inc(packed)
        metrics.KNOWLEDGE_CHUNKS.labels("cut").inc(len(found.candidates) - packed)
        metrics.KNOWLEDGE_CHUNKS.labels("overruled").inc(len(found.overruled))
        metrics.KNOWLEDGE_STALE.inc(found.stale)

    def ended(self, told: ReplyResult) -> None:
        step = metrics.closed(told.served_by, metrics.LADDER)
        metrics.BEHAVIOUR_SERVED.labels(step, told.release or metrics.NO_RELEASE).inc()
        if told.decision.escalation is not None:
            metrics.BEHAVIOUR_ESCALATIONS.labels(told.decision.escalation.reason).inc()
        struck = [verdict.problem for verdict in told.verified.verdicts if not verdict.ok]
        for tried in told.tried:
            struck += tried.struck if tried.outcome == "replaced" else ()
        for problem in struck:
            metrics.BEHAVIOUR_SENTENCES.labels(metrics.closed(problem, metrics.PROBLEMS)).inc()
        if told.draft is not None:
            for repair in told.draft.repairs:
                metrics.BEHAVIOUR_REPAIRS.labels(metrics.closed(repair, metrics.REPAIRS)).inc()
        for tried in told.tried:
            # Also of a reply that another one replaced: it was paid for.
            metrics.BEHAVIOUR_TOKENS.labels("prompt").inc(tried.usage.prompt_tokens)
            metrics.BEHAVIOUR_TOKENS.labels("completion").inc(tried.usage.written)
            _release(tried)
        taken = time.monotonic() - self.started
        metrics.ANSWER_SECONDS.labels(told.decision.action).observe(taken)


def _release(tried: Tried) -> None:
    """Counts what one model did: by this the canary is judged beside the live one."""
    lane = tried.lane or "none"
    metrics.BEHAVIOUR_LANE_REPLIES.labels(lane, tried.outcome).inc()
    metrics.BEHAVIOUR_LANE_STRUCK.labels(lane).inc(len(tried.struck))
    metrics.BEHAVIOUR_LANE_REPAIRS.labels(lane).inc(tried.repairs)
    if tried.action not in ("ANSWER", None):
        metrics.BEHAVIOUR_LANE_TURNED_AWAY.labels(lane).inc()
    if tried.outcome == "replaced":
        metrics.BEHAVIOUR_REPLACED.inc()
    if tried.usage.first_token_s is not None:
        metrics.BEHAVIOUR_LANE_FIRST_TOKEN.labels(lane).observe(tried.usage.first_token_s)
