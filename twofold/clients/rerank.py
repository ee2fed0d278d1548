"""A reranker behind `/v1/rerank`: the shape that vLLM and Cohere share."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import httpx

from twofold.errors import UpstreamError


class Reranker(Protocol):
    async def scores(self, query: str, texts: Sequence[str], *, deadline: float) -> list[float]:
        """One relevance for each text, higher is better. `deadline` is of `time.monotonic`.

        Raises UpstreamError, nothing else.
        """
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HttpReranker:
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


def _scores(answer: Any, count: int) -> list[float]:
    found = {int(each["index"]): float(each["relevance_score"]) for each in answer["results"]}
    scores = [found[index] for index in range(count)]
    if len(found) != count or not all(map(math.isfinite, scores)):
        raise ValueError("a ranking of other texts")
    return scores
