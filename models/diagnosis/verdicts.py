"""What a diagnosis says: of each failed case a layer, a cause and the counterfactual that showed
it; of the suite as a whole, what to do first and what cannot be told.

Everything here is data that goes to JSON and back (`model_dump_json`, `model_validate_json`), so
that a page, a queue and a gate read the same.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from models.stats import Estimate

Layer = Literal["knowledge", "behaviour", "both", "suite", "unknown"]
Cause = Literal[
    "not_in_sources",
    "not_ingested",
    "hidden",
    "stale",
    "broken_extraction",
    "split_apart",
    "not_retrieved",
    "retrieved_but_cut",
    "contradicting_sources",
    "misunderstood_follow_up",
    "ignored_evidence",
    "unsupported_claim",
    "wrong_citation",
    "format",
    "style",
    "padding",
    "over_escalation",
    "under_escalation",
    "needless_refusal",
    "needless_question",
    "both",
    "suite_wrong",
    "unknown",
]
LAYERS: Mapping[Cause, Layer] = {
    "not_in_sources": "knowledge",
    "not_ingested": "knowledge",
    "hidden": "knowledge",
    "stale": "knowledge",
    "broken_extraction": "knowledge",
    "split_apart": "knowledge",
    "not_retrieved": "knowledge",
    "retrieved_but_cut": "knowledge",
    "contradicting_sources": "knowledge",
    "misunderstood_follow_up": "knowledge",
    "ignored_evidence": "behaviour",
    "unsupported_claim": "behaviour",
    "wrong_citation": "behaviour",
    "format": "behaviour",
    "style": "behaviour",
    "padding": "behaviour",
    "over_escalation": "behaviour",
    "under_escalation": "behaviour",
    "needless_refusal": "behaviour",
    "needless_question": "behaviour",
    "both": "both",
    "suite_wrong": "suite",
    "unknown": "unknown",
}
"""In the order of an answer's way. A cause belongs to one layer, whatever showed it."""

MEANINGS: Mapping[Cause, str] = {
    "not_in_sources": "nobody wrote it, or it was removed",
    "not_ingested": "failed, skipped, quarantined, or lost from the index",
    "hidden": "not for this audience, not yet in effect, or expired",
    "stale": "another version of the page says it, not the one that answers",
    "broken_extraction": "the page says it, what was read of it does not",
    "split_apart": "no single passage holds what the page says",
    "not_retrieved": "the passage is there, and the search did not find it",
    "retrieved_but_cut": "found, and not among the passages that the reply was made from",
    "contradicting_sources": "another page says otherwise",
    "misunderstood_follow_up": "the conversation led the search astray",
    "ignored_evidence": "the passage was seen and not used",
    "unsupported_claim": "says what no passage holds",
    "wrong_citation": "right words, and a source that does not hold them, or none",
    "format": "breaks the reply contract",
    "style": "breaks the house's voice",
    "padding": "says more than was asked",
    "over_escalation": "handed to a person without need",
    "under_escalation": "a person was needed, and none was called",
    "needless_refusal": "declined though it could be answered",
    "needless_question": "asked back though the question was clear",
    "both": "neither layer alone makes it right; both together do",
    "suite_wrong": "the answer is right by the sources, the suite is not",
    "unknown": "no counterfactual made it pass",
}

Remedy = Literal[
    "write_article",
    "ingest",
    "release",
    "fix_page",
    "mend_extraction",
    "improve_retrieval",
    "widen_context",
    "fix_prompt",
    "adjust_policy",
    "fine_tune",
    "no_training",
    "fix_suite",
    "look",
]
REMEDIES: Mapping[Cause, Remedy] = {
    "not_in_sources": "write_article",
    "not_ingested": "ingest",
    "hidden": "release",
    "stale": "fix_page",
    "broken_extraction": "mend_extraction",
    "split_apart": "mend_extraction",
    "not_retrieved": "improve_retrieval",
    "retrieved_but_cut": "widen_context",
    "contradicting_sources": "fix_page",
    "misunderstood_follow_up": "improve_retrieval",
    "ignored_evidence": "fine_tune",
    "unsupported_claim": "fine_tune",
    "wrong_citation": "fine_tune",
    "format": "fine_tune",
    "style": "fine_tune",
    "padding": "fine_tune",
    "over_escalation": "adjust_policy",
    "under_escalation": "adjust_policy",
    "needless_refusal": "adjust_policy",
    "needless_question": "adjust_policy",
    "both": "look",
    "suite_wrong": "fix_suite",
    "unknown": "look",
}
"""The smallest fix of each cause. Training never mends a fact, and retrieval never mends a tone.
A behaviour that the full prompt mends is `fix_prompt`, whatever its cause."""


def remedy_of(cause: Cause, *, modelled: bool) -> Remedy:
    """Returns the smallest fix of a cause; where no model is asked (`modelled`), there is none to
    train."""
    remedy = REMEDIES[cause]
    return "no_training" if remedy == "fine_tune" and not modelled else remedy


Counterfactual = Literal[
    "record",
    "gold_context",
    "other_version",
    "made_visible",
    "released",
    "reindexed",
    "whole_sections",
    "found",
    "more_context",
    "without_rival",
    "without_conversation",
    "told_to_answer",
    "composer",
    "base_model",
    "full_profile",
    "composer_with_gold",
    "sources_checked",
]
"""What was changed before the question was asked again. `record`: nothing, what is kept of the
answer shows it; `sources_checked`: nothing, what the sources hold shows it."""

Advice = Literal[
    "nothing", "retrieval", "fine_tuning", "no_training", "both", "prompt", "policy", "suite",
    "cannot_tell",
]  # fmt: skip
"""What to build next: `retrieval` stands for everything that mends knowledge."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Frozen):
    """An estimate with its 95% interval (clustered by document) over `n` values; None: no values,
    or too few clusters for an interval."""

    value: float | None
    ci: tuple[float | None, float | None]
    n: int

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        low, high = (None if math.isnan(x) else round(x, 4) for x in estimate[1:3])
        value = None if math.isnan(estimate.value) else round(estimate.value, 4)
        return cls(value=value, ci=(low, high), n=estimate.n)


class Replayed(_Frozen):
    """One counterfactual that was tried on a failed case, and whether the case passed then."""

    counterfactual: Counterfactual
    passed: bool
    detail: str = ""


class Verdict(_Frozen):
    """What failed one case, and how it is known.

    `flipped_by` is None where nothing made it pass: then `cause` is `unknown`, or the record alone
    shows it and `confidence` (0..1) says how surely. `evidence` is one sentence. `document` is the
    page concerned (`source/external_id`), empty where none is.
    """

    case: str
    layer: Layer
    cause: Cause
    flipped_by: Counterfactual | None
    confidence: float
    evidence: str
    document: str = ""
    remedy: Remedy = "look"
    tried: tuple[Replayed, ...] = ()


class DiagnosedCase(_Frozen):
    """A case of the suite and what came of it. `answer` is what was said and its record: `action`,
    `team`, `reason`, `text`, `served_by`, `why`, `cited`, `retrieved` (rank, document, score,
    packed, gold, facts), `prompt_tokens`, `completion_tokens`, `seconds`."""

    id: str
    question: str
    cluster: str
    tags: tuple[str, ...] = ()
    passed: bool
    problems: tuple[str, ...] = ()
    expected: dict[str, Any] = {}
    answer: dict[str, Any] = {}


class Fix(_Frozen):
    """The smallest fix for some failed cases, largest gain first in a diagnosis.

    `gain` is the share of all the suite's cases that would pass in addition: counted over those of
    `cases` that a counterfactual flipped, not over those that share a cause.
    """

    remedy: Remedy
    cause: Cause
    layer: Layer
    text: str
    cases: tuple[str, ...]
    flipped: int
    gain: Figure


METRICS: Mapping[str, str] = {
    "action": "action as expected",
    "over_escalated": "escalated without need",
    "under_escalated": "not escalated though needed",
    "refused": "declined what should be answered",
    "facts": "key facts present",
    "forbidden": "says what must not be said",
    "citation_precision": "citations that hold what they are for",
    "citation_recall": "supported statements with a citation that holds them",
    "grounded": "statements that a passage holds",
    "contract": "reply contract kept",
    "style": "house style kept",
    "replaced": "model's reply held by nothing, the composer's told",
    "own": "passes by the model's own reply",
    "failed": "model too slow, or failed",
}
"""Metric -> what it is the share of, over the answers that have a part in it: in the last three,
those that a model was asked for. A citation of another page that holds the claim counts as much as
one of a gold page."""


class Arm(_Frozen):
    """One way of answering the whole suite. Where it was not run, `why_not` says why, and there is
    nothing else. `metrics` are named in METRICS; tokens are means a case;
    seconds are of a case; `prefix_cached` is the share of the prompts' tokens that the server had
    read before, None where it does not say; `cost` is money a thousand cases, None without
    prices."""

    name: str
    ran: bool
    why_not: str = ""
    passed: Figure | None = None
    metrics: dict[str, Figure] = {}
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    seconds_p50: float | None = None
    seconds_p95: float | None = None
    prefix_cached: float | None = None
    cost: float | None = None


class Comparison(_Frozen):
    """Two arms on the same cases: `difference` is a - b of the share that passes (paired bootstrap
    over documents), `p` exact McNemar, `only_a` and `only_b` the discordant cases."""

    a: str
    b: str
    difference: Figure
    only_a: int
    only_b: int
    p: float


class Instrument(_Frozen):
    """How far something that judges can itself be trusted: `metric` of `name` as measured on
    `data`; None where it was not measured."""

    name: str
    metric: str
    figure: Figure | None
    data: str = ""
    note: str = ""


class Recommendation(_Frozen):
    """What to build next, in one word and a sentence; `unsure` are sentences on what this suite
    cannot tell, and what would."""

    advice: Advice
    text: str
    unsure: tuple[str, ...] = ()


class Diagnosis(_Frozen):
    """Holds all that the page says. `at` is epoch seconds. `detectable` is the smallest difference
    in the share of passes that this suite can show between two arms (80% power, 5% level)."""

    suite: str
    at: float
    passed: Figure
    detectable: float | None
    cases: tuple[DiagnosedCase, ...]
    verdicts: tuple[Verdict, ...]
    fixes: tuple[Fix, ...]
    recommendation: Recommendation
    arms: tuple[Arm, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    facts: dict[str, float | int | str | None] = {}
    """Numbers that the ten questions ask for, by name: `instruction_tokens_full`,
    `instruction_tokens_tuned`, `answers_needing_documents`, `citations_required`, ..."""
    live: bool = False
    """Its cases are no suite's: they are answers that customers got and that were looked into."""

    def by_layer(self) -> dict[Layer, tuple[Verdict, ...]]:
        """Returns the verdicts of each layer that has any, in the order of LAYERS."""
        layers = dict.fromkeys(LAYERS.values())
        found = {each: tuple(v for v in self.verdicts if v.layer == each) for each in layers}
        return {layer: verdicts for layer, verdicts in found.items() if verdicts}
