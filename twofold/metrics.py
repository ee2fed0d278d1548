"""Every metric of ours, declared here and nowhere else.

Base units, explicit buckets, closed label sets. A question, a URL or a session never is a label.
What the HTTP server, vLLM, Qdrant or Celery already expose is not written again.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

OTHER: Final = "other"
"""Label value of anything outside a closed set."""

OUTCOMES: Final = ("added", "changed", "unchanged", "removed", "skipped", "failed")
SOURCE_KINDS: Final = (
    *("folder", "website", "zendesk", "intercom", "feed", "github_releases", "push"),
    OTHER,
)
STEPS: Final = (
    *("fetch", "extract", "split", "plan", "embed", "write", "flip", "prune"),
    OTHER,
)
DRIFTS: Final = ("missing", "wrong", "orphans")
STAGES: Final = ("condense", "embed", "search", "rerank", "pack")
FATES: Final = ("packed", "cut")
LANES: Final = ("live", "canary", "none")
"""`none`: a model that settings name, and the registry does not have."""
LANE_OUTCOMES: Final = ("served", "failed", "broke_off", "replaced")
LADDER: Final = ("approved", "tuned", "base", "composer", "escalation")
REPAIRS: Final = (
    *("header_loose", "header_missing", "reason_unknown", "team_wrong"),
    *("escalation_missing", "by_words", OTHER),
)
PROBLEMS: Final = (
    *("uncited", "unsupported", "garbled", "number", "contradicted", "promise", "banned"),
    OTHER,
)
NO_RELEASE: Final = "none"
"""Label value of a reply that no model wrote."""
ACTIONS: Final = ("ANSWER", "CLARIFY", "ESCALATE", "DECLINE")
REFUSALS: Final = (
    *("invalid-input", "not-found", "conflict", "too-large", "too-slow", "forbidden", "overloaded"),
    *("unauthorized", "unavailable", "upstream", "setup", "internal", OTHER),
)
VISITORS: Final = ("anonymous", "identified")
WIDGET_LIMITS: Final = ("address", "site", "visitor", "message")
ASKED_BY: Final = ("assistant", "customer")
TARGETS: Final = ("webhook", "zendesk", "slack")
DELIVERIES: Final = ("delivered", "failed", "dead")
SIGNALS: Final = ("correction", "negative_feedback", "low_confidence", "sample")

_STAGE_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40)
_FRESH_SECONDS = (0.5, 1, 2, 5, 15, 60, 300, 900, 3600, 14_400, 86_400, 604_800)
_REPLY_SECONDS = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400, 259_200)
_SCORES = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1)

INGESTION_DOCUMENTS = Counter(
    "twofold_ingestion_documents_total",
    "Documents that a sync or a push dealt with, by kind of source and outcome.",
    ["kind", "outcome"],
)
INGESTION_FAILURES = Counter(
    "twofold_ingestion_failures_total",
    "Documents that failed, by the step they failed at.",
    ["step"],
)
INGESTION_CHUNKS = Counter(
    "twofold_ingestion_chunks_total", "Chunks embedded and written to the index."
)
INGESTION_EMBED_SECONDS = Counter(
    "twofold_ingestion_embed_seconds_total", "Time spent waiting for the embedder."
)
INGESTION_SYNC_AGE = Gauge(
    "twofold_ingestion_sync_age_seconds",
    "Since the last sync that ended well, of the source of each kind that waited longest.",
    ["kind"],
)
INGESTION_HELD = Gauge(
    "twofold_ingestion_held_removals",
    "Documents gone at their source that the last sync of a source of this kind did not remove,"
    " because they are an unusual share of it.",
    ["kind"],
)
INGESTION_INCOMPLETE = Counter(
    "twofold_ingestion_incomplete_syncs_total",
    "Syncs that could not list their source whole, and so removed nothing.",
    ["kind"],
)
INGESTION_QUEUE_JOBS = Gauge(
    "twofold_ingestion_queue_jobs", "Jobs that are due and wait for a worker, by queue.", ["queue"]
)
INGESTION_QUEUE_AGE = Gauge(
    "twofold_ingestion_queue_age_seconds",
    "How long the job that is due waits that waits longest, by queue; 0 where none does.",
    ["queue"],
)
INGESTION_FRESHNESS = Histogram(
    "twofold_ingestion_edit_to_answerable_seconds",
    "From the edit of a document, as its source dates it, to the moment it answers.",
    buckets=_FRESH_SECONDS,
)

KNOWLEDGE_STAGE = Histogram(
    "twofold_knowledge_stage_seconds",
    "Latency of each stage of retrieval.",
    ["stage"],
    buckets=_STAGE_SECONDS,
)
KNOWLEDGE_TOP_SCORE = Histogram(
    "twofold_knowledge_top_score", "Cosine of the best passage found (0..1).", buckets=_SCORES
)
KNOWLEDGE_EVIDENCE = Counter(
    "twofold_knowledge_evidence_total", "Questions by whether sources cover them.", ["found"]
)
KNOWLEDGE_CHUNKS = Counter(
    "twofold_knowledge_chunks_total", "Chunks packed for the reply, cut, or overruled.", ["fate"]
)
KNOWLEDGE_STALE = Counter(
    "twofold_knowledge_stale_refused_total", "Hits refused: their version does not apply."
)
KNOWLEDGE_SUPERSEDED = Counter(
    "twofold_knowledge_superseded_answers_total",
    "Answers that cited a version which applied no more once they were recorded.",
)
KNOWLEDGE_SUSPENDED = Counter(
    "twofold_knowledge_approved_suspended_total",
    "Questions that an approved answer was not said to: a source of it has changed.",
)
KNOWLEDGE_DRIFT = Gauge(
    "twofold_knowledge_drift_points",
    "Points by which the index differed from the ledger when it was last reconciled.",
    ["drift"],
)

BEHAVIOUR_SERVED = Counter(
    "twofold_behaviour_served_total",
    "Replies by step of the ladder that made them, and by release: the model or adapter that the"
    " operator named, `none` where no model wrote.",
    ["served_by", "release"],
)
BEHAVIOUR_REPLACED = Counter(
    "twofold_behaviour_replaced_total",
    "Replies of a model that something lower on the ladder replaced, because verification held no"
    " sentence of them.",
)
BEHAVIOUR_REPAIRS = Counter(
    "twofold_behaviour_repairs_total", "Mended breaches of the reply contract.", ["repair"]
)
BEHAVIOUR_SENTENCES = Counter(
    "twofold_behaviour_sentence_problems_total", "Sentences that verification struck.", ["problem"]
)
BEHAVIOUR_ESCALATIONS = Counter(
    "twofold_behaviour_escalations_total",
    "Replies that hand over, by reason of the house policy.",
    ["reason"],
)
BEHAVIOUR_TOKENS = Counter(
    "twofold_behaviour_tokens_total", "Tokens read and written by a model.", ["kind"]
)
BEHAVIOUR_FIRST_TOKEN = Histogram(
    "twofold_behaviour_first_token_seconds",
    "From the question's arrival to the first word of the reply.",
    buckets=_ANSWER_SECONDS,
)
BEHAVIOUR_LANE_REPLIES = Counter(
    "twofold_behaviour_lane_replies_total",
    "Replies asked of the live release, of the canary, and (`none`) of a model that settings name;"
    " a failed one went down the ladder.",
    ["lane", "outcome"],
)
BEHAVIOUR_LANE_REPAIRS = Counter(
    "twofold_behaviour_lane_repairs_total",
    "Mended breaches of the reply contract, by lane of the release.",
    ["lane"],
)
BEHAVIOUR_LANE_STRUCK = Counter(
    "twofold_behaviour_lane_struck_sentences_total",
    "Sentences that verification struck, by lane of the release.",
    ["lane"],
)
BEHAVIOUR_LANE_TURNED_AWAY = Counter(
    "twofold_behaviour_lane_turned_away_total",
    "Replies in which a model chose to answer nothing (handed over, declined, asked back), by lane"
    " of the release.",
    ["lane"],
)
BEHAVIOUR_LANE_FIRST_TOKEN = Histogram(
    "twofold_behaviour_lane_first_token_seconds",
    "From asking the model to its first token, by lane of the release.",
    ["lane"],
    buckets=_ANSWER_SECONDS,
)

ANSWER_SECONDS = Histogram(
    "twofold_answer_seconds",
    "From the question's arrival to the finished answer.",
    ["action"],
    buckets=_ANSWER_SECONDS,
)
ANSWER_IN_FLIGHT = Gauge("twofold_answer_in_flight", "Questions being answered now.")
ANSWER_REFUSED = Counter(
    "twofold_answer_refused_total", "Questions refused before an answer began.", ["problem"]
)

HANDOFF_CREATED = Counter(
    "twofold_handoff_created_total",
    "Hand-offs written down, by who asked for a person.",
    ["by"],
)
HANDOFF_DELIVERIES = Counter(
    "twofold_handoff_deliveries_total",
    "Attempts to hand over, by kind of target and outcome; `dead` waits for a person.",
    ["target", "outcome"],
)
HANDOFF_WAITING = Gauge("twofold_handoff_waiting", "Deliveries that are still to be made.")
HANDOFF_OLDEST = Gauge(
    "twofold_handoff_oldest_seconds", "How long the oldest delivery still to be made waits."
)
HANDOFF_FIRST_REPLY = Histogram(
    "twofold_handoff_first_reply_seconds",
    "From asking for a person in the widget to the first word of one.",
    buckets=_REPLY_SECONDS,
)

DIAGNOSIS_VERDICTS = Counter(
    "twofold_diagnosis_verdicts_total",
    "Live answers found wanting, by why they were looked into, layer and cause.",
    ["signal", "layer", "cause"],
)
DIAGNOSIS_SOUND = Counter(
    "twofold_diagnosis_sound_total",
    "Live answers looked into with which nothing was found wrong, by why.",
    ["signal"],
)
DIAGNOSIS_FAILURES = Counter(
    "twofold_diagnosis_failures_total", "Attempts to look into a live answer that failed."
)
DIAGNOSIS_WAITING = Gauge("twofold_diagnosis_waiting", "Live answers that wait to be looked into.")

WIDGET_SESSIONS = Counter(
    "twofold_widget_sessions_total", "Sessions begun in the widget, by kind of visitor.", ["kind"]
)
WIDGET_RESUMED = Counter(
    "twofold_widget_resumed_streams_total", "Answers that a visitor went on reading after a break."
)
WIDGET_STREAMS = Gauge(
    "twofold_widget_open_streams", "Streams of the widget and the desk that are open now."
)
WIDGET_LIMITED = Counter(
    "twofold_widget_limited_total", "Requests refused for their rate, by what was counted.", ["by"]
)
WIDGET_QUOTA_REFUSED = Counter(
    "twofold_widget_quota_refused_total", "Questions refused because a site's day was used up."
)


def closed(value: str, allowed: tuple[str, ...]) -> str:
    """Returns `value` where the closed set has it, else `other`: a label never grows by what is
    sent."""
    return value if value in allowed else OTHER


def _start_at_zero() -> None:
    """Series exist before their first event, so that a rate never misses the step from nothing."""
    for metric, values in (
        (INGESTION_SYNC_AGE, SOURCE_KINDS),
        (INGESTION_HELD, SOURCE_KINDS),
        (INGESTION_INCOMPLETE, SOURCE_KINDS),
        (INGESTION_FAILURES, STEPS),
        (KNOWLEDGE_DRIFT, DRIFTS),
        (KNOWLEDGE_STAGE, STAGES),
        (KNOWLEDGE_EVIDENCE, ("yes", "no")),
        (KNOWLEDGE_CHUNKS, FATES),
        (BEHAVIOUR_REPAIRS, REPAIRS),
        (BEHAVIOUR_SENTENCES, PROBLEMS),
        (BEHAVIOUR_TOKENS, ("prompt", "completion")),
        (BEHAVIOUR_LANE_REPAIRS, LANES),
        (BEHAVIOUR_LANE_STRUCK, LANES),
        (BEHAVIOUR_LANE_TURNED_AWAY, LANES),
        (BEHAVIOUR_LANE_FIRST_TOKEN, LANES),
        (ANSWER_SECONDS, ACTIONS),
        (ANSWER_REFUSED, REFUSALS),
        (HANDOFF_CREATED, ASKED_BY),
        (DIAGNOSIS_SOUND, SIGNALS),
        (WIDGET_SESSIONS, VISITORS),
        (WIDGET_LIMITED, WIDGET_LIMITS),
    ):
        for value in values:
            metric.labels(value)
    for kind in SOURCE_KINDS:
        for outcome in OUTCOMES:
            INGESTION_DOCUMENTS.labels(kind, outcome)
    for lane in LANES:
        for outcome in LANE_OUTCOMES:
            BEHAVIOUR_LANE_REPLIES.labels(lane, outcome)
    for step in ("approved", "composer", "escalation"):
        BEHAVIOUR_SERVED.labels(step, NO_RELEASE)
    for target in TARGETS:
        for outcome in DELIVERIES:
            HANDOFF_DELIVERIES.labels(target, outcome)


_start_at_zero()
