"""What each dashboard shows: every panel with its unit, its queries, and what to do when it is red.

`build.py` makes Grafana's JSON of it. Queries use `[5m]` windows; names of vLLM, Qdrant and the
exporters are those of the versions that docker-compose.yml pins.
"""

# fmt: off
from typing import Literal, NamedTuple

Kind = Literal["timeseries", "stat"]
RUNBOOK = "/operations/runbook/"
"""Where the docs site is served; Grafana's variable `docs` holds its address."""


class Query(NamedTuple):
    """PromQL, and the name of each series."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """`span` of 24 columns; `red`: the threshold from which on somebody should look."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    when_red: str
    runbook: str
    kind: Kind = "timeseries"
    span: int = 12
    red: float | None = None
    red_below: bool = False


class Row(NamedTuple):
    title: str
    panels: tuple[Panel, ...]


class Dashboard(NamedTuple):
    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]


def q(expr: str, legend: str = "") -> Query:
    return Query(expr, legend)


def _quantiles(metric: str, by: str = "", where: str = "") -> tuple[Query, ...]:
    group = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        q(
            f"histogram_quantile({share}, sum by ({group}) (rate({metric}_bucket{where}[5m])))",
            f"{legend}p{share[2:].ljust(2, '0')}",
        )
        for share in ("0.5", "0.95")
    )


ANSWERED = 'sum(rate(twofold_answer_seconds_count{action="ANSWER"}[5m])) / sum(rate(twofold_answer_seconds_count[5m]))'
BY_ACTION = q("sum by (action) (rate(twofold_answer_seconds_count[5m]))", "{{action}}")
REFUSED = q("sum by (problem) (rate(twofold_answer_refused_total[5m]))", "{{problem}}")
NO_EVIDENCE = (
    'sum(rate(twofold_knowledge_evidence_total{found="no"}[5m]))'
    " / sum(rate(twofold_knowledge_evidence_total[5m]))"
)
STRUCK = (
    "sum(rate(twofold_behaviour_sentence_problems_total[5m]))"
    " / sum(rate(twofold_behaviour_served_total[5m]))"
)
FALLEN = (
    'sum(rate(twofold_behaviour_lane_replies_total{outcome!="served"}[5m]))'
    " / sum(rate(twofold_behaviour_lane_replies_total[5m]))"
)
STALE_SYNC = q(
    "max by (kind) (twofold_ingestion_sync_age_seconds > 0)", "{{kind}}"
)
FRESH = _quantiles("twofold_ingestion_edit_to_answerable_seconds")

DASHBOARDS = (
    Dashboard(
        "twofold-layers",
        "Twofold: which layer hurts",
        "One page for whoever is on call. Left: can it see (knowledge)? Right: what does it do with"
        " what it sees (behaviour)? On top: what customers get.",
        (
            Row(
                "What customers get",
                (
                    Panel("Answered", "percentunit", (q(ANSWERED),), "Share of questions that got an answer. Falls with both layers: look below which one turned.", "answered-falls", "stat", 6, 0.5, True),
                    Panel("Questions", "reqps", (q("sum(rate(twofold_answer_seconds_count[5m]))"),), "Finished questions a second. None for ten minutes in office hours: is the widget reachable?", "no-questions", "stat", 6),
                    Panel("First word, p95", "s", (_quantiles("twofold_behaviour_first_token_seconds")[1],), "From the question to the first word. Above 2 s customers leave: see Knowledge for search, Behaviour for the model.", "first-word-slow", "stat", 6, 2.0),
                    Panel("Refused", "reqps", (q("sum(rate(twofold_answer_refused_total[5m]))"),), "Questions refused before an answer began: overload, a ledger that does not answer, wrong keys.", "questions-refused", "stat", 6, 0.5),
                    Panel("Outcome of questions", "reqps", (BY_ACTION,), "ESCALATE rising: read its reasons under Behaviour. DECLINE rising: off-topic traffic, or a classifier that cannot read the language.", "answered-falls"),
                    Panel("Refusals by problem", "reqps", (REFUSED,), "`overloaded`: add replicas. `unavailable`: the ledger. `unauthorized`: a revoked or wrong key.", "questions-refused"),
                ),
            ),
            Row(
                "Knowledge (left)  |  Behaviour (right)",
                (
                    Panel("Questions without evidence", "percentunit", (q(NO_EVIDENCE),), "The sources do not cover what is asked: a missing article, a sync that removed too much, or an audience that hides it.", "no-evidence", red=0.4),
                    Panel("Replies that the model did not finish", "percentunit", (q(FALLEN),), "The model did not answer in time, broke off, or is not there: the composer or a person took over. Empty where no model is asked.", "model-not-answering", red=0.2),
                    Panel("Edit to answerable", "s", FRESH, "How old an edit is when it first answers. Rising: a queue is stuck or a source fails.", "freshness", red=3600),
                    Panel("Sentences struck per reply", "short", (q(STRUCK),), "Verification takes out what the sources do not hold. Rising after a release: roll it back.", "groundedness", red=0.5),
                    Panel("Answers from superseded versions", "reqps", (q("sum(rate(twofold_knowledge_superseded_answers_total[5m]))"),), "Must be 0. An answer cited a version that no longer applies.", "superseded", red=0.0001),
                    Panel("Repairs of the reply contract", "reqps", (q("sum by (repair) (rate(twofold_behaviour_repairs_total[5m]))", "{{repair}}"),), "The model breaks the header. Constrained decoding is off, or another prompt is used than it was trained on.", "contract", red=0.05),
                    Panel("Since the last good sync", "s", (STALE_SYNC,), "A kind of source has not been read for long: its credentials, its server, the worker.", "sync-old", red=86_400),
                    Panel("Hand-overs by reason", "reqps", (q("sum by (reason) (rate(twofold_behaviour_escalations_total[5m]))", "{{reason}}"),), "`not_in_sources` is a knowledge problem; anger and repeated failure are often the behaviour's.", "escalations-rise"),
                ),
            ),
            Row(
                "Live answers that were looked into",
                (
                    Panel("Found wanting, by layer", "reqps", (q("sum by (layer) (rate(twofold_diagnosis_verdicts_total[5m]))", "{{layer}}"),), "Why answers fail that people complain of, by evidence: open /console for the cases and the smallest fixes.", "live-failures"),
                    Panel("Found wanting, by cause", "reqps", (q("sum by (cause) (rate(twofold_diagnosis_verdicts_total[5m]))", "{{cause}}"),), "`not_in_sources`: write the articles that /console lists. `stale`: a sync or a page. `ignored_evidence`: the reply maker.", "live-failures"),
                ),
            ),
            Row(
                "Hand-overs",
                (
                    Panel("Oldest undelivered hand-over", "s", (q("max(twofold_handoff_oldest_seconds)"),), "A customer was told that a person comes, and nobody knows. Look at the target and at `twofold handoffs list`.", "handoff-stuck", red=300),
                    Panel("First human reply, p95", "s", (_quantiles("twofold_handoff_first_reply_seconds")[1],), "How long customers wait for a person after asking in the widget.", "handoff-slow", red=3600),
                ),
            ),
        ),
    ),
    Dashboard(
        "twofold-knowledge",
        "Twofold: knowledge",
        "Can it see? Retrieval stage by stage, evidence, what was packed and cut, versions.",
        (
            Row(
                "Retrieval",
                (
                    Panel("Latency of each stage, p95", "s", (_quantiles("twofold_knowledge_stage_seconds", "stage")[1],), "embed: the embedder's server or CPU. search: the index. rerank: its server; it is left out when too slow.", "search-slow", red=0.5),
                    Panel("Best cosine of a question, median", "short", (_quantiles("twofold_knowledge_top_score")[0],), "Falls when another embedder serves than the index was made with, or when pages went missing.", "no-evidence", red=0.35, red_below=True),
                    Panel("Questions by evidence", "reqps", (q("sum by (found) (rate(twofold_knowledge_evidence_total[5m]))", "found: {{found}}"),), "`no` rising: read the gaps in `twofold diagnose --live`, write the missing article.", "no-evidence"),
                    Panel("Chunks packed, cut, overruled", "reqps", (q("sum by (fate) (rate(twofold_knowledge_chunks_total[5m]))", "{{fate}}"),), "Many cut: raise TWOFOLD_CONTEXT_CHARS or split long pages. Overruled: sources contradict each other.", "contradictions"),
                ),
            ),
            Row(
                "Versions",
                (
                    Panel("Hits refused: version does not apply", "reqps", (q("sum(rate(twofold_knowledge_stale_refused_total[5m]))"),), "Search finds what is no longer valid, and leaves it out. High for long: `twofold knowledge reconcile`.", "index-drift"),
                    Panel("Answers from superseded versions", "reqps", (q("sum(rate(twofold_knowledge_superseded_answers_total[5m]))"),), "Must be 0: `twofold affected` lists what a change made wrong.", "superseded", red=0.0001),
                    Panel("Approved answers not said", "reqps", (q("sum(rate(twofold_knowledge_approved_suspended_total[5m]))"),), "Questions whose approved answer is suspended, because a source changed: `twofold answers list` shows the difference.", "approved-suspended"),
                    Panel("Index against ledger", "short", (q("max by (drift) (twofold_knowledge_drift_points)", "{{drift}}"),), "Points that differ since the last reconcile. Anything but 0: `twofold knowledge reconcile`.", "index-drift", red=1),
                    Panel("Edit to answerable", "s", FRESH, "Freshness, as customers feel it.", "freshness", red=3600),
                ),
            ),
        ),
    ),
    Dashboard(
        "twofold-behaviour",
        "Twofold: behaviour",
        "What does it do with what it sees? Releases side by side, contract, groundedness, and the model server's own state.",
        (
            Row(
                "Replies",
                (
                    Panel("Replies by step of the ladder", "reqps", (q("sum by (served_by) (rate(twofold_behaviour_served_total[5m]))", "{{served_by}}"),), "tuned -> base -> composer -> escalation. A step down is a model that failed or was too slow.", "model-not-answering"),
                    Panel("Sentences struck by problem", "reqps", (q("sum by (problem) (rate(twofold_behaviour_sentence_problems_total[5m]))", "{{problem}}"),), "unsupported, number: it invents. uncited: it forgets marks. promise: it claims deeds.", "groundedness"),
                    Panel("Contract repairs", "reqps", (q("sum by (repair) (rate(twofold_behaviour_repairs_total[5m]))", "{{repair}}"),), "Is decoding constrained? Is the prompt the one that the adapter was trained on?", "contract", red=0.05),
                    Panel("First word", "s", _quantiles("twofold_behaviour_first_token_seconds"), "Model and search together; the model's own share is below.", "first-word-slow", red=2.0),
                    Panel("Hand-overs by reason", "reqps", (q("sum by (reason) (rate(twofold_behaviour_escalations_total[5m]))", "{{reason}}"),), "Over-escalation after a release: roll back. Under-escalation does not show here: run the suite.", "escalations-rise"),
                    Panel("Tokens", "short", (q("sum by (kind) (rate(twofold_behaviour_tokens_total[5m]))", "{{kind}} a second"),), "What serving costs. Prompt tokens jump when the `full` profile is used.", "cost"),
                ),
            ),
            Row(
                "Live release and canary, side by side",
                (
                    Panel("Replies by release", "reqps", (q('sum by (release) (rate(twofold_behaviour_served_total{release!="none"}[5m]))', "{{release}}"),), "Which release customers read. None for minutes although a model is set: it does not answer.", "model-not-answering"),
                    Panel("Replies", "reqps", (q("sum by (lane, outcome) (rate(twofold_behaviour_lane_replies_total[5m]))", "{{lane}} {{outcome}}"),), "`failed` or `broke_off` on one lane alone: that release. On both: the server.", "canary-worse"),
                    Panel("Struck sentences per reply", "short", (q("sum by (lane) (rate(twofold_behaviour_lane_struck_sentences_total[5m])) / sum by (lane) (rate(twofold_behaviour_lane_replies_total[5m]))", "{{lane}}"),), "The canary above the live release: `twofold model rollback`.", "canary-worse"),
                    Panel("Turned away per reply", "short", (q("sum by (lane) (rate(twofold_behaviour_lane_turned_away_total[5m])) / sum by (lane) (rate(twofold_behaviour_lane_replies_total[5m]))", "{{lane}}"),), "Handed over, declined or asked back. The canary above the live release: `twofold model rollback`.", "canary-worse"),
                    Panel("Contract repairs per reply", "short", (q("sum by (lane) (rate(twofold_behaviour_lane_repairs_total[5m])) / sum by (lane) (rate(twofold_behaviour_lane_replies_total[5m]))", "{{lane}}"),), "The canary above the live release: `twofold model rollback`.", "canary-worse"),
                    Panel("Model's first token, p95", "s", (_quantiles("twofold_behaviour_lane_first_token_seconds", "lane")[1],), "One lane slower than the other: an adapter of higher rank, or one that is not merged.", "canary-worse"),
                ),
            ),
            Row(
                "vLLM",
                (
                    Panel("Requests running and waiting", "short", (q("sum by (model_name) (vllm:num_requests_running)", "{{model_name}} running"), q("sum by (model_name) (vllm:num_requests_waiting)", "{{model_name}} waiting")), "Waiting for minutes: add replicas (KEDA does, where it is on).", "vllm-queue", red=20),
                    Panel("KV cache in use", "percentunit", (q("max by (model_name) (vllm:kv_cache_usage_perc)", "{{model_name}}"),), "Near 1 requests are preempted: fewer sequences, shorter context, or more memory.", "vllm-queue", red=0.95),
                    Panel("Prefix cache hits", "percentunit", (q("sum by (model_name) (rate(vllm:prefix_cache_hits_total[5m])) / sum by (model_name) (rate(vllm:prefix_cache_queries_total[5m]))", "{{model_name}}"),), "Falls when something early in the prompt changes with every question.", "prefix-cache"),
                    Panel("Time to first token, p95", "s", (_quantiles("vllm:time_to_first_token_seconds", "model_name")[1],), "The server's own share of the first word.", "first-word-slow", red=1.5),
                    Panel("Time per output token, p95", "s", (_quantiles("vllm:request_time_per_output_token_seconds", "model_name")[1],), "Rises with batch size and with unmerged adapters.", "vllm-queue", red=0.1),
                    Panel("Finished requests", "reqps", (q("sum by (finished_reason) (rate(vllm:request_success_total[5m]))", "{{finished_reason}}"),), "`length`: replies are cut at the token limit. `abort`: customers left.", "model-not-answering"),
                ),
            ),
        ),
    ),
    Dashboard(
        "twofold-ingestion",
        "Twofold: ingestion",
        "Does what was published become what is known, and how fast?",
        (
            Row(
                "Documents",
                (
                    Panel("Documents by outcome", "short", (q("sum by (outcome) (increase(twofold_ingestion_documents_total[1h]))", "{{outcome}} in an hour"),), "`removed` in numbers: a sync saw far fewer pages than before; was it meant? `failed`: see below.", "documents-fail"),
                    Panel("Failures by step", "short", (q("sum by (step) (increase(twofold_ingestion_failures_total[1h]))", "{{step}} in an hour"),), "fetch: their server or our credentials. extract: the file. embed: the embedder. write: the index. `twofold knowledge status` names each.", "documents-fail", red=1),
                    Panel("Removals held back", "short", (q("max by (kind) (twofold_ingestion_held_removals)", "{{kind}}"),), "Many pages are gone at their source, and stay until somebody says that it is meant: `twofold knowledge status` names the source.", "sync-old", red=1),
                    Panel("Syncs that could not list their source", "short", (q("sum by (kind) (increase(twofold_ingestion_incomplete_syncs_total[1h]))", "{{kind}} in an hour"),), "Nothing is removed by such a sync, so what was deleted there still answers here. Its server, its paging, its credentials.", "sync-old", red=1),
                    Panel("Chunks written", "short", (q("sum(rate(twofold_ingestion_chunks_total[5m]))", "chunks a second"),), "0 while a sync runs: nothing changed, or the embedder hangs.", "sync-old"),
                    Panel("Waiting for the embedder", "percentunit", (q("sum(rate(twofold_ingestion_embed_seconds_total[5m]))", "busy"),), "Near the number of workers: the embedder is the bottleneck.", "sync-old"),
                ),
            ),
            Row(
                "Queues and syncs",
                (
                    Panel("Oldest waiting job", "s", (q("max by (queue) (twofold_ingestion_queue_age_seconds)", "{{queue}}"),), "A worker is missing, or one source holds the others up.", "queue-old", red=600),
                    Panel("Since the last good sync", "s", (STALE_SYNC,), "`twofold knowledge status` says what failed.", "sync-old", red=86_400),
                    Panel("Edit to answerable", "s", FRESH, "The SLO on freshness is measured here.", "freshness", red=3600),
                ),
            ),
        ),
    ),
    Dashboard(
        "twofold-people",
        "Twofold: widget and hand-offs",
        "Visitors and people: sessions, limits, streams, and what happens after a hand-over.",
        (
            Row(
                "Widget",
                (
                    Panel("Sessions begun", "reqps", (q("sum by (kind) (rate(twofold_widget_sessions_total[5m]))", "{{kind}}"),), "None while the site has visitors: the origin list, the loader, a certificate.", "widget-silent"),
                    Panel("Open streams", "short", (q("sum(twofold_widget_open_streams)"),), "Each holds a connection; plan file descriptors and proxy limits by it.", "widget-silent"),
                    Panel("Streams resumed", "reqps", (q("sum(rate(twofold_widget_resumed_streams_total[5m]))"),), "Rising: a proxy cuts streams (idle timeout), or a rollout drains too fast.", "streams-cut"),
                    Panel("Refused for their rate", "reqps", (q("sum by (by) (rate(twofold_widget_limited_total[5m]))", "by {{by}}"),), "`address`: somebody scripts the widget. `site`: raise the site's rate, or its day's quota.", "widget-abuse", red=1),
                    Panel("Questions over a site's day", "reqps", (q("sum(rate(twofold_widget_quota_refused_total[5m]))"),), "A site's daily quota is used up: `twofold site edit`.", "widget-abuse", red=0.01),
                ),
            ),
            Row(
                "Hand-offs",
                (
                    Panel("Created", "reqps", (q("sum by (by) (rate(twofold_handoff_created_total[5m]))", "asked for by the {{by}}"),), "Rising by the assistant: read the reasons under Behaviour. By customers: they do not get what they ask for.", "escalations-rise"),
                    Panel("Deliveries", "reqps", (q("sum by (target, outcome) (rate(twofold_handoff_deliveries_total[5m]))", "{{target}} {{outcome}}"),), "`failed` is tried again; `dead` waits for a person: `twofold handoffs list --state failed`.", "handoff-stuck"),
                    Panel("Waiting deliveries", "short", (q("max(twofold_handoff_waiting)"),), "Must fall to 0 within minutes.", "handoff-stuck", red=10),
                    Panel("Oldest undelivered", "s", (q("max(twofold_handoff_oldest_seconds)"),), "A promise to a customer that nobody has heard of.", "handoff-stuck", red=300),
                    Panel("First human reply", "s", _quantiles("twofold_handoff_first_reply_seconds"), "How long customers wait for a person.", "handoff-slow", red=3600),
                ),
            ),
        ),
    ),
    Dashboard(
        "twofold-infrastructure",
        "Twofold: infrastructure",
        "What everything stands on.",
        (
            Row(
                "Processes",
                (
                    Panel("Up", "short", (q("min by (job) (up)", "{{job}}"),), "0: the process is gone or its metrics cannot be read.", "process-down", red=1, red_below=True),
                    Panel("CPU", "short", (q("sum by (job) (rate(process_cpu_seconds_total[5m]))", "{{job}} cores"),), "Near its limit: add replicas before raising limits.", "process-hot"),
                    Panel("Memory", "bytes", (q("sum by (job) (process_resident_memory_bytes)", "{{job}}"),), "Rising for days: a leak; restart and report it.", "process-hot"),
                    Panel("Questions being answered", "short", (q("sum(twofold_answer_in_flight)"),), "At TWOFOLD_MAX_IN_FLIGHT times the replicas, more are refused.", "questions-refused"),
                ),
            ),
            Row(
                "Stores",
                (
                    Panel("Redis memory against its limit", "percentunit", (q("max(redis_memory_used_bytes / (redis_memory_max_bytes > 0))"),), "noeviction: at 1 Redis refuses new jobs. The ledger stays the truth; rebuild the queue from it.", "redis-full", red=0.8),
                    Panel("Redis last AOF write", "short", (q("min(redis_aof_last_write_status)"),), "0: what is queued now is lost if Redis stops. Look at its disk.", "redis-full", red=1, red_below=True),
                    Panel("PostgreSQL connections", "percentunit", (q("sum(pg_stat_activity_count) / max(pg_settings_max_connections)"),), "Near 1 new ones are refused: pool, or fewer replicas.", "postgres-full", red=0.8),
                    Panel("PostgreSQL size", "bytes", (q('sum(pg_database_size_bytes{datname=~"twofold.*"})'),), "Plan the disk by it; TWOFOLD_RETENTION_DAYS bounds it.", "postgres-full"),
                    Panel("Qdrant points", "short", (q("sum by (id) (collection_points)", "{{id}}"),), "Two collections of one size: a rebuild waits for its grace period to end.", "index-drift"),
                    Panel("Qdrant answers, p95", "s", (q("histogram_quantile(0.95, sum by (le) (rate(rest_responses_duration_seconds_bucket[5m])))"),), "Slow search: memory, quantisation, or an optimiser at work.", "search-slow", red=0.5),
                ),
            ),
        ),
    ),
)
