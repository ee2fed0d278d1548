"""Handing over: asking for a person, the packet, and its way to webhook, Zendesk and Slack."""

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update
from typer.testing import CliRunner

from services.answer.app import create_app
from services.answer.handoffs import outbox
from services.answer.handoffs.delivery import LEASE_S, Courier, pause
from services.answer.handoffs.targets import open_targets
from services.answer.pipeline import Parts
from tests.services.answer.asking import knowing
from tests.services.answer.edge import HACKED, ROLL, Client, with_settings
from tests.services.standalone.serving import needs_weights, own_threads, served
from twofold.commands import build
from twofold.errors import SetupError
from twofold.ledger.models import Conversation, Handoff
from twofold.ledger.service import Delivery
from twofold.signatures import verified

pytestmark = needs_weights

WEBHOOK = {"kind": "webhook", "url": "https://crm.example/handoffs", "secret_env": "HOOK_SECRET"}
ZENDESK = {
    "kind": "zendesk",
    "url": "https://brackwater.zendesk.com",
    "email": "bot@brackwater.example",
    "token_env": "ZENDESK_TOKEN",
}
SLACK = {"kind": "slack", "channel": "C024BE91L", "token_env": "SLACK_TOKEN"}
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in (("HOOK_SECRET", "s3cret"), ("ZENDESK_TOKEN", "z"), ("SLACK_TOKEN", "x")):
        monkeypatch.setenv(name, secret)


class Receiver:
    """A target behind httpx's transport: answers as it is told, and keeps what it got."""

    def __init__(self, *replies: httpx.Response | BaseException) -> None:
        self.replies = list(replies)
        self.got: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def body(self, n: int = -1) -> Any:
        return json.loads(self.got[n].content)


class Post:
    """A courier whose clock a test moves."""

    def __init__(
        self,
        parts: Parts,
        receiver: Callable[[httpx.Request], httpx.Response],
        *targets: dict[str, Any],
        attempts: int = 10,
    ) -> None:
        self.now = NOW
        found = open_targets(with_settings(parts, handoff_targets=list(targets)).stack.settings)
        http = httpx.Client(transport=httpx.MockTransport(receiver))
        ledger = parts.stack.ledger
        self.courier = Courier(ledger, parts.house, found, http, attempts, lambda: self.now)

    def round(self, later: float = 0.0) -> int:
        self.now += later
        return self.courier.once()


def escalate(call: Client, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = call("POST", "/v1/chat", {"message": HACKED, **more}).json()
    assert told["action"] == "ESCALATE"
    return told


def only(call: Client) -> Any:
    (found,) = call("GET", "/v1/handoffs").json()["handoffs"]
    return found


def counted(target: str, outcome: str) -> float:
    labels = {"target": target, "outcome": outcome}
    return REGISTRY.get_sample_value("twofold_handoff_deliveries_total", labels) or 0.0


# --- asking for a person ------------------------------------------------------------------------


def test_an_escalation_is_in_the_outbox_with_all_that_a_person_needs(call: Client) -> None:
    first = call("POST", "/v1/chat", {"message": ROLL, "customer": "jo"}).json()
    call("POST", "/v1/feedback", {"answer_id": first["answer_id"], "rating": "down"})
    told = escalate(call, conversation_id=first["conversation_id"])
    handoff = only(call)
    assert handoff["answer_id"] == told["answer_id"]
    assert (handoff["team"], handoff["reason"]) == ("security", "account_takeover")
    assert (handoff["state"], handoff["deliveries"]) == ("pending", [])
    packet = handoff["packet"]
    assert packet["customer"] == "jo"
    assert packet["locale"] == "en"
    assert [turn["text"] for turn in packet["transcript"]] == [
        ROLL, first["text"], HACKED, told["text"],
    ]  # fmt: skip
    assert HACKED in packet["summary"]
    assert "account_takeover" not in packet["summary"]
    assert packet["reason_text"] in packet["summary"]
    assert [each["question"] for each in packet["tried"]] == [ROLL, HACKED]
    assert packet["tried"][0]["action"] == "ANSWER"
    assert packet["tried"][0]["rating"] == "down"
    assert packet["sources"][0]["document"] == "help/articles/rotate-signing-secret.md"
    assert "12 hours" in packet["suggested_reply"]
    assert "[1]" not in packet["suggested_reply"]


def test_the_same_wish_is_one_handoff(call: Client) -> None:
    told = call("POST", "/v1/chat", {"message": ROLL}).json()
    body = {"conversation_id": told["conversation_id"], "message": "A person, please"}

    async def all_at_once() -> list[httpx.Response]:
        return list(
            await asyncio.gather(*(call.ask("POST", "/v1/handoffs", body) for _ in range(8)))
        )

    found = asyncio.run(all_at_once())
    assert sorted({each.status_code for each in found}) == [200, 201]
    assert len({each.json()["id"] for each in found}) == 1
    assert only(call)["packet"]["transcript"][-1]["text"] == "A person, please"
    assert only(call)["reason"] == "person_requested"


def test_an_escalated_conversation_has_its_person_already(call: Client) -> None:
    told = escalate(call)
    again = call("POST", "/v1/handoffs", {"conversation_id": told["conversation_id"]})
    assert again.status_code == 200
    assert again.json()["id"] == only(call)["id"]


def test_a_handoff_is_settled_without_a_reply_until_it_is_asked_for_again(call: Client) -> None:
    told = escalate(call)
    id = only(call)["id"]
    assert only(call)["closed"] is False
    closed = call("POST", f"/v1/handoffs/{id}/close")
    assert (closed.status_code, closed.json()["closed"]) == (200, True)
    assert (only(call)["closed"], only(call)["replied"]) == (True, False)
    assert call("GET", "/v1/handoffs/replies").json()["replies"] == []
    again = call("POST", "/v1/handoffs", {"conversation_id": told["conversation_id"]})
    assert (again.json()["id"], again.json()["closed"]) == (id, False)
    assert call("POST", f"/v1/handoffs/{id}/reply", {"text": "Done."}).status_code == 201
    assert (only(call)["closed"], only(call)["replied"]) == (True, True)
    assert call("POST", "/v1/handoffs/none/close").status_code == 404


def test_a_follow_up_was_tried_in_the_customers_words(call: Client) -> None:
    first = call("POST", "/v1/chat", {"message": ROLL}).json()
    asked = {"message": "and on Brook?", "conversation_id": first["conversation_id"]}
    assert call("POST", "/v1/chat", asked).is_success
    wish = {"conversation_id": first["conversation_id"]}
    tried = call("POST", "/v1/handoffs", wish).json()["packet"]["tried"]
    assert [each["question"] for each in tried] == [ROLL, "and on Brook?"]


def test_a_person_before_anything_was_said(call: Client) -> None:
    body = {"message": "Hello, is anybody there?", "customer": "jo", "team": "billing"}
    headers = {"Idempotency-Key": "wish-1"}
    made = call("POST", "/v1/handoffs", body, headers)
    assert made.status_code == 201
    assert made.json()["answer_id"] is None
    assert made.json()["packet"]["transcript"][0]["text"] == body["message"]
    assert call("POST", "/v1/handoffs", body, headers).json()["id"] == made.json()["id"]
    assert call("POST", "/v1/handoffs", body).json()["id"] != made.json()["id"]
    assert call("DELETE", "/v1/customers/jo").status_code == 204
    assert call("GET", "/v1/handoffs").json()["handoffs"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"conversation_id": "none"}, 404),
        ({"team": "nobody"}, 422),
        ({"message": "x" * 5000}, 413),
        ({"mesage": "x"}, 422),
    ],
)
def test_a_bad_wish_is_a_problem(call: Client, body: dict[str, Any], status: int) -> None:
    assert call("POST", "/v1/handoffs", body).status_code == status


# --- targets ------------------------------------------------------------------------------------


def test_a_webhook_is_signed(call: Client, parts: Parts) -> None:
    escalate(call)
    receiver = Receiver(httpx.Response(204))
    assert Post(parts, receiver, WEBHOOK).round() == 1
    (request,) = receiver.got
    assert str(request.url) == WEBHOOK["url"]
    assert request.headers["idempotency-key"] == only(call)["id"]
    assert request.headers["webhook-id"] == only(call)["id"]
    now = int(request.headers["webhook-timestamp"])
    assert verified("s3cret", request.headers, request.content, now)
    assert not verified("other", request.headers, request.content, now)
    assert receiver.body()["handoff"]["transcript"][0]["text"] == HACKED
    assert only(call)["state"] == "delivered"


def test_a_zendesk_ticket_has_the_documented_shape(call: Client, parts: Parts) -> None:
    escalate(call)
    receiver = Receiver(httpx.Response(201, json={"ticket": {"id": 35436}}))
    Post(parts, receiver, ZENDESK).round()
    (request,) = receiver.got
    assert (request.method, request.url.path) == ("POST", "/api/v2/tickets.json")
    login = base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
    assert login == b"bot@brackwater.example/token:z"
    ticket = receiver.body()["ticket"]
    id = only(call)["id"]
    assert ticket["external_id"] == request.headers["idempotency-key"] == id
    assert ticket["subject"].startswith("[security] My account was hacked")
    assert ticket["comment"]["public"] is False
    assert HACKED in ticket["comment"]["body"]
    assert "account_takeover" in ticket["tags"]
    assert only(call)["deliveries"][0]["receipt"] == "35436"


def test_a_ticket_whose_receipt_was_lost_is_not_made_twice(call: Client, parts: Parts) -> None:
    escalate(call)
    receiver = Receiver(
        httpx.ReadTimeout("slow"), httpx.Response(200, json={"tickets": [{"id": 7}], "count": 1})
    )
    post = Post(parts, receiver, ZENDESK)
    post.round()
    post.round(later=3600)
    assert [request.method for request in receiver.got] == ["POST", "GET"]
    assert receiver.got[1].url.params["external_id"] == only(call)["id"]
    assert only(call)["deliveries"][0]["receipt"] == "7"


def test_a_slack_message_has_the_documented_shape(call: Client, parts: Parts) -> None:
    call("POST", "/v1/handoffs", {"message": "<!channel> & <https://evil.example|help>"})
    reply = {"ok": True, "channel": "C024BE91L", "ts": "1503435956.000247"}
    receiver = Receiver(httpx.Response(200, json=reply))
    Post(parts, receiver, SLACK).round()
    (request,) = receiver.got
    assert str(request.url) == "https://slack.com/api/chat.postMessage"
    assert request.headers["authorization"] == "Bearer x"
    message = receiver.body()
    assert message["channel"] == "C024BE91L"
    assert len(message["blocks"][0]["text"]["text"]) <= 150
    assert len(message["blocks"][1]["text"]["text"]) <= 3000
    said = message["text"] + message["blocks"][1]["text"]["text"]
    assert "<!channel>" not in said
    assert "&lt;!channel&gt; &amp;" in said
    assert only(call)["deliveries"][0]["receipt"] == reply["ts"]


MORE = "They hacked my account again and my account was hacked twice"


def escalate_twice(call: Client) -> list[Any]:
    """One conversation, handed to one team twice; what is listed, oldest first."""
    first = escalate(call)
    escalate(call, message=MORE, conversation_id=first["conversation_id"])
    listed: list[Any] = call("GET", "/v1/handoffs").json()["handoffs"]
    return listed[::-1]


def test_what_follows_a_handoff_waits_for_it_and_goes_to_its_ticket(
    call: Client, parts: Parts
) -> None:
    first, second = escalate_twice(call)
    assert (first["packet"]["follows"], second["packet"]["follows"]) == (None, first["id"])
    nothing = httpx.Response(200, json={"tickets": []})
    made = httpx.Response(201, json={"ticket": {"id": 7}})
    receiver = Receiver(httpx.ConnectError("down"), nothing, made)
    post = Post(parts, receiver, ZENDESK)
    for _ in range(3):
        post.round(later=3600)
    assert [r.method for r in receiver.got] == ["POST", "GET", "POST", "PUT"]
    assert receiver.got[-1].url.path == "/api/v2/tickets/7.json"
    comment = receiver.body()["ticket"]["comment"]
    assert comment["public"] is False
    assert MORE in comment["body"]
    assert {each["receipt"] for h in escalated(call) for each in h["deliveries"]} == {"7"}


def test_a_note_that_has_arrived_is_not_written_twice(call: Client, parts: Parts) -> None:
    _, second = escalate_twice(call)
    held = httpx.Response(200, json={"comments": [{"body": f"x {second['id']}"}]})
    made = httpx.Response(201, json={"ticket": {"id": 7}})
    receiver = Receiver(made, httpx.ReadTimeout("slow"), held)
    post = Post(parts, receiver, ZENDESK)
    for _ in range(3):
        post.round(later=3600)
    assert [r.method for r in receiver.got] == ["POST", "PUT", "GET"]
    assert {h["state"] for h in escalated(call)} == {"delivered"}


def test_what_follows_a_slack_message_is_a_reply_to_it(call: Client, parts: Parts) -> None:
    escalate_twice(call)
    receiver = Receiver(httpx.Response(200, json={"ok": True, "ts": "15.02"}))
    post = Post(parts, receiver, SLACK)
    for _ in range(2):
        post.round(later=3600)
    threads = [json.loads(r.content).get("thread_ts") for r in receiver.got]
    assert threads == [None, "15.02"]


def test_another_team_gets_a_handoff_of_its_own(call: Client) -> None:
    first = escalate(call)
    other = escalate(call, message="We will sue you", conversation_id=first["conversation_id"])
    assert other["escalation"]["team"] == "legal"
    assert [h["packet"]["follows"] for h in escalated(call)] == [None, None]


def test_who_has_a_conversation_in_hand_keeps_a_wish_for_a_person(call: Client) -> None:
    first = escalate(call)
    here = {"conversation_id": first["conversation_id"]}
    wish = call("POST", "/v1/chat", {"message": "Can I talk to a real person please", **here})
    to = {"team": "security", "reason": "person_requested"}
    assert wish.json()["escalation"] == to
    assert "our security team" in wish.json()["text"]
    assert call("POST", "/v1/chat", {"message": "thanks", **here}).json()["escalation"] is None
    button = call("POST", "/v1/handoffs", here)
    assert (button.status_code, button.json()["team"]) == (201, "security")
    assert button.json()["packet"]["follows"] is not None
    # A grave matter outlives what is answered since.
    assert call("POST", "/v1/chat", {"message": ROLL, **here}).json()["action"] == "ANSWER"
    assert call("POST", "/v1/handoffs", here).json()["team"] == "security"
    again = call("POST", "/v1/chat", {"message": "Can I talk to a real person please", **here})
    assert again.json()["escalation"] == to


def test_a_matter_that_is_not_grave_ends_with_the_next_answer(call: Client) -> None:
    first = call("POST", "/v1/chat", {"message": "I was charged twice this month"}).json()
    assert first["escalation"]["team"] == "billing"
    here = {"conversation_id": first["conversation_id"]}
    assert call("POST", "/v1/chat", {"message": ROLL, **here}).json()["action"] == "ANSWER"
    assert call("POST", "/v1/handoffs", here).json()["team"] == "support"
    wish = call("POST", "/v1/chat", {"message": "Can I talk to a real person please", **here})
    assert wish.json()["escalation"]["team"] == "support"


def escalated(call: Client) -> list[Any]:
    found: list[Any] = call("GET", "/v1/handoffs").json()["handoffs"]
    return found


REFUSALS = [
    pytest.param(SLACK, httpx.Response(200, json={"ok": False, "error": "no_such"}), id="slack ok"),
    pytest.param(SLACK, httpx.Response(200, text="<html>"), id="slack not JSON"),
    pytest.param(ZENDESK, httpx.Response(201, json={"ticket": {}}), id="zendesk without an id"),
    pytest.param(ZENDESK, httpx.Response(401), id="zendesk 401"),
    pytest.param(WEBHOOK, httpx.Response(302, headers={"location": "http://in"}), id="redirect"),
    pytest.param(WEBHOOK, httpx.Response(500, text="we got: my card is 4111"), id="500"),
    pytest.param(WEBHOOK, httpx.ConnectError("refused"), id="refused"),
]


@pytest.mark.parametrize(("target", "reply"), REFUSALS)
def test_a_refusal_is_tried_again_and_quotes_nothing(
    call: Client, parts: Parts, target: dict[str, Any], reply: Any
) -> None:
    escalate(call)
    Post(parts, Receiver(reply), target).round()
    (delivery,) = only(call)["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("pending", 1)
    assert delivery["error"]
    assert "4111" not in delivery["error"]
    assert NOW < delivery["next_attempt_at"] <= NOW + 5


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"kind": "fax", "url": "https://x.example"}, "fax"),
        ({"kind": "webhook", "url": "not a url", "secret_env": "X"}, "url"),
        ({"kind": "webhook", "url": "https://x.example"}, "secret_env"),
    ],
)
def test_a_bad_target_stops_the_start(parts: Parts, target: dict[str, Any], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        open_targets(with_settings(parts, handoff_targets=[target]).stack.settings)


def test_a_credential_that_is_not_there_is_said(
    call: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    escalate(call)
    monkeypatch.delenv("HOOK_SECRET")
    Post(parts, Receiver(httpx.Response(200)), WEBHOOK).round()
    assert "HOOK_SECRET is not set" in only(call)["deliveries"][0]["error"]


# --- the way there ------------------------------------------------------------------------------


def test_patience_grows_and_ends(call: Client, parts: Parts) -> None:
    escalate(call)
    receiver = Receiver(httpx.Response(503))
    post = Post(parts, receiver, WEBHOOK, attempts=4)
    dead = counted("webhook", "dead")
    waits = []
    for _ in range(4):
        assert post.round() == 1
        assert post.round() == 0, "not before its time"
        waits.append(only(call)["deliveries"][0]["next_attempt_at"] - post.now)
        post.now += LEASE_S * 2
    assert only(call)["state"] == "failed"
    assert counted("webhook", "dead") == dead + 1
    assert waits[0] <= 5 < waits[2] <= 20
    assert len({request.content for request in receiver.got[1:]}) == 1, "repeated as it was"
    assert post.round(later=86_400) == 0

    receiver.replies = [httpx.Response(200)]
    assert outbox.retry(parts.stack.ledger, "default") == 1
    assert post.round() == 1
    assert only(call)["state"] == "delivered"


def test_a_target_may_say_when(call: Client, parts: Parts) -> None:
    escalate(call)
    Post(parts, Receiver(httpx.Response(429, headers={"retry-after": "120"})), SLACK).round()
    assert only(call)["deliveries"][0]["next_attempt_at"] == NOW + 120


def test_pauses_are_bounded() -> None:
    assert all(pause(n) <= 3600 for n in range(1, 60))


def test_one_target_down_does_not_hold_up_the_other(call: Client, parts: Parts) -> None:
    escalate(call)

    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(204 if request.url.host == "crm.example" else 500)

    post = Post(parts, reply, WEBHOOK, SLACK)
    assert post.round() == 2
    states = {each["target"]: each["state"] for each in only(call)["deliveries"]}
    assert states == {"webhook": "delivered", "slack": "pending"}
    assert only(call)["state"] == "pending"


def test_who_died_in_mid_delivery_loses_it_to_others(call: Client, parts: Parts) -> None:
    escalate(call)
    receiver = Receiver(KeyboardInterrupt(), httpx.Response(204))
    post = Post(parts, receiver, WEBHOOK)
    with pytest.raises(KeyboardInterrupt):
        post.round()
    assert post.round() == 0, "leased"
    assert post.round(later=LEASE_S + 1) == 1
    assert receiver.body()["attempted_before"] is True
    assert only(call)["state"] == "delivered"


def test_many_couriers_deliver_each_once(call: Client, parts: Parts) -> None:
    for n in range(12):
        call("POST", "/v1/handoffs", {"message": f"wish {n}"})
    lock, seen = threading.Lock(), []

    def receive(request: httpx.Request) -> httpx.Response:
        with lock:
            seen.append(request.headers["idempotency-key"])
        return httpx.Response(204)

    posts = [Post(parts, receive, WEBHOOK) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(4):
            list(pool.map(lambda post: post.round(), posts))
    assert len(seen) == len(set(seen)) == 12


def test_targets_choose_teams(call: Client, parts: Parts) -> None:
    escalate(call)
    receiver = Receiver(httpx.Response(204))
    assert Post(parts, receiver, {**WEBHOOK, "teams": ["billing"]}).round() == 0
    assert only(call)["state"] == "kept"


def test_a_deleted_conversation_is_not_delivered(call: Client, parts: Parts) -> None:
    told = escalate(call)
    receiver = Receiver(httpx.Response(500))
    post = Post(parts, receiver, WEBHOOK)
    post.round()
    call("DELETE", f"/v1/conversations/{told['conversation_id']}")
    assert post.round(later=3600) == 0
    with parts.stack.ledger.session() as session:
        assert session.query(Delivery).count() == session.query(Handoff).count() == 0
        assert session.query(Conversation).count() == 0


@pytest.mark.heavy
def test_a_serving_process_delivers(parts: Parts) -> None:
    arrived = threading.Event()

    async def receiver(_scope: Any, receive: Any, send: Any) -> None:
        if _scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        arrived.set()

    with served(receiver) as crm:
        target = {**WEBHOOK, "url": crm}
        asked = own_threads(with_settings(parts, handoff_targets=[target]))
        with served(create_app(asked)) as url:
            httpx.post(f"{url}/v1/handoffs", json={"message": "hello"}, trust_env=False)
            assert arrived.wait(10)


@pytest.mark.heavy
def test_the_commands_list_and_retry(
    call: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(parts.stack.settings.home))
    escalate(call)
    Post(parts, Receiver(httpx.Response(500)), WEBHOOK, attempts=1).round()
    run, id = CliRunner(), only(call)["id"]
    listed = run.invoke(build(), ["handoffs", "list", "--state", "failed"]).output
    assert id in listed
    assert f"“{HACKED}”" in listed
    assert "webhook: dead, 1 attempt (Status 500.)" in listed
    assert "closed" not in listed
    assert call("POST", f"/v1/handoffs/{id}/close").is_success
    assert "closed" in run.invoke(build(), ["handoffs", "list"]).output
    assert "1 handoff is due" in run.invoke(build(), ["handoffs", "retry", id]).output
    assert only(call)["state"] == "pending"
    assert json.loads(run.invoke(build(), ["handoffs", "list", "--json"]).stdout)[0]["id"] == id
    assert run.invoke(build(), ["handoffs", "retry", "none"]).exit_code == 2


def test_a_delivery_of_an_unknown_target_waits(call: Client, parts: Parts) -> None:
    escalate(call)
    Post(parts, Receiver(httpx.Response(500)), WEBHOOK).round()
    with parts.stack.ledger.session() as session:
        session.execute(update(Delivery).values(target="gone"))
    assert Post(parts, Receiver(httpx.Response(204)), WEBHOOK).round(later=3600) == 0


def test_where_nothing_is_indexed_yet_a_person_takes_over(tmp_path: Path) -> None:
    with knowing(tmp_path, {}) as parts:
        call = Client(create_app(parts))
        for asked in (ROLL, "What is the weather in Paris?", "price?"):
            told = call("POST", "/v1/chat", {"message": asked}).json()
            assert told["action"] == "ESCALATE"
            assert told["text"].startswith("I cannot search our help center at the moment.")
        questions = call("GET", "/v1/questions").json()["questions"]
        assert [each["searched"] for each in questions] == [False] * 3
        handoffs = call("GET", "/v1/handoffs").json()["handoffs"]
        assert [each["searched"] for each in handoffs] == [False] * 3
        assert "nothing is indexed" in handoffs[0]["packet"]["reason_text"]


def test_handoffs_since_a_moment(call: Client) -> None:
    made = [
        call("POST", "/v1/handoffs", {"message": f"{n}: a person, please"}).json() for n in range(2)
    ]
    since = made[1]["created_at"]
    found = call("GET", f"/v1/handoffs?since={since}").json()["handoffs"]
    assert [each["id"] for each in found] == [made[1]["id"]]
