"""What an eval asks of an answer service, over its HTTP interface."""

from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

import httpx

from twofold.errors import UpstreamError

TIMEOUT = 60.0
GIVE_A_KEY = (
    "Give this command one with --key or TWOFOLD_API_KEY;"
    " `twofold key create NAME --scope read --scope admin` makes one."
)


class Memory(Protocol):
    """Remembers replays that were made before."""

    def get(self, body: dict[str, Any]) -> dict[str, Any] | None: ...

    def put(self, body: dict[str, Any], told: dict[str, Any]) -> None: ...


class AnswerClient:
    """Makes the calls that evals need. `http` has the service's base URL; what `memory` holds of
    replays is not asked again."""

    def __init__(self, http: httpx.AsyncClient, memory: Memory | None = None) -> None:
        self._http = http
        self._memory = memory

    def remembering(self, memory: Memory) -> Self:
        """Returns a client of the same service with that memory."""
        return type(self)(self._http, memory)

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        return await self._json("POST", "/v1/chat", body)

    async def record(self, answer_id: str) -> dict[str, Any]:
        """Returns the answer record: candidates with scores, packed chunks, verdicts, signals."""
        return await self._json("GET", f"/v1/answers/{answer_id}")

    async def packed(self, answer_id: str) -> dict[str, Any]:
        """Returns the passages that an answer was made from, with their texts."""
        return await self._json("GET", f"/v1/answers/{answer_id}/packed")

    async def conversation(self, id: str) -> dict[str, Any]:
        return await self._json("GET", f"/v1/conversations/{id}")

    async def forget(self, conversation: str) -> None:
        """Deletes a conversation with its answers and hand-overs."""
        path = f"/v1/conversations/{conversation}"
        response = await self._send("DELETE", path)
        if not response.is_success:
            self._body(response, "DELETE", path)

    async def questions(self, since: float) -> list[dict[str, Any]]:
        """Returns what was asked since then (epoch seconds), oldest first, and what came of it."""
        found: list[dict[str, Any]] = []
        after = ""
        while page := (await self._json("GET", f"/v1/questions?since={since}&after={after}"))[
            "questions"
        ]:
            found += page
            # Names the time as well: the last answer may be deleted before the next page is read.
            since, after = page[-1]["created_at"], page[-1]["answer"]["answer_id"]
        return found

    async def latest(
        self,
        since: float,
        limit: int,
        until: float | None = None,
        after: str = "",
        rating: str | None = None,
    ) -> list[dict[str, Any]]:
        """Returns a page of what was asked since then (epoch seconds), newest first: behind the
        answer `after`, which was asked at `until`."""
        asked = {"newest": "true", "since": since, "limit": limit, "after": after}
        asked |= {} if until is None else {"until": until}
        asked |= {} if rating is None else {"rating": rating}
        return list((await self._json("GET", f"/v1/questions?{urlencode(asked)}"))["questions"])

    async def approved(self) -> list[dict[str, Any]]:
        """Returns every answer whose latest rating is `up`."""
        return await self._pages("/v1/feedback?rating=up", "ratings")

    async def pinned(self) -> list[dict[str, Any]]:
        """Returns the approved answers that are given today."""
        found = (await self._json("GET", "/v1/approved-answers"))["answers"]
        return [each for each in found if each["state"] == "active"]

    async def replies(self) -> list[dict[str, Any]]:
        """Returns every reply of a person to a hand-over, oldest first."""
        return await self._pages("/v1/handoffs/replies?", "replies")

    async def forget_customer(self, customer: str) -> bool:
        """Deletes everything that is kept of a customer; returns False where the key may not."""
        path = f"/v1/customers/{quote(customer)}"
        response = await self._send("DELETE", path)
        if response.status_code == httpx.codes.FORBIDDEN:
            return False
        if response.status_code != httpx.codes.NOT_FOUND:
            self._body(response, "DELETE", path)
        return True

    async def search(self, body: dict[str, Any]) -> dict[str, Any]:
        """Searches without answering: returns the text of every candidate."""
        return await self._json("POST", "/v1/search", body)

    async def replay(self, body: dict[str, Any]) -> dict[str, Any]:
        """Asks a question again in another world; nothing of it is recorded. Needs `admin`."""
        told = self._memory.get(body) if self._memory else None
        if told is None:
            told = await self._json("POST", "/v1/replays", body)
            if self._memory:
                self._memory.put(body, told)
        return told

    async def world(self) -> dict[str, Any]:
        """Returns a digest of all that an answer depends on, the reply makers that there are,
        and what the prompts of this house cost. Needs `admin`."""
        return await self._json("GET", "/v1/replays/world")

    async def states(self, name: str) -> list[dict[str, Any]]:
        """Returns what is known of every page of that name (an external id, or
        `source/external_id`)."""
        found = await self._json("GET", f"/v1/replays/documents?name={quote(name, safe='')}")
        return list(found["documents"])

    async def sources(self) -> list[str]:
        """Returns the names of the sources; none where the service does not say."""
        response = await self._send("GET", "/v1/sources")
        return [each["name"] for each in response.json()] if response.is_success else []

    async def read_again(self, source: str, external_id: str) -> dict[str, Any] | None:
        """Returns a page's text as its source gives it now, and its hash; None where nobody can
        say."""
        path = f"/v1/sources/{quote(source)}/read?document={quote(external_id, safe='')}"
        response = await self._send("GET", path)
        return self._body(response, "GET", path) if response.is_success else None

    async def version_text(self, document: str, version: int) -> str | None:
        """Returns the extracted text of a document version; None where the service has no such
        version."""
        found = await self._version(document, version)
        if found is None:
            return None
        return "\n\n".join(section["text"] for section in found["sections"])

    async def is_live(self, document: str, version: int) -> bool:
        """Returns whether it is the version of the document that answers today."""
        found = await self._version(document, version)
        return found is not None and bool(found["live"])

    async def is_there(self, kind: str, id: str) -> bool:
        """Returns whether an object (`answers`, `handoffs`) is on record."""
        path = f"/v1/{kind}/{quote(id, safe='')}"
        response = await self._send("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        self._body(response, "GET", path)
        return True

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
        asked = f"{method} {path.partition('?')[0]}"
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise UpstreamError(f"{self._http.base_url} refused {asked}. {detail} {GIVE_A_KEY}")
        raise UpstreamError(f"{asked} gave status {response.status_code}: {detail}")
