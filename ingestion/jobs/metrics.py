"""What Celery's workers count, for Prometheus: theirs are other processes than the server's."""

from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import REGISTRY, CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

PREFIXES = ("twofold_ingestion_", "twofold_diagnosis_")
"""Of what workers do; the rest stands at nought there."""


def serve(host: str, port: int) -> None:
    """Answers scrapes from a thread, until the process ends. Raises OSError where the port is
    taken.

    Several processes of one worker add up where PROMETHEUS_MULTIPROC_DIR names a folder that is
    empty when the worker starts; without it only this process is told of (`--pool=solo`).
    """
    counted: Collector = REGISTRY
    with suppress(ValueError):
        counted = MultiProcessCollector(CollectorRegistry())  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(_Counted(counted))
    start_http_server(port, host, registry)


class _Counted(Collector):
    """Shows what workers count; ages and other states are told by the server, which reads them
    from the ledger."""

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for family in self._inner.collect():
            if family.name.startswith(PREFIXES) and family.type != "gauge":
                yield family
