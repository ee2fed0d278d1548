"""Writes docs/metrics.md: every metric of ours, from their declarations.

python -m tools.metrics_table > docs/metrics.md
"""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

from twofold import metrics

LAYERS = {
    "twofold_ingestion": "Ingestion: does what was published become what is known?",
    "twofold_knowledge": "Knowledge: can it see?",
    "twofold_behaviour": "Behaviour: what does it do with what it sees?",
    "twofold_answer": "End to end",
    "twofold_widget": "Widget",
    "twofold_handoff": "Hand-offs",
    "twofold_diagnosis": "Diagnosis",
}
Declared = Counter | Gauge | Histogram


def declared() -> list[Declared]:
    """Every metric that `twofold.metrics` declares, in its order."""
    return [
        each for each in vars(metrics).values() if isinstance(each, (Counter, Gauge, Histogram))
    ]


def name(metric: Declared) -> str:
    """As Prometheus stores it."""
    (family,) = list(metric.describe())
    return f"{family.name}_total" if isinstance(metric, Counter) else family.name


def table() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Made from `twofold/metrics.py` by `python -m tools.metrics_table`. The answer service,"
    yield "the widget and each worker tell theirs at `/metrics`. Base units;"
    yield "label sets are closed; no question, address or session is ever a label. What vLLM,"
    yield "Qdrant and the exporters expose is not written again."
    rest = declared()
    for prefix, title in LAYERS.items():
        own = [metric for metric in rest if name(metric).startswith(prefix)]
        if not own:
            continue
        yield ""
        yield f"## {title}"
        yield ""
        yield "| metric | kind | labels | what |"
        yield "|---|---|---|---|"
        for metric in own:
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            kind = type(metric).__name__.lower()
            yield f"| `{name(metric)}` | {kind} | {labels} | {metric._documentation} |"


if __name__ == "__main__":
    print(table(), end="")
