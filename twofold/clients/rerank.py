"""Rerankers: a server behind `/v1/rerank`, or a cross-encoder on this machine's CPU."""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

import httpx
import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from tokenizers import Encoding, Tokenizer

from twofold.clients.runtime import batches, cores
from twofold.errors import SetupError, UpstreamError

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"
MAX_TOKENS = 512
MAX_QUERY_CHARS = 800
"""A question may not crowd out the passage; its last words are its newest."""
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


class Reranker(Protocol):
    async def scores(self, query: str, texts: Sequence[str], *, deadline: float) -> list[float]:
        """Returns one relevance (0..1) for each text. `deadline` is of `time.monotonic`. Raises
        UpstreamError, nothing else."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HttpReranker:
    """`/v1/rerank`: the shape that vLLM and Cohere share."""

    base_url: str
    model: str
    api_key: str = ""
    _clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = field(
        default_factory=WeakKeyDictionary
    )

    async def scores(self, query: str, texts: Sequence[str], *, deadline: float) -> list[float]:
        body = {"model": self.model, "query": query, "documents": list(texts), "top_n": len(texts)}
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                response = await self._http().post(f"{self.base_url}/v1/rerank", json=body)
                response.raise_for_status()
                return _scores(response.json(), len(texts))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise UpstreamError(f"The reranker failed: {type(error).__name__}.") from error
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UpstreamError("The reranker answered what is no ranking.") from error

    async def aclose(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _http(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            key = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
            self._clients[loop] = httpx.AsyncClient(headers=key, timeout=None, trust_env=False)  # noqa: S113  bounded by the deadline
        return self._clients[loop]


class OnnxReranker:
    """A cross-encoder on ONNX Runtime: query and text in one sequence, one logit out.

    `model.onnx` and `tokenizer.json` of a BERT or RoBERTa cross-encoder, as model hubs hold them.
    """

    def __init__(self, session: ort.InferenceSession, tokenizer: Tokenizer, threads: int) -> None:
        """`session` takes one thread per run."""
        self._session = session
        self._inputs = {each.name for each in session.get_inputs()}
        self._tokenizer = tokenizer
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "rerank")

    @classmethod
    def open(cls, folder: Path, threads: int = 0) -> Self:
        """Loads the model; 0 threads means one per core. Raises SetupError where the folder
        holds no cross-encoder."""
        for name in (MODEL, TOKENIZER):
            if not (folder / name).is_file():
                raise SetupError(
                    f"There is no {folder / name}. A reranker's folder holds {MODEL} and"
                    f" {TOKENIZER} of a cross-encoder."
                )
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            session = ort.InferenceSession(
                str(folder / MODEL), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # neither library has a class for it
            raise SetupError(f"The reranker in {folder} cannot be read: {error}") from error
        unknown = {each.name for each in session.get_inputs()} - _INPUTS
        if unknown or len(session.get_outputs()) != 1:
            raise SetupError(
                f"{folder / MODEL} is no cross-encoder: it takes {', '.join(sorted(_INPUTS))} and"
                f" gives logits; this one also takes {', '.join(sorted(unknown)) or 'nothing'} and"
                f" gives {len(session.get_outputs())} outputs."
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        return cls(session, tokenizer, threads or cores())

    async def scores(self, query: str, texts: Sequence[str], *, deadline: float) -> list[float]:
        loop = asyncio.get_running_loop()
        scores = [0.0] * len(texts)

        def run(batch: Sequence[int]) -> None:
            if time.monotonic() > deadline:
                raise TimeoutError
            for at, score in zip(batch, self._run([rows[i] for i in batch]), strict=True):
                scores[at] = score

        try:
            # A call that waits for a thread is cancelled by the timeout, so that a late question
            # does not make the next one late.
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                rows = await loop.run_in_executor(self._pool, self._pairs, query, texts)
                parts = batches([len(row.ids) for row in rows], self._threads)
                await asyncio.gather(*(loop.run_in_executor(self._pool, run, p) for p in parts))
        except TimeoutError as error:
            raise UpstreamError("The reranker took too long.") from error
        except Exception as error:  # ONNX Runtime has no class of its own
            raise UpstreamError(f"The reranker failed: {error}") from error
        if not all(map(math.isfinite, scores)):
            raise UpstreamError("The reranker gave what is no ranking.")
        return scores

    async def aclose(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _pairs(self, query: str, texts: Sequence[str]) -> list[Encoding]:
        asked = query[-MAX_QUERY_CHARS:]
        return self._tokenizer.encode_batch([(asked, text) for text in texts])

    def _run(self, rows: Sequence[Encoding]) -> list[float]:
        ids = np.zeros((len(rows), max(len(row.ids) for row in rows)), np.int64)
        given = {"input_ids": ids, "attention_mask": ids.copy(), "token_type_ids": ids.copy()}
        for i, row in enumerate(rows):
            given["input_ids"][i, : len(row.ids)] = row.ids
            given["attention_mask"][i, : len(row.ids)] = 1
            given["token_type_ids"][i, : len(row.ids)] = row.type_ids
        wanted = {name: given[name] for name in self._inputs}
        logits = np.asarray(self._session.run(None, wanted)[0], np.float64)
        # One logit, or (not relevant, relevant).
        logit = logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0.0)
        return [float(score) for score in 1 / (1 + np.exp(-logit))]


def _scores(answer: Any, count: int) -> list[float]:
    found = {int(each["index"]): float(each["relevance_score"]) for each in answer["results"]}
    scores = [found[index] for index in range(count)]
    if len(found) != count or not all(map(math.isfinite, scores)):
        raise ValueError("a ranking of other texts")
    return scores
