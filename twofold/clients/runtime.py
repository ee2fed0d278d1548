"""Graphs built here, on ONNX Runtime: kept in a folder, run in batches on a few threads."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]

from twofold.clients import bert

Ids = npt.NDArray[np.int32]


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Ids, Ids]:
    """Returns ids and mask (texts, length of the longest)."""
    ids = np.full((len(rows), max(map(len, rows))), pad, np.int32)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def kept_session(cache: Path, stem: str, build: Callable[[bool], bytes]) -> ort.InferenceSession:
    """Returns a session of the graph kept in the folder `cache`, built on first use; `build` is
    told whether weights have to be unsigned on this processor. Many processes may open at once."""
    unsigned = bert.signed_products_saturate()
    path = cache / f"{stem}{'-u8' if unsigned else ''}.onnx"
    if path.exists():
        # A file damaged on disk is built again; every exception of ONNX Runtime is its own class.
        with contextlib.suppress(Exception):
            return session(path)
    write(path, build(unsigned))
    return session(path)


def session(model: Path | bytes) -> ort.InferenceSession:
    """Returns a session that takes one thread per run."""
    options = ort.SessionOptions()
    # One thread per run and runs side by side: threads inside a run wait for each other some
    # hundred times per batch, spinning, which costs half the speed once a core is shared.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The graph is fused by hand; higher levels would put the slow SkipLayerNormalization back.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def write(path: Path, data: bytes) -> None:
    """Writes the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BatchThreads:
    """Runs batches side by side."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, name)

    def each(self, run: Callable[[list[int]], Any], parts: Sequence[list[int]]) -> None:
        """Calls `run` with every part; raises what it raises."""
        if self.count > 1 and len(parts) > 1:
            for _ in self._pool.map(run, parts):
                pass
        else:
            # On the caller's own thread, so that a question never queues behind an ingest.
            for part in parts:
                run(part)


_BATCH = 8
_BATCH_TOKENS = 256
"""More is no faster on one thread (its states leave the core's cache), and takes memory."""


def batches(lengths: Sequence[int], threads: int) -> list[list[int]]:
    """Indices in batches of like length, longest first so that the threads end together."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    share = -(-len(order) // threads)
    made = []
    start = 0
    while start < len(order):
        size = max(1, min(_BATCH, share, _BATCH_TOKENS // lengths[order[start]]))
        made.append(order[start : start + size])
        start += size
    return made
