"""What a caller may cost: bodies, time, places, keys that are tried, and what hangs."""

import asyncio
import gzip
import select
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from ingestion.hooks import screen
from services.answer.access.keys import Caller
from services.answer.access.limits import Attempts
from services.answer.affected import Affected
from services.answer.app import create_app
from services.answer.endpoints.admission import UNNAMED
from services.answer.endpoints.affected import read_affected
from services.answer.handoffs import delivery
from services.answer.pipeline import Parts
from services.http import boundary, server
from services.http.boundary import BodyBudget
from services.http.origin import network
from services.standalone.app import create_app as whole_app
from tests.services.answer.edge import ROLL, Client, Scripted, key_for, until, with_settings
from tests.services.standalone.serving import needs_weights, own_threads, served
from twofold.characters import is_plain, tidy
from twofold.errors import Forbidden, Overloaded
from twofold.signatures import sign

pytestmark = needs_weights


# --- characters ---------------------------------------------------------------------------------


def test_unseen_characters_are_left_out_and_refused_in_names() -> None:
    assert tidy("a\x00b\u202ec\u2066d\ud800e\U000e0041f\n\tg") == "abcdef\n\tg"
    assert tidy("👩‍👩‍👧 naïve — Größe") == "👩‍👩‍👧 naïve — Größe"
    assert not is_plain("jo\x00")
    assert not is_plain("jo\n")
    assert is_plain("jörg@example.com")


@pytest.mark.parametrize("id", ["a%00b", "%E2%80%AE", "%0A", "%1b[31m"])
def test_an_address_with_control_characters_is_refused(parts: Parts, id: str) -> None:
    call = Client(whole_app(parts))
    for method, path in (
        ("GET", f"/v1/answers/{id}"),
        ("GET", f"/v1/conversations/{id}"),
        ("DELETE", f"/v1/customers/{id}"),
        ("GET", f"/v1/answers?document={id}"),
        ("PUT", f"/v1/documents/help/{id}"),
    ):
        assert call(method, path).status_code == 422, path


@pytest.mark.parametrize(
    "body",
    [
        {"customer": "jo\x00"},
        {"customer": "jo\u202e"},
        {"conversation_id": "a\x00"},
        {"history": [{"role": "user", "text": "x" * 8001}]},
        {"history": [{"role": "user", "text": "x" * 8000}] * 6},
        {"history": [{"role": "user", "text": "x"}] * 51},
        {"as_of": "2097-01-01"},
    ],
)
def test_a_question_with_too_much_around_it_is_refused(parts: Parts, body: Any) -> None:
    call = Client(create_app(with_settings(parts, max_request_kb=1000)))
    assert call("POST", "/v1/chat", {"message": ROLL, **body}).status_code == 422


def test_control_characters_in_a_question_and_a_comment_are_left_out(parts: Parts) -> None:
    call = Client(create_app(parts))
    history = [{"role": "user", "text": "Hi\x00\u202e there"}]
    told = call("POST", "/v1/chat", {"message": f"\x00{ROLL}", "history": history})
    assert told.status_code == 200
    answer = told.json()["answer_id"]
    rated = call("POST", "/v1/feedback", {"answer_id": answer, "rating": "up", "comment": "a\x00b"})
    assert rated.status_code == 201
    assert call("GET", "/v1/feedback").json()["ratings"][0]["comment"] == "ab"


def test_a_long_history_of_openais_is_read_from_its_end(parts: Parts) -> None:
    messages = [{"role": "user", "content": "word " * 1500}] * 40
    body = {"model": "twofold", "messages": [*messages, {"role": "user", "content": ROLL}]}
    call = Client(create_app(with_settings(parts, max_request_kb=1000)))
    assert call("POST", "/v1/chat/completions", body).status_code == 200


# --- bodies -------------------------------------------------------------------------------------


def test_a_body_has_a_deadline_for_all_of_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "BODY_S", 0.2)
    monkeypatch.setattr(boundary, "SLOWEST", 10**9)

    head = b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with served(create_app(own_threads(parts))) as url:
        place = httpx.URL(url)
        with socket.create_connection((place.host, place.port or 80), timeout=10) as line:
            line.sendall(head)
            while not select.select([line], [], [], 0.05)[0]:
                line.sendall(b" ")
            assert line.recv(100).startswith(b"HTTP/1.1 408")


def test_bodies_are_held_for_one_caller_and_for_all_up_to_a_bound() -> None:
    held = BodyBudget(100)
    held.take("a", 25)
    with pytest.raises(Overloaded):
        held.take("a", 1)
    for who in "bcd":
        held.take(who, 25)
    with pytest.raises(Overloaded):
        held.take("e", 1)
    held.give("a", 25)
    held.take("e", 25)


def test_a_hook_without_a_fresh_signature_gets_no_body_read(parts: Parts) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield b"x" * 1000

    async def send(headers: dict[str, str]) -> int:
        transport = httpx.ASGITransport(app=whole_app(parts), client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            path = "/v1/hooks/crm"
            return (await http.post(path, content=body(), headers=headers)).status_code

    old = sign("s", "m1", b"", int(time.time()) - 1000)
    for headers in ({}, {"webhook-signature": "nonsense"}, old):
        assert asyncio.run(send(headers)) == 403
    assert read == 0
    assert asyncio.run(send(sign("s", "m1", b"", int(time.time())))) == 403
    assert read == 50


def test_a_signature_is_screened_by_form_and_time() -> None:
    good = sign("s", "m1", b"", int(time.time()))
    screen(good)
    lacking = [{name: value for name, value in good.items() if name != left} for left in good]
    odd = [good | {name: value} for name in good for value in ("", "ü", "x" * 1000)]
    for bad in (*lacking, *odd, sign("s", "m1", b"", 1)):
        with pytest.raises(Forbidden):
            screen(bad)


def asked_of_a_real_server(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, look: Callable[[tuple[str, int]], Any]
) -> Any:
    """What `look` returns, called with the address of a server that runs in the main thread."""
    bound = server.bind("127.0.0.1", 0)
    seen: list[Any] = []
    stopped = threading.Event()

    def looking() -> None:
        try:
            seen.append(look(bound.getsockname()))
        finally:
            stopped.set()

    original = server._Server.on_tick

    async def on_tick(self: Any, counter: int) -> bool:
        return await original(self, counter) or stopped.is_set()

    monkeypatch.setattr(server._Server, "on_tick", on_tick)
    with bound:
        url = server.address("127.0.0.1", bound)
        server.run(
            create_app(own_threads(parts)),
            bound,
            url,
            lambda: threading.Thread(target=looking).start(),
        )
    return seen[0]


def first_line(address: tuple[str, int], sent: bytes) -> bytes:
    """What a server answers first to what is sent: a status line, or nothing where it hangs up."""
    with socket.create_connection(address, timeout=10) as line:
        try:
            line.sendall(sent)
            return line.makefile("rb").readline().strip()
        except ConnectionError:
            return b"cut"


def test_a_connection_that_asks_nothing_is_cut(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)

    def look(address: tuple[str, int]) -> list[bytes]:
        whole = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        return [first_line(address, b"GET /healthz HTTP/1.1\r\n"), first_line(address, whole)]

    assert asked_of_a_real_server(parts, monkeypatch, look) == [b"", b"HTTP/1.1 200 OK"]


def test_who_does_not_read_its_answer_is_cut(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is no stream: it would hold a place for ever."""
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.3)

    def look(address: tuple[str, int]) -> bool:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(address)
            # More than the system keeps for a receiver that takes nothing, some megabytes.
            line.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100)
            hung_up = select.poll()
            hung_up.register(line, 0)
            return bool(hung_up.poll(30_000))

    assert asked_of_a_real_server(parts, monkeypatch, look)


LONG = [
    b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
    b"GET /" + b"z" * 40_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 4_000_000,
    b"GET /" + b"z" * 4_000_000,
]
FIRST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def test_a_head_is_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it comes: in one packet or many, in one line or many, ending or not."""

    def look(address: tuple[str, int]) -> list[bytes]:
        short = FIRST[:-2] + b"x: " + b"y" * 30_000 + b"\r\n\r\n"
        nonsense = b"\x16\x03\x01 no http\r\n\r\n"
        return [first_line(address, each) for each in (*LONG, short, nonsense, FIRST)]

    *refused, short, nonsense, usual = asked_of_a_real_server(parts, monkeypatch, look)
    for line in refused:
        # Whoever is still sending when he is cut may never get to read the refusal.
        assert line in (b"HTTP/1.1 431 Request Header Fields Too Large", b"cut")
    assert refused[0] != b"cut"
    assert (short, usual) == (b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK")
    assert nonsense == b"HTTP/1.1 400 Bad Request"


@pytest.mark.parametrize(
    ("target", "host", "answer"),
    [
        (b"http://localhost/healthz", b"localhost", b"HTTP/1.1 200 OK"),
        (b"http://LOCALHOST/healthz", b"localhost", b"HTTP/1.1 200 OK"),
        (b"http://evil.example/healthz", b"localhost", b"HTTP/1.1 400 Bad Request"),
        (b"http://localhost@evil.example/healthz", b"localhost", b"HTTP/1.1 400 Bad Request"),
        (b"//evil.example/healthz", b"localhost", b"HTTP/1.1 404 Not Found"),
        (b"http://localhost/healthz", b"evil.example", b"HTTP/1.1 400 Bad Request"),
        (b"healthz", b"localhost", b"HTTP/1.1 400 Bad Request"),
    ],
)
def test_a_request_line_names_no_other_server(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, target: bytes, host: bytes, answer: bytes
) -> None:
    asked = b"GET " + target + b" HTTP/1.1\r\nhost: " + host + b"\r\n\r\n"

    def look(address: tuple[str, int]) -> bytes:
        return first_line(address, asked)

    assert asked_of_a_real_server(parts, monkeypatch, look) == answer


# --- places and keys ----------------------------------------------------------------------------


def test_one_key_leaves_places_for_others(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Scripted(held=True).install(monkeypatch)
    app = create_app(with_settings(parts, max_in_flight=8))
    greedy = Client(app, key_for(parts, "greedy", "answer"))
    other = Client(app, key_for(parts, "other", "answer"))

    async def crowd() -> tuple[list[int], int]:
        asked = [greedy.ask("POST", "/v1/chat", {"message": "x"}) for _ in range(8)]
        tasks = [asyncio.create_task(each) for each in asked]
        await until(lambda: answers.begun + sum(task.done() for task in tasks) == 8)
        tasks.append(asyncio.create_task(other.ask("POST", "/v1/chat", {"message": "x"})))
        await until(lambda: answers.begun + sum(task.done() for task in tasks) == 9)
        answers.go.set()
        *statuses, one = [each.status_code for each in await asyncio.gather(*tasks)]
        return statuses, one

    statuses, one = asyncio.run(crowd())
    assert statuses.count(200) == 6
    assert statuses.count(429) == 2
    assert one == 200


def test_hooks_of_one_address_are_few_at_once(parts: Parts) -> None:
    app = whole_app(parts)
    headers = sign("s", "m1", b"", int(time.time()))

    async def crowd() -> list[int]:
        refused = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await refused.wait()

        transport = httpx.ASGITransport(app=app, client=("192.0.2.8", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            sent = [
                asyncio.create_task(http.post("/v1/hooks/x", content=slow(), headers=headers))
                for _ in range(UNNAMED + 4)
            ]
            await until(lambda: sum(each.done() for each in sent) == 4)
            refused.set()
            return [each.status_code for each in await asyncio.gather(*sent)]

    statuses = asyncio.run(crowd())
    assert statuses.count(429) == 4
    assert statuses.count(403) == UNNAMED


def test_unknown_keys_are_tried_a_few_times(parts: Parts) -> None:
    known = key_for(parts, "regular", "read")
    app = create_app(parts)
    assert Client(app, known, "192.0.2.9")("GET", "/v1/feedback").status_code == 200
    tried = [
        Client(app, f"tf_{n:043d}", "192.0.2.9")("GET", "/v1/feedback").status_code
        for n in range(30)
    ]
    assert tried[:20] == [401] * 20
    assert tried[-5:] == [429] * 5
    assert Client(app, known, "192.0.2.9")("GET", "/v1/feedback").status_code == 200
    assert Client(app, "tf_" + "y" * 43, "192.0.2.10")("GET", "/v1/feedback").status_code == 401


def test_behind_a_proxy_each_is_counted_for_himself(parts: Parts) -> None:
    late = key_for(parts, "late", "read")
    app = create_app(with_settings(parts, proxies=["10.0.0.0/8"]))

    def ask(key: str, *named: str) -> int:
        headers = [("Authorization", f"Bearer {key}"), *(("X-Forwarded-For", n) for n in named)]
        return Client(app, "", "10.0.0.2")("GET", "/v1/feedback", headers=headers).status_code

    # A name of his own making in front of what the proxy adds is nobody's.
    tried = [ask(f"tf_{n:043d}", f"192.0.2.{n}", "198.51.100.7") for n in range(30)]
    assert tried[-5:] == [429] * 5
    assert ask(late, "203.0.113.5") == 200, "a key that nobody used lately, of somebody else"


@pytest.mark.parametrize(
    ("client", "named", "counted"),
    [
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.2", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.2", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.2", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.2", ["198.51.100.7, 10.0.0.9"], "198.51.100.7"),
        ("10.0.0.2", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.2", ["[2001:db8::1]:4711"], "2001:db8::/64"),
        ("10.0.0.2", ["whoever"], "10.0.0.2"),
        ("10.0.0.2", [], "10.0.0.2"),
        ("2001:db8::a:b:c:d", [], "2001:db8::/64"),
        ("2001:db8::1", [], "2001:db8::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
    ],
)
def test_who_calls_is_the_last_whom_a_known_proxy_names(
    client: str, named: list[str], counted: str
) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in named]
    scope = {"type": "http", "client": (client, 1), "headers": headers}
    assert network(scope, ["10.0.0.0/8"]) == counted


def test_attempts_are_forgiven_with_time() -> None:
    now = 0.0
    attempts = Attempts(per_minute=10, clock=lambda: now)
    for _ in range(10):
        attempts.failed("a")
    assert attempts.wait_s("a") == 0
    attempts.failed("a")
    assert 0 < attempts.wait_s("a") <= 6
    assert attempts.wait_s("b") == 0
    now = 6.0
    assert attempts.wait_s("a") == 0


# --- what hangs ---------------------------------------------------------------------------------


def test_health_is_told_in_a_second_whatever_hangs(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_for(parts, "watcher", "read", "answer")
    hanging, go_on = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        hanging.set()
        go_on.wait(20)

    async def look(url: str) -> list[int]:
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as http:
            assert (await http.get("/v1/models", headers=headers)).status_code == 200
            while (await http.get("/readyz")).status_code != 200:
                pass  # a busy machine is not ready at once
            event.listen(parts.stack.ledger.engine, "before_cursor_execute", hang)
            await asyncio.sleep(1.1)
            stuck = [
                asyncio.create_task(http.get("/v1/feedback", headers=headers)) for _ in range(44)
            ]
            await asyncio.to_thread(hanging.wait, 10)
            paths = ("/readyz", "/healthz", "/readyz", "/v1/models")
            seen = [(await http.get(path, headers=headers)).status_code for path in paths]
            go_on.set()
            await asyncio.gather(*stuck, return_exceptions=True)
            event.remove(parts.stack.ledger.engine, "before_cursor_execute", hang)
        return seen

    with served(create_app(own_threads(parts))) as url:
        assert asyncio.run(look(url)) == [503, 200, 503, 200]


def test_readiness_is_red_where_answers_cannot_be_recorded(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(parts)
    call = Client(app)
    assert call("GET", "/readyz").status_code == 200

    def read_only(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    event.listen(parts.stack.ledger.engine, "checkout", read_only)
    try:
        assert Client(create_app(parts))("GET", "/readyz").status_code == 503
    finally:
        event.remove(parts.stack.ledger.engine, "checkout", read_only)
        parts.stack.ledger.engine.dispose()
    assert Client(create_app(parts))("GET", "/readyz").status_code == 200


def test_others_are_answered_while_a_change_is_looked_into(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller(parts.stack.settings.workspace)

    def find(*_: Any) -> Affected:
        time.sleep(0.3)
        return Affected("help/a.md", 1, ())

    async def ticks() -> int:
        looking = asyncio.ensure_future(read_affected(parts, caller, "help/a.md"))
        counted = 0
        while not looking.done():
            await asyncio.sleep(0.01)
            counted += 1
        assert looking.result().answers == []
        return counted

    monkeypatch.setattr("services.answer.affected.find", find)
    assert asyncio.run(ticks()) > 5


# --- deliveries ---------------------------------------------------------------------------------


def test_a_target_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SECONDS", 0.5)
    monkeypatch.setattr(delivery, "MOST_BYTES", 10_000)

    async def trickling(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        endless = scope["path"] == "/large"
        for _ in range(100):
            piece = b"x" * 1000 if endless else b"x"
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0 if endless else 0.2)
        await send({"type": "http.response.body", "body": b""})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await trickling(scope, receive, send)

    with served(app) as url, delivery.open_http() as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{url}/slow", content=b"{}")
        with pytest.raises(httpx.ReadError):
            http.post(f"{url}/large", content=b"{}")


def test_what_a_target_packed_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(50_000_000))

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        assert dict(scope["headers"])[b"accept-encoding"] == b"identity"
        coded = [(b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": coded})
        await send({"type": "http.response.body", "body": packed})

    with served(app) as url, delivery.open_http() as http:
        said = http.post(url, content=b"{}")
    assert said.status_code == 200
    assert len(said.content) == len(packed)
