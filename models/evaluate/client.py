"""What an eval asks of an answer service, over its HTTP interface."""

from typing import Any
from urllib.parse import quote

import httpx

from twofold.errors import UpstreamError

TIMEOUT = 60.0


class AnswerClient:
    """The calls that evals make. `http` has the service's base URL."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        return await self._json("POST", "/v1/chat", body)

    async def record(self, answer_id: str) -> dict[str, Any]:
        """The answer record: candidates with scores, packed chunks, verdicts, signals."""
        return await self._json("GET", f"/v1/answers/{answer_id}")

    async def packed(self, answer_id: str) -> dict[str, Any]:
        """The passages that an answer was made from, with their texts."""
        return await self._json("GET", f"/v1/answers/{answer_id}/packed")

    async def conversation(self, id: str) -> dict[str, Any]:
        return await self._json("GET", f"/v1/conversations/{id}")

    async def forget(self, conversation: str) -> None:
        """Delete a conversation with its answers and hand-overs."""
        path = f"/v1/conversations/{conversation}"
        response = await self._send("DELETE", path)
        if not response.is_success:
            self._body(response, "DELETE", path)

    async def approved(self) -> list[dict[str, Any]]:
        """Every answer whose latest rating is `up`."""
        return await self._pages("/v1/feedback?rating=up", "ratings")

    async def replies(self) -> list[dict[str, Any]]:
        """Every reply of a person to a hand-over, oldest first."""
        return await self._pages("/v1/handoffs/replies?", "replies")

    async def forget_customer(self, customer: str) -> bool:
        """Have everything deleted that is kept of a customer; False where the key may not."""
        path = f"/v1/customers/{quote(customer)}"
        response = await self._send("DELETE", path)
        if response.status_code == httpx.codes.FORBIDDEN:
            return False
        if response.status_code != httpx.codes.NOT_FOUND:
            self._body(response, "DELETE", path)
        return True

    async def search(self, body: dict[str, Any]) -> dict[str, Any]:
        """Retrieval alone, with the text of every candidate."""
        return await self._json("POST", "/v1/search", body)

    async def version_text(self, document: str, version: int) -> str | None:
        """The extracted text of a document version; None where the service has no such version."""
        found = await self._version(document, version)
        if found is None:
            return None
        return "\n\n".join(section["text"] for section in found["sections"])

    async def is_live(self, document: str, version: int) -> bool:
        """Whether it is the version of the document that answers today."""
        found = await self._version(document, version)
        return found is not None and bool(found["live"])

    async def _version(self, document: str, version: int) -> dict[str, Any] | None:
        source, _, external_id = document.partition("/")
        path = f"/v1/documents/{quote(source)}/{quote(external_id)}/versions/{version}"
        response = await self._send("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._body(response, "GET", path)

    async def _pages(self, path: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while page := (await self._json("GET", f"{path}&after={after}"))[name]:
            found += page
            after = page[-1]["id"]
        return found

    async def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self._body(await self._send(method, path, body), method, path)

    async def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            return await self._http.request(method, path, json=body, timeout=TIMEOUT)
        except httpx.HTTPError as error:
            raise UpstreamError(
                f"{self._http.base_url} did not answer {method} {path}"
                f" ({type(error).__name__}). Is the service running?"
            ) from error

    def _body(self, response: httpx.Response, method: str, path: str) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = {}
        if response.is_success and isinstance(body, dict):
            return body
        detail = body.get("detail", "no reason given") if isinstance(body, dict) else ""
        raise UpstreamError(f"{method} {path} gave status {response.status_code}: {detail}")
