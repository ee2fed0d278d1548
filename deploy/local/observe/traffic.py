"""Who uses the installation meanwhile: customers, visitors of the widget, agents, authors."""

import http.server
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.topology import ANSWERS, Topology
from services.widget.tokens import Tokens

SHOP = "https://shop.example.com"
KNOWN = "When are invoices issued?"
"""What the tiny model's one sentence answers."""
OTHERS = (KNOWN, KNOWN, "Can I get my money back?", KNOWN, KNOWN)
FOREIGN = (
    "Which orchids bloom in the shade?",
    "Who won the chess olympiad in Budapest?",
    "How many moons has Neptune got?",
    "What is a good recipe for lentil soup?",
)
INVOICES = "# Invoices\n\nInvoices are issued on the first day of every month. {more}\n"


class Target:
    """Where hand-overs are delivered. `blocked`: it answers 500."""

    def __init__(self) -> None:
        self.blocked = False
        self.taken: list[str] = []
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if not target.blocked:
                    target.taken.append(self.headers["idempotency-key"])
                self.send_response(500 if target.blocked else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Callers:
    """What each kind of caller does once."""

    def __init__(self, topology: Topology, agent_key: str) -> None:
        self._topology = topology
        self._keyed = {"Authorization": f"Bearer {topology.key()}"}
        self._agent = {"Authorization": f"Bearer {agent_key}"}
        self._http = httpx.Client(timeout=30.0, trust_env=False)
        self._tokens = Tokens(
            (topology.secrets / "twofold/TWOFOLD_WIDGET_SECRET").read_text().strip().encode()
        )
        self.site = self._new_site("shop")
        self.small_site = self._new_site("small", daily_quota=1)

    def close(self) -> None:
        self._http.close()

    def customer(self, number: int, message: str = "") -> dict[str, Any]:
        """A question to one of the answer processes; the answer, or the problem."""
        url = self._topology.url(ANSWERS[number % len(ANSWERS)])
        body = {"message": message or OTHERS[number % len(OTHERS)]}
        found: dict[str, Any] = self._http.post(
            f"{url}/v1/chat", json=body, headers=self._keyed
        ).json()
        return found

    def stranger(self, number: int) -> None:
        """Asks what no source covers."""
        self.customer(number, FOREIGN[number % len(FOREIGN)])

    def wrong_key(self, _number: int) -> None:
        wrong = {"Authorization": "Bearer tf_" + "0" * 64}
        url = self._topology.url(ANSWERS[0])
        self._http.post(f"{url}/v1/chat", json={"message": KNOWN}, headers=wrong)

    def visitor(self, number: int) -> None:
        """Asks in the widget, and listens to the answer a second time from its first event on."""
        base, headers = self.begin(self.site)
        body = {"id": str(uuid4()), "text": OTHERS[number % len(OTHERS)]}
        told = self._http.post(f"{base}/messages", json=body, headers=headers)
        first = next((line[4:] for line in told.text.splitlines() if line.startswith("id: ")), None)
        if first is not None:
            again = {**headers, "Last-Event-ID": first}
            self._http.post(f"{base}/messages", json=body, headers=again)

    def waiting_visitor(self, _number: int) -> None:
        """Asks for a person, and an agent replies."""
        base, headers = self.begin(self.site)
        asked = self._http.post(
            f"{base}/handoff", json={"consent": True, "message": "Hello?"}, headers=headers
        )
        if not asked.is_success:
            return
        desk = f"{self._topology.url('widget')}/desk/v1/handoffs/{asked.json()['thread_id']}"
        self._http.post(f"{desk}/take", json={"name": "Anna"}, headers=self._agent)
        said = {"id": str(uuid4()), "text": "Here I am."}
        self._http.post(f"{desk}/reply", json=said, headers=self._agent)

    def thrifty_visitor(self, _number: int) -> None:
        """Of a site whose day is used up after one question."""
        base, headers = self.begin(self.small_site)
        for _ in range(2):
            body = {"id": str(uuid4()), "text": KNOWN}
            self._http.post(f"{base}/messages", json=body, headers=headers)

    def author(self, number: int) -> None:
        """Pushes a page for the worker; every other time the one before it, edited."""
        text = f"# Zorb {number // 2}\n\nThe zorb weighs {1000 + number} grams."
        self.push(f"zorb-{number // 2}.md", text)

    def push(self, name: str, text: str, *, wait: bool = False, **more: Any) -> None:
        flag = "true" if wait else "false"
        url = f"{self._topology.url(ANSWERS[0])}/v1/documents/pushed/{name}?wait={flag}"
        done = self._http.put(url, json={"content": text, **more}, headers=self._keyed)
        done.raise_for_status()

    def post(self, path: str, body: Any = None) -> httpx.Response:
        url = f"{self._topology.url(ANSWERS[0])}{path}"
        return self._http.post(url, json=body, headers=self._keyed)

    def begin(self, site: str) -> tuple[str, dict[str, str]]:
        """A new visitor's session: its base address and headers."""
        base = f"{self._topology.url('widget')}/widget/v1/{site}"
        body = {"ticket": self._tokens.ticket(site, SHOP), "origin": SHOP}
        token = self._http.post(f"{base}/sessions", json=body).json()["token"]
        return base, {"Authorization": f"Bearer {token}", "Twofold-Origin": SHOP}

    def _new_site(self, name: str, **more: Any) -> str:
        body = {"name": name, "origins": [SHOP], **more}
        made = self._http.post(
            f"{self._topology.url('widget')}/v1/sites", json=body, headers=self._keyed
        )
        made.raise_for_status()
        return str(made.json()["site"])


class Traffic:
    """Callers, each doing its thing every so many seconds until it is told to stop.

    What fails is counted, not raised: faults are injected meanwhile.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self._stops: list[tuple[threading.Event, threading.Thread]] = []

    def begin(self, what: Callable[[int], object], every_s: float) -> Callable[[], None]:
        """Returns what ends it."""
        stop = threading.Event()

        def go_on() -> None:
            number = 0
            while not stop.wait(every_s):
                try:
                    what(number)
                    self.done += 1
                except (httpx.HTTPError, KeyError, ValueError):
                    self.failed += 1
                number += 1

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        self._stops.append((stop, thread))
        return stop.set

    def end(self) -> None:
        for stop, _ in self._stops:
            stop.set()
        deadline = time.monotonic() + 60.0
        for _, thread in self._stops:
            thread.join(max(0.0, deadline - time.monotonic()))
