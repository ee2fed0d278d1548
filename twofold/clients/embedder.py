"""Text to unit vectors: the packaged MiniLM on this machine's CPU, or a server that speaks
OpenAI's `/v1/embeddings`."""

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]
import stamina
from tokenizers import Tokenizer

from twofold.clients import minilm
from twofold.errors import SetupError, UpstreamError

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """What the index and the planes know of an embedder. Safe to call from many threads."""

    @property
    def name(self) -> str:
        """Part of the index fingerprint: two embedders of one name give the same vectors."""

    @property
    def dimension(self) -> int:
        """Width of a vector."""

    @property
    def max_tokens(self) -> int:
        """What lies beyond this many tokens of a text does not reach its vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), dimension), in order, rows of length 1. UpstreamError where it cannot."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each whole text, special tokens not counted."""


class MiniLM:
    """all-MiniLM-L6-v2 in 8 bits on ONNX Runtime."""

    name = f"all-MiniLM-L6-v2:{minilm.WEIGHTS_SHA256[:12]}:{minilm.BUILDER}"
    dimension = minilm.DIMENSION
    max_tokens = minilm.MAX_TOKENS

    def __init__(self, session: ort.InferenceSession, tokenizer: Tokenizer, threads: int) -> None:
        """`session` takes one thread per run; `tokenizer` neither pads nor truncates."""
        self._session = session
        self._tokenizer = tokenizer
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "embed")

    @classmethod
    def open(cls, cache: Path, threads: int = 0) -> Self:
        """Load the model, built into the folder `cache` on first use; 0 threads means one per core.

        SetupError where the weights' package is missing or damaged. The weights themselves are
        read, and checked, only to build; many processes may open at once.
        """
        tokenizer = Tokenizer.from_file(
            str(minilm.verified("tokenizer.json", minilm.TOKENIZER_SHA256))
        )
        # The file asks for exactly 128 tokens; the model takes 256, cut and padded in here.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(_session(cache), tokenizer, threads or cores())

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [_cut(each.ids) for each in self._tokenizer.encode_batch_fast(list(texts))]
        parts = batches([len(row) for row in rows], self._threads)
        vectors = np.empty((len(rows), self.dimension), np.float32)

        def run(batch: Sequence[int]) -> None:
            vectors[batch] = self._run([rows[i] for i in batch])

        if self._threads > 1 and len(parts) > 1:
            for _ in self._pool.map(run, parts):
                pass
        else:
            # On the caller's own thread, so that a question never queues behind an ingest.
            for batch in parts:
                run(batch)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(each) for each in encoded]

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        ids = np.full((len(rows), max(map(len, rows))), minilm.PAD, np.int32)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return np.asarray(self._session.run(None, {"ids": ids, "mask": mask})[0], np.float32)


def _session(cache: Path) -> ort.InferenceSession:
    unsigned = minilm.signed_products_saturate()
    stem = f"all-minilm-l6-v2-{minilm.WEIGHTS_SHA256[:12]}-{minilm.BUILDER}"
    path = cache / f"{stem}{'-u8' if unsigned else ''}.onnx"
    if path.exists():
        # A file damaged on disk is built again; every exception of ONNX Runtime is its own class.
        with contextlib.suppress(Exception):
            return _load(path)
    weights = minilm.verified("model.safetensors", minilm.WEIGHTS_SHA256)
    _write(path, minilm.build(minilm.read_safetensors(weights), unsigned=unsigned))
    return _load(path)


def _load(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread per run and runs side by side: threads inside a run wait for each other some
    # hundred times per batch, spinning, which costs half the speed once a core is shared.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The graph is fused by hand; higher levels would put the slow SkipLayerNormalization back.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _write(path: Path, data: bytes) -> None:
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


def _cut(ids: list[int]) -> list[int]:
    if len(ids) <= minilm.MAX_TOKENS:
        return ids
    return [*ids[: minilm.MAX_TOKENS - 1], minilm.SEP]


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


class HttpEmbedder:
    """Any server with an OpenAI-compatible `/v1/embeddings`: vLLM, TEI, a hosted one."""

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str = "",
        *,
        max_tokens: int = 512,
        batch_size: int = 32,
        timeout: float = 30.0,
        attempts: int = 4,
        client: httpx.Client | None = None,
    ) -> None:
        """`base_url` with or without its `/v1`; `timeout` in seconds for one attempt.

        `max_tokens` is the model's, which the protocol does not tell. Nothing is sent yet.
        SetupError where no header can hold `api_key`.
        """
        root = base_url.rstrip("/").removesuffix("/embeddings").removesuffix("/v1")
        self.name = f"http:{model}"
        self.max_tokens = max_tokens
        self._url = httpx.URL(f"{root}/v1/embeddings")
        self._host = self._url.netloc.decode()
        self._model = model
        # A key read from a file often ends in a newline, which no header may hold.
        key = api_key.strip()
        if not (key.isascii() and key.isprintable()):
            raise SetupError(f"The key for the embedding server at {self._host} is no header text.")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._batch_size = batch_size
        self._timeout = timeout
        self._attempts = attempts
        self._client = client or httpx.Client()
        self._dimension = 0

    @property
    def dimension(self) -> int:
        """Width of a vector; the first time, if nothing was embedded yet, the server is asked."""
        if not self._dimension:
            self.embed(["dimension"])
        return self._dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        size = self._batch_size
        return np.concatenate(
            [self._batch(texts[i : i + size]) for i in range(0, len(texts), size)]
        )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An approximation: four characters a token, rounded up, as the protocol has no count.

        Right within a quarter for English; for other scripts it counts too few.
        """
        return [-(-len(text) // 4) for text in texts]

    def _batch(self, texts: Sequence[str]) -> Vectors:
        for attempt in stamina.retry_context(
            on=_backoff, attempts=self._attempts, timeout=None, wait_initial=0.2
        ):
            with attempt:
                answer = self._post(texts)
        return self._vectors(answer, len(texts))

    def _post(self, texts: Sequence[str]) -> Any:
        # Servers refuse an empty input.
        body = {
            "model": self._model,
            "input": [t or " " for t in texts],
            "encoding_format": "float",
        }
        # Errors are raised from None: those of httpx may quote the header that holds the key.
        try:
            response = self._client.post(
                self._url, json=body, headers=self._headers, timeout=self._timeout
            )
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
            raise self._failure(f"cannot be asked ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            problem = f"cannot be reached ({type(error).__name__})"
            raise _Transient(self._failure(problem).message) from None
        if response.is_success:
            try:
                return response.json()
            except ValueError:
                raise self._failure("answered something that is not JSON") from None
        failure = self._failure(f"answered with status {response.status_code}")
        if response.status_code == 429 or response.is_server_error:
            raise _Transient(failure.message, _retry_after(response))
        raise failure

    def _vectors(self, answer: Any, count: int) -> Vectors:
        try:
            rows = {int(row["index"]): row["embedding"] for row in answer["data"]}
            if len(answer["data"]) != count or rows.keys() != set(range(count)):
                raise self._failure(f"answered {len(answer['data'])} vectors to {count} texts")
            vectors = np.array([rows[i] for i in range(count)], np.float64)
        except (KeyError, TypeError, ValueError):
            raise self._failure("answered something that is not a list of embeddings") from None
        if vectors.ndim != 2 or vectors.shape[1] != (self._dimension or vectors.shape[1]):
            raise self._failure(
                f"answered vectors of shape {vectors.shape[1:]}, not ({self._dimension},)"
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and norms.all()):
            raise self._failure("answered a vector that is zero or not finite")
        self._dimension = vectors.shape[1]
        unit: Vectors = (vectors / norms).astype(np.float32)
        return unit

    def _failure(self, problem: str) -> UpstreamError:
        return UpstreamError(f"The embedding server at {self._host} {problem}.")


_RETRY_AFTER_CAP = 10.0
"""Seconds. A server that asks for more is asked again after these."""


class _Transient(UpstreamError):
    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _backoff(error: Exception) -> bool | float:
    if not isinstance(error, _Transient):
        return False
    return True if error.retry_after is None else error.retry_after


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, from either form of the header."""
    header = response.headers.get("retry-after", "")
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_CAP) if math.isfinite(seconds) else None
