"""What the browser tests talk to: the answer service, the widget as a process of its own beside it,
and a host page on another origin."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.answer.pipeline import Parts
from services.standalone.app import create_app
from services.widget.app import create_app as create_widget
from services.widget.site import SiteConfig
from services.widget.sites import Placed
from services.widget.widget import Widget, open_widget
from tests.e2e.widget.wire import Wire
from tests.services.standalone.serving import served, small_parts

LOCALES = ["en", "de", "fr", "es", "pt-BR", "it", "ja", "ar", "he"]
PLENTY = 1_000_000
KNOWN = "How long does the old signing secret keep working after I roll it?"
"""A question that the help center answers."""


@dataclass
class Says:
    """An answer as the answer service would stream it, in pieces of `size` characters."""

    text: str
    citations: list[dict[str, Any]] = field(default_factory=list)
    action: str = "ANSWER"
    size: int = 7
    hold_after: int | None = None
    """So many pieces are told, and the others once the test says `go`."""
    recorded: bool = True
    """Whether it gets an answer of its own on record; without, it is told faster."""
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def events(self, real: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """As if `real`, an answer that is on record, had said this."""
        ids = {name: real[name] for name in ("answer_id", "conversation_id")}
        told = {"action": self.action, "escalation": None, "served_by": "composer"}
        yield "meta", ids
        yield "action", told
        for start in range(0, len(self.text), self.size):
            yield "delta", {"text": self.text[start : start + self.size]}
        yield "citations", {"citations": self.citations}
        yield "done", {**told, **ids, "text": self.text, "citations": self.citations}


def citation(
    n: int = 1, title: str = "A page", quote: str = "Words.", url: str = ""
) -> dict[str, Any]:
    url = url or "https://help.brackwater.example/articles/a"
    return {
        "n": n,
        "title": title,
        "url": url,
        "document": "help/a.md",
        "version": 1,
        "quote": quote,
    }


class Between:
    """A proxy before the answer service that answers some questions itself: the widget asks it over
    HTTP, and cannot tell."""

    def __init__(self, upstream: str) -> None:
        self.says: dict[str, Says | int] = {}
        """By question; a number is a status to refuse with."""
        self._said: dict[str, Says] = {}
        self._last: dict[str, Any] | None = None
        self._http = httpx.AsyncClient(base_url=upstream, timeout=60, trust_env=False)
        self.app = Starlette(
            routes=[Route("/{path:path}", self._pass, methods=["GET", "POST", "PUT", "DELETE"])],
            lifespan=self._open,
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def _open(self, app: Starlette) -> AsyncIterator[None]:
        del app
        self._loop = asyncio.get_running_loop()
        async with self._http:
            yield

    def go(self, question: str) -> None:
        """Let an answer that is held go on."""
        said = self.says[question]
        assert isinstance(said, Says)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(said.go.set)

    async def _pass(self, request: Request) -> Response:
        body = await request.body()
        if request.url.path == "/v1/chat":
            asked = json.loads(body)
            said = self.says.get(asked["message"])
            if isinstance(said, int):
                return Response(json.dumps({"detail": "Not now."}), said)
            if said is not None:
                real = await self._real(asked, said)
                return StreamingResponse(_stream(said, real), media_type="text/event-stream")
        kept = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        sent = self._http.build_request(request.method, path, headers=kept, content=body)
        reply = await self._http.send(sent, stream=True)
        if request.url.path.startswith("/v1/conversations/") and reply.is_success:
            return self._recorded(json.loads(await reply.aread()))
        headers = {k: v for k, v in reply.headers.items() if k != "content-length"}

        async def content() -> AsyncIterator[bytes]:
            try:
                async for chunk in reply.aiter_raw():
                    yield chunk
            finally:
                await reply.aclose()

        return StreamingResponse(content(), reply.status_code, headers)

    async def _real(self, asked: dict[str, Any], said: Says) -> dict[str, Any]:
        """An answer that is on record, as whose text `said` is told."""
        if said.recorded or self._last is None:
            asked = {**asked, "message": KNOWN, "stream": False}
            self._last = dict((await self._http.post("/v1/chat", json=asked)).json())
            self._said[self._last["answer_id"]] = said
        return self._last

    def _recorded(self, conversation: dict[str, Any]) -> Response:
        turns = conversation["turns"]
        for turn in turns:
            answer = turn["answer"]
            turn["answer"] = _as_said(answer, self._said.get(answer["answer_id"]))
        return JSONResponse(conversation)


def _as_said(answer: dict[str, Any], said: Says | None) -> dict[str, Any]:
    if said is None:
        return answer
    return {**answer, "text": said.text, "citations": said.citations, "action": said.action}


async def _stream(said: Says, real: dict[str, Any]) -> AsyncIterator[str]:
    id = real["answer_id"]
    for number, (name, data) in enumerate(said.events(real)):
        if said.hold_after is not None and number == said.hold_after + 2:
            await said.go.wait()
        yield f"event: {name}\nid: {id}:{number}\ndata: {json.dumps(data)}\n\n"
        await asyncio.sleep(0)


STRICT = (
    "default-src 'none'; script-src 'nonce-host'; style-src 'nonce-host'; frame-src {our};"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
"""A host page's policy at its strictest: what `docs/widget.md` says has to stand there, no more."""


def host_app(our: str) -> Starlette:
    """Pages of somebody else, at any path: `?site=KEY` embeds those widgets."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        tags = "".join(
            f'<script async nonce="host" src="{our}/widget/loader.js?site={site}"'
            f' data-locale="{asked.get("locale", "en")}"></script>'
            for site in asked.getlist("site")
        )
        html = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">{tags}</head>'
            "<body><main><h1>A shop</h1><p>Goods.</p><button>Buy</button></main></body></html>"
        )
        headers = {"Content-Security-Policy": STRICT.format(our=our)} if "strict" in asked else {}
        return HTMLResponse(html, headers=headers)

    return Starlette(routes=[Route("/{path:path}", page)])


@dataclass(frozen=True)
class Place:
    """Everything that runs, and the way to change it."""

    parts: Parts
    widget: Widget
    between: Between
    wire: Wire
    alone: str
    """The embedded default, with the demo page."""
    our: str
    host: str
    stranger: str
    """A page on an origin that no site allows."""

    def site(self, **config: Any) -> Placed:
        """A new site that `host` may embed."""
        given = {"name": f"shop-{uuid4()}", "origins": [self.host], "locales": LOCALES, **config}
        return self.widget.sites.add(SiteConfig.model_validate(given))

    def page(self, *sites: Placed, path: str = "/", **query: str) -> str:
        pairs = [("site", site.id) for site in sites] + list(query.items())
        return f"{self.host}{path}?{urlencode(pairs)}"


@contextmanager
def open_place(folder: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        parts = stack.enter_context(small_parts(folder))
        alone = stack.enter_context(served(create_app(parts)))
        between = Between(alone)
        upstream = stack.enter_context(served(between.app))
        rates = ("address", "site", "visitor", "messages")
        settings = parts.stack.settings.model_copy(
            update={
                "answer_url": upstream,
                **{f"widget_{rate}_per_minute": PLENTY for rate in rates},
            }
        )
        widget = open_widget(settings, parts.stack.ledger, local=True)
        straight = stack.enter_context(served(create_widget(widget)))
        wire = stack.enter_context(Wire(urlsplit(straight).port or 0))
        our = wire.url
        host = stack.enter_context(served(host_app(our))).replace("127.0.0.1", "localhost")
        stranger = stack.enter_context(served(host_app(our))).replace("127.0.0.1", "localhost")
        yield Place(parts, widget, between, wire, alone, our, host, stranger)
