"""A service that answers from a table, and the product on this machine with that service in it."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from models.evaluate.labelled import Labelled
from models.evaluate.local import Labels, Rankings, Rewrite, Scoped
from twofold.terminal import StepCallback

NO_ANSWER: Mapping[str, Any] = {
    "action": "ANSWER",
    "text": "",
    "citations": [],
    "escalation": None,
    "served_by": "fake",
}


@dataclass
class FakeService:
    """`answers`: message -> what `/v1/chat` says beyond NO_ANSWER, and `retrieved`, `packed` and
    `why` of its record. `texts`: chunk -> text. `versions`: (document, version) -> text."""

    answers: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[tuple[str, int], str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    deletion: int = 204
    """Status of a customer's deletion."""
    forgotten: list[str] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/chat":
            body = json.loads(request.content)
            self.asked.append(body)
            said = self.answers.get(body["message"])
            if said is None:
                return httpx.Response(422, json={"detail": "The question is empty."})
            own = {key: value for key, value in said.items() if key in NO_ANSWER}
            answer = {"answer_id": body["message"], "conversation_id": "c", **NO_ANSWER, **own}
            return httpx.Response(200, json=answer)
        if path.startswith("/v1/customers/") and request.method == "DELETE":
            self.forgotten.append(path.removeprefix("/v1/customers/"))
            return httpx.Response(self.deletion)
        if path.startswith("/v1/answers/"):
            said = self.answers[path.removeprefix("/v1/answers/")]
            retrieved = [
                {"chunk": chunk, "document": document, "score": 1.0}
                for chunk, document in said.get("retrieved", [])
            ]
            record = {
                "standalone": "standalone",
                "retrieved": retrieved,
                "packed": said.get("packed", []),
                "signals": {"why": said.get("why", "")},
            }
            return httpx.Response(200, json=record)
        if path == "/v1/search":
            found = [
                {"chunk": chunk, "text": text, "document": f"hc/{chunk}.md"}
                for chunk, text in self.texts.items()
            ]
            return httpx.Response(200, json={"candidates": found})
        document, _, version = path.removeprefix("/v1/documents/").partition("/versions/")
        text = self.versions.get((document, int(version)))
        if text is None:
            return httpx.Response(404, json={"detail": "There is no such version."})
        return httpx.Response(200, json={"sections": [{"text": text}]})

    def http(self) -> httpx.AsyncClient:
        transport = httpx.MockTransport(self.handle)
        return httpx.AsyncClient(transport=transport, base_url="http://fake")


class FakeLocal:
    """Finds every document in corpus order; calls "outside" what says so."""

    def __init__(self, service: FakeService) -> None:
        self._service = service

    @asynccontextmanager
    async def service(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self._service.http() as client:
            yield client

    def rankings(
        self, labelled: Labelled, rewrite: Rewrite, locale: str, progress: StepCallback
    ) -> Rankings:
        ids = [text.id for text in labelled.corpus]
        progress("Searching", 1, 1)
        ahead = ids if rewrite == "none" else ids[::-1]
        return {
            run: [ahead for _ in labelled.queries] for run in ("bm25", "dense", "fusion", "full")
        }

    def scoped(
        self, train: Sequence[Labels], outside: str, texts: Sequence[str], progress: StepCallback
    ) -> list[Scoped]:
        labels = sorted({row.label for row in train} - {outside})
        return [Scoped(labels[0], 0.9 if "outside" in text else 0.1) for text in texts]
