"""Where a handoff can go: a signed webhook, a Zendesk ticket, a Slack message."""

import time
from typing import Annotated, Any, Literal, Protocol

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError

from twofold import settings as environment
from twofold.errors import SetupError, UpstreamError
from twofold.settings import Settings
from twofold.signatures import sign

SECONDS = 10.0
SLACK = "https://slack.com"
SECTION_CHARS = 2900
"""Slack cuts a section block at 3,000 characters."""


_NOBODY = httpx.Auth()


class Refused(UpstreamError):
    """Raised where a target refused, or did not answer. `retry_after` is what it asks for, in
    seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Target(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    teams: tuple[str, ...] = ()
    """Only handoffs for these; empty means all."""
    workspace: str | None = None

    def wants(self, workspace: str, team: str) -> bool:
        return self.workspace in (None, workspace) and (not self.teams or team in self.teams)


class Webhook(_Target):
    """POSTs the packet, signed as Standard Webhooks has it (`twofold.signatures`). Where it follows
    another handoff, `follows` is that one's id."""

    kind: Literal["webhook"]
    url: HttpUrl
    secret_env: str

    def send(self, http: httpx.Client, packet: dict[str, Any], again: bool, thread: str) -> str:  # noqa: ARG002
        body = orjson.dumps({"type": "handoff", "attempted_before": again, "handoff": packet})
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": packet["handoff_id"],
            **sign(_secret(self.secret_env), packet["handoff_id"], body, int(time.time())),
        }
        _post(http, str(self.url), body, headers)
        return ""


class Zendesk(_Target):
    """Creates a ticket whose `external_id` is the handoff's id; what follows one becomes an
    internal note of its ticket. `url`: https://you.zendesk.com."""

    kind: Literal["zendesk"]
    url: HttpUrl
    email: str
    token_env: str
    tags: tuple[str, ...] = ("twofold",)

    def send(self, http: httpx.Client, packet: dict[str, Any], again: bool, thread: str) -> str:
        tickets = str(self.url).rstrip("/") + "/api/v2/tickets"
        login = httpx.BasicAuth(f"{self.email}/token", _secret(self.token_env))
        if thread:
            self._note(http, f"{tickets}/{thread}", packet, again, login)
            return thread
        if again and (known := self._known(http, tickets, packet["handoff_id"], login)):
            return known
        ticket = {
            "subject": subject(packet),
            "comment": {"body": as_text(packet), "public": False},
            "external_id": packet["handoff_id"],
            "tags": [*self.tags, packet["team"], packet["reason"]],
        }
        headers = {
            "Content-Type": "application/json",
            # Zendesk remembers the key for two hours; after that `external_id` shows a duplicate.
            "Idempotency-Key": packet["handoff_id"],
        }
        body = orjson.dumps({"ticket": ticket})
        made = _post(http, tickets + ".json", body, headers, login)
        return _id(lambda: made.json()["ticket"]["id"])

    def _note(
        self,
        http: httpx.Client,
        ticket: str,
        packet: dict[str, Any],
        again: bool,
        login: httpx.Auth,
    ) -> None:
        note = as_text(packet)
        if again:
            said = _checked(lambda: http.get(f"{ticket}/comments.json", auth=login))
            held = _read(lambda: [each["body"] for each in said.json()["comments"]])
            if any(packet["handoff_id"] in body for body in held):
                return
        body = orjson.dumps({"ticket": {"comment": {"body": note, "public": False}}})
        headers = {"Content-Type": "application/json"}
        _checked(lambda: http.put(f"{ticket}.json", content=body, headers=headers, auth=login))

    def _known(self, http: httpx.Client, tickets: str, id: str, login: httpx.Auth) -> str:
        params = {"external_id": id}
        found = _checked(lambda: http.get(tickets + ".json", params=params, auth=login))
        return _id(lambda: next((each["id"] for each in found.json()["tickets"]), ""))


class Slack(_Target):
    """Posts a message to a channel, as a bot with the scope `chat:write`; what follows one, as a
    reply to it."""

    kind: Literal["slack"]
    channel: str
    token_env: str
    url: HttpUrl = HttpUrl(SLACK)

    def send(self, http: httpx.Client, packet: dict[str, Any], again: bool, thread: str) -> str:
        # Slack has no key against duplicates: a lost reply may post twice, and says so.
        lead = "(sent again) " if again else ""
        blocks = [
            {"type": "header", "text": {"type": "plain_text", "text": subject(packet)[:150]}},
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": escape(as_text(packet))[:SECTION_CHARS]},
            },
        ]
        body = orjson.dumps(
            {
                "channel": self.channel,
                **({"thread_ts": thread} if thread else {}),
                "text": escape(lead + subject(packet)),
                "blocks": blocks,
                "unfurl_links": False,
                "unfurl_media": False,
                "metadata": {
                    "event_type": "twofold_handoff",
                    "event_payload": {"handoff_id": packet["handoff_id"]},
                },
            }
        )
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {_secret(self.token_env)}",
        }
        base = str(self.url).rstrip("/")
        said = _post(http, f"{base}/api/chat.postMessage", body, headers)
        if not _id(lambda: said.json().get("ok") or ""):
            code = _id(lambda: said.json().get("error", "unknown"))[:60]
            raise Refused(f"Slack refused: {code}.")
        return _id(lambda: said.json().get("ts", ""))


class Target(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    def wants(self, workspace: str, team: str) -> bool: ...
    def send(self, http: httpx.Client, packet: dict[str, Any], again: bool, thread: str) -> str:
        """Delivers the packet and returns the target's id of it.

        `again`: it may have arrived before. `thread`: the target's id of the handoff that this
        one follows, or "". Raises Refused, or SetupError where a credential is missing."""
        ...


_KINDS: TypeAdapter[list[Webhook | Zendesk | Slack]] = TypeAdapter(
    list[Annotated[Webhook | Zendesk | Slack, Field(discriminator="kind")]]
)


def open_targets(settings: Settings) -> dict[str, Target]:
    """Targets by name, from TWOFOLD_HANDOFF_TARGETS. Raises SetupError with what is wrong."""
    try:
        found = _KINDS.validate_python(settings.handoff_targets)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SetupError(f"TWOFOLD_HANDOFF_TARGETS: {where}: {first['msg']}") from None
    targets: dict[str, Target] = {}
    for each in found:
        name = each.name or each.kind
        if name in targets:
            raise SetupError(f"TWOFOLD_HANDOFF_TARGETS: two targets are called {name!r}.")
        targets[name] = each
    return targets


def subject(packet: dict[str, Any]) -> str:
    asked = next((t["text"] for t in packet["transcript"][::-1] if t["role"] == "customer"), "")
    line = " ".join(asked.split())
    return f"[{packet['team']}] {line[:100] or packet['reason']}"


def as_text(packet: dict[str, Any]) -> str:
    """Returns the packet for a person to read."""
    lines = [packet["summary"], f"Language: {packet['locale']}"]
    if packet["customer"]:
        lines.append(f"Customer: {packet['customer']}")
    if packet["suggested_reply"]:
        lines += ["", "Suggested reply:", packet["suggested_reply"]]
    if packet["sources"]:
        lines += ["", "Sources:"]
        lines += [f"- {s['title'] or s['document']} {s['url']}".rstrip() for s in packet["sources"]]
    lines += ["", "Transcript:"]
    lines += [f"{turn['role']}: {turn['text']}" for turn in packet["transcript"]]
    return "\n".join([*lines, "", f"Handoff {packet['handoff_id']}"])


def escape(text: str) -> str:
    """Escapes Slack's three control characters, so that a customer's text mentions and links
    nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _secret(name: str) -> str:
    if found := environment.secret(name):
        return found
    raise SetupError(f"The environment variable {name} is not set. Put the credential in.")


def _post(
    http: httpx.Client,
    url: str,
    body: bytes,
    headers: dict[str, str],
    auth: httpx.Auth = _NOBODY,
) -> httpx.Response:
    return _checked(lambda: http.post(url, content=body, headers=headers, auth=auth))


def _checked(ask: Any) -> httpx.Response:
    try:
        response: httpx.Response = ask()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Refused(f"No answer ({type(error).__name__}).") from error
    if response.is_success:
        return response
    after = response.headers.get("retry-after", "")
    wait = float(after) if after.isascii() and after.isdigit() else 0.0
    # Its words may quote what was sent: only the status is kept.
    raise Refused(f"Status {response.status_code}.", wait)


def _id(read: Any) -> str:
    return str(_read(read))


def _read(read: Any) -> Any:
    try:
        return read()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused("The target answered what is not its documented shape.") from error
