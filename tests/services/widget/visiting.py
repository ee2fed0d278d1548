"""A help center with the widget in front of it, and visitors of its sites."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt

from services.answer.pipeline import Parts
from services.standalone.app import create_app
from services.widget.site import SiteConfig
from services.widget.sites import Placed, read_config
from services.widget.widget import Widget
from tests.services.answer.asking import knowing, with_settings
from tests.services.standalone.serving import events, served

SHOP = "https://shop.example.com"
PLENTY = dict.fromkeys(
    (
        "widget_address_per_minute",
        "widget_site_per_minute",
        "widget_visitor_per_minute",
        "widget_messages_per_minute",
    ),
    1000000,
)
"""Rates for tests of something else."""


class World:
    """A served application, and its widget's parts."""

    def __init__(self, url: str, parts: Parts, widget: Widget) -> None:
        self.url = url
        self.parts = parts
        self.widget = widget
        self.agent: dict[str, str] = {}

    def site(self, **fields: Any) -> Placed:
        """A new site that SHOP may embed."""
        values = {"name": f"site {uuid4().hex[:8]}", "origins": [SHOP], **fields}
        return self.widget.sites.add(read_config(values))

    def visitor(self, site: Placed, origin: str = SHOP, **more: Any) -> "Visitor":
        """A visitor with a session."""
        visitor = Visitor(self, site, origin)
        visitor.begin(**more)
        return visitor

    def identity(self, site: Placed, **claims: Any) -> str:
        """What the site's own server signs; None takes a claim away."""
        whole = {
            "sub": "customer-1",
            "aud": site.id,
            "exp": int(time.time()) + 300,
            "jti": str(uuid4()),
            **claims,
        }
        secret = self.widget.tokens.identity_secret(site.id, site.generation)
        return jwt.encode({k: v for k, v in whole.items() if v is not None}, secret, "HS256")

    def desk(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return httpx.request(method, f"{self.url}/desk/v1{path}", json=body, timeout=30, **more)


class Visitor:
    """A frame of a visitor: what it holds, and what it may ask."""

    def __init__(self, world: World, site: Placed, origin: str = SHOP) -> None:
        self.world = world
        self.site = site
        self.origin = origin
        self.session: dict[str, Any] = {}
        self.base = f"{world.url}/widget/v1/{site.id}"

    def begin(self, **more: Any) -> httpx.Response:
        ticket = self.world.widget.tokens.ticket(self.site.id, self.origin)
        body = {"ticket": ticket, "origin": self.origin, **more}
        found = httpx.post(f"{self.base}/sessions", json=body, timeout=30)
        if found.is_success:
            self.session = found.json()
        return found

    @property
    def headers(self) -> dict[str, str]:
        token = self.session.get("token")
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return {**shown, "Twofold-Origin": self.origin}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, f"{self.base}{path}", json=body, headers=sent, timeout=30)

    def ask(self, text: str, id: str = "") -> "Told":
        """A question, and its whole stream."""
        response = self("POST", "/messages", {"id": id or str(uuid4()), "text": text})
        assert response.status_code == 200, response.text
        return Told(response.text)

    def thread(self) -> dict[str, Any]:
        found: dict[str, Any] = self("GET", "/thread").json()
        return found

    @contextmanager
    def following(self, after: int = 0) -> Iterator["Following"]:
        """The visitor's events, as they come."""
        with httpx.stream(
            "GET", f"{self.base}/events?after={after}", headers=self.headers, timeout=30
        ) as stream:
            assert stream.status_code == 200, stream.read()
            yield Following(stream)


class Following:
    """Server-sent events of an open stream, one after the other."""

    def __init__(self, stream: httpx.Response) -> None:
        self._blocks = _blocks(stream)

    def until(self, event: str, **wanted: Any) -> Mapping[str, Any]:
        """The next event of that name whose data has these values."""
        for name, data in self._blocks:
            if name == event and all(data.get(key) == value for key, value in wanted.items()):
                return data
        raise AssertionError(f"the stream ended without {event} {wanted}")


class Told:
    """A question's events."""

    def __init__(self, text: str) -> None:
        self.events = [(name, data) for name, _, data in events(_with_ids(text))]

    @property
    def text(self) -> str:
        return "".join(data["text"] for name, data in self.events if name == "delta")

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return next(data for found, data in reversed(self.events) if found == name)


def _with_ids(text: str) -> str:
    """`events` expects an id of each event; a state has none."""
    return text.replace("event: state\n", "event: state\nid: none\n").replace(
        "event: error\ndata", "event: error\nid: none\ndata"
    )


def _blocks(stream: httpx.Response) -> Iterator[tuple[str, Mapping[str, Any]]]:
    name = ""
    for line in stream.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, httpx.Response(200, content=line.removeprefix("data: ")).json()


@contextmanager
def world(folder: Path, **settings: Any) -> Iterator[World]:
    """Small, real parts without weights, served with the widget."""
    with knowing(folder) as parts:
        parts = with_settings(parts, **{**PLENTY, **settings})
        app = create_app(parts)
        with served(app) as url:
            yield World(url, parts, app.state.widget)


def config(**fields: Any) -> SiteConfig:
    return read_config({"name": "shop", "origins": [SHOP], **fields})
