"""Text to unit vectors: a packaged model on this machine's CPU, or a server that speaks OpenAI's
`/v1/embeddings`."""

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, Self

import httpx
import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]
import stamina
from tokenizers import Tokenizer

from twofold.clients import bert, e5, minilm
from twofold.clients.graph import Array
from twofold.clients.runtime import BatchThreads, batches, cores, kept_session, padded, session
from twofold.counted import counted
from twofold.errors import SetupError, UpstreamError

Vectors = npt.NDArray[np.float32]

REMEMBERED = 4096
"""Texts whose vectors are remembered: a KB and a half each."""
FEW = 16
"""More at once are an ingest's, and nobody asks them again."""


class Embedder(Protocol):
    """The interface of an embedder, as index and planes use it. Safe to call from many threads."""

    @property
    def name(self) -> str:
        """Part of the index fingerprint: two embedders of one name give the same vectors."""

    @property
    def dimension(self) -> int:
        """Width of a vector."""

    @property
    def max_tokens(self) -> int:
        """What lies beyond this many tokens of a text does not reach its vector."""

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> Vectors:
        """Returns vectors (len(texts), dimension) in order, rows of length 1. Raises UpstreamError
        where it cannot.

        `passages` are what questions find: some models read them in another way than anything
        else.
        """

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns the tokens of each whole text, special tokens not counted."""


class CachingEmbedder:
    """An embedder that remembers questions: each is embedded to be searched for and again to be
    answered, and every turn of a conversation again with the next one. Safe for many threads."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.name, self.dimension, self.max_tokens = inner.name, inner.dimension, inner.max_tokens
        self._known: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> Vectors:
        if passages or len(texts) > FEW:
            return self._inner.embed(texts, passages=passages)
        with self._lock:
            found = {text: self._known[text] for text in texts if text in self._known}
        if missing := [text for text in dict.fromkeys(texts) if text not in found]:
            found |= zip(missing, self._inner.embed(missing), strict=True)
        with self._lock:
            self._known |= found
            for text in found:
                self._known.move_to_end(text)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return np.array([found[text] for text in texts], np.float32).reshape(-1, self.dimension)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._inner.count_tokens(texts)


class _OnThisMachine:
    """A packaged model on ONNX Runtime: texts to tokens to unit vectors."""

    name: str
    max_tokens: int
    dimension = bert.DIMENSION

    def __init__(self, session: ort.InferenceSession, threads: int) -> None:
        """`session` takes one thread per run."""
        self._session = session
        self._threads = BatchThreads(threads, "embed")

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> Vectors:
        rows = self._rows(texts, passages)
        vectors = np.empty((len(rows), self.dimension), np.float32)

        def run(batch: Sequence[int]) -> None:
            vectors[batch] = self._run([rows[i] for i in batch])

        self._threads.each(run, batches([len(row) for row in rows], self._threads.count))
        return vectors

    def _rows(self, texts: Sequence[str], passages: bool) -> list[list[int]]:
        """Returns the tokens of each text, as many as the model takes."""
        raise NotImplementedError

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        raise NotImplementedError


class MiniLM(_OnThisMachine):
    """all-MiniLM-L6-v2 in 8 bits on ONNX Runtime: English."""

    name = f"all-MiniLM-L6-v2:{minilm.WEIGHTS_SHA256[:12]}:{minilm.BUILDER}"
    max_tokens = minilm.MAX_TOKENS
    _stem = f"all-minilm-l6-v2-{minilm.WEIGHTS_SHA256[:12]}-{minilm.BUILDER}"
    """Name of the built file."""

    def __init__(self, session: ort.InferenceSession, tokenizer: Tokenizer, threads: int) -> None:
        """`tokenizer` neither pads nor truncates."""
        super().__init__(session, threads)
        self._tokenizer = tokenizer

    @classmethod
    def open(cls, cache: Path, threads: int = 0) -> Self:
        """Loads the model, built into the folder `cache` on first use; 0 threads means one per
        core. Raises SetupError where the weights' package is missing or damaged.

        The weights themselves are read, and checked, only to build; many processes may open at
        once.
        """
        # Verified first, so that nothing is built from damaged weights.
        tokenizer = minilm.tokenizer()

        def build(unsigned: bool) -> bytes:
            return bert.build(cls._weights(), minilm.SIZES, unsigned=unsigned)

        return cls(kept_session(cache, cls._stem, build), tokenizer, threads or cores())

    @classmethod
    def _weights(cls) -> dict[str, Array]:
        return minilm.read_safetensors(minilm.verified("model.safetensors", minilm.WEIGHTS_SHA256))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return minilm.count_tokens(self._tokenizer, texts)

    def _rows(self, texts: Sequence[str], passages: bool) -> list[list[int]]:  # noqa: ARG002
        rows = [each.ids for each in self._tokenizer.encode_batch_fast(list(texts))]
        return [_cut(row, self.max_tokens, minilm.SEP) for row in rows]

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        ids, mask = padded(rows, minilm.PAD)
        return np.asarray(self._session.run(None, {"ids": ids, "mask": mask})[0], np.float32)


class E5(_OnThisMachine):
    """multilingual-e5-small in 8 bits on ONNX Runtime: a hundred languages, and across them."""

    name = f"multilingual-e5-small:{e5.WEIGHTS_SHA256[:12]}:{e5.BUILDER}"
    max_tokens = e5.MAX_TOKENS

    def __init__(self, session: ort.InferenceSession, weights: e5.Weights, threads: int) -> None:
        super().__init__(session, threads)
        self._ends = weights.begin, weights.end
        self._reader = e5.E5Tokenizer(weights)
        self._words = e5.Words(weights.tensors["emb.word"])

    @classmethod
    def open(cls, cache: Path, threads: int = 0) -> Self:
        """Loads the model as `MiniLM.open` does; a second longer, for its 250,000 words."""
        weights = e5.Weights.open()

        def build(unsigned: bool) -> bytes:
            tensors = e5.bert_weights(weights.tensors)
            whole = bert.build(tensors, e5.SIZES, unsigned=unsigned)
            common = cls(session(whole), weights, 1).embed(e5.COMMON).mean(axis=0)
            return bert.build(tensors, e5.SIZES, unsigned=unsigned, centre=e5.CENTRED * common)

        stem = f"multilingual-e5-small-{e5.WEIGHTS_SHA256[:12]}-{e5.BUILDER}"
        return cls(kept_session(cache, stem, build), weights, threads or cores())

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._reader.count(texts)

    def _rows(self, texts: Sequence[str], passages: bool) -> list[list[int]]:
        begin, end = self._ends
        before = e5.PASSAGE if passages else e5.QUERY
        rows = [[begin, *ids, end] for ids in self._reader.ids([before + text for text in texts])]
        return [_cut(row, e5.MAX_TOKENS, end) for row in rows]

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        ids, mask = padded(rows, e5.PAD)
        return np.asarray(
            self._session.run(None, {"words": self._words[ids], "mask": mask})[0], np.float32
        )


def _cut(ids: list[int], most: int, end: int) -> list[int]:
    return ids if len(ids) <= most else [*ids[: most - 1], end]


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
        """`base_url` with or without its `/v1`; `timeout` in seconds for one attempt. Raises
        SetupError where no header can hold `api_key`.

        `max_tokens` is the model's, which the protocol does not tell. Nothing is sent yet.
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

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> Vectors:  # noqa: ARG002
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        size = self._batch_size
        return np.concatenate(
            [self._batch(texts[i : i + size]) for i in range(0, len(texts), size)]
        )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns an approximation: four characters a token, rounded up, as the protocol has no
        count. It is right within a quarter for English; for other scripts it counts too few."""
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
                raise self._failure(
                    f"answered {len(answer['data'])} vectors to {counted(count, 'text')}"
                )
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
    """Returns seconds that the server asks to wait, from either form of the header."""
    header = response.headers.get("retry-after", "")
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_CAP) if math.isfinite(seconds) else None
