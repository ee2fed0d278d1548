"""A worker tells what workers count, and nothing that the server reads from the ledger."""

import httpx
import pytest

from ingestion.jobs import metrics
from tests.servers import free_port
from twofold import metrics as ours


def test_a_worker_tells_its_counters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    ours.INGESTION_FAILURES.labels("fetch").inc()
    port = free_port()
    metrics.serve("127.0.0.1", port)
    told = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert "twofold_ingestion_documents_total{" in told
    assert "twofold_diagnosis_failures_total" in told
    for other in ("twofold_answer", "twofold_knowledge", "queue_age", "twofold_diagnosis_waiting"):
        assert other not in told
