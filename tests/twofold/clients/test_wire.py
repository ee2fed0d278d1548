"""The wire against servers that speak HTTP in every legal cut, and in some that are not."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from twofold.clients.wire import Origin

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@dataclass
class Heard:
    """A listener that keeps everything."""

    status: int = 0
    kind: str = ""
    body: bytes = b""
    error: str | None = None
    begins: asyncio.Event = field(default_factory=asyncio.Event)
    ends: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self, status: int, kind: str) -> None:
        self.status, self.kind = status, kind

    def heard(self, data: bytes) -> None:
        self.body += data
        self.begins.set()

    def ended(self, error: str) -> None:
        assert self.error is None, "told twice"
        self.error = error
        self.ends.set()


@dataclass
class Server:
    """Answers each request with the next reply, in the given cuts, then may close."""

    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(
    *replies: Sequence[bytes], close: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server, left = Server(), list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                server.requests.append(head + await reader.readexactly(length))
                for cut in left.pop(0):
                    writer.write(cut)
                    await writer.drain()
                    await asyncio.sleep(0)
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = running.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{port}"
    try:
        yield server
    finally:
        running.close()
        await asyncio.sleep(0)


async def ask(origin: Origin, body: bytes = b"{}") -> Heard:
    heard = Heard()
    connection = await origin.connect()
    connection.post(origin.head("/x"), body, heard)
    async with asyncio.timeout(10):
        await heard.ends.wait()
    connection.let_go(heard_out=True)
    return heard


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


REPLY = (
    b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"5\r\nhello\r\n1;name=x\r\n,\r\n"
    b"00a\r\n wide\r\ntwo\r\n0\r\nsum: 1\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_a_chunked_reply_is_read_however_it_is_cut(size: int) -> None:
    async def work() -> None:
        cuts = [REPLY[at : at + size] for at in range(0, len(REPLY), size)]
        async with serving(cuts) as server:
            heard = await ask(Origin(server.url))
            assert (heard.status, heard.kind) == (200, "text/event-stream")
            assert (heard.body, heard.error) == (b"hello, wide\r\ntwo", "")

    run(work)


def test_a_body_with_a_length_and_one_until_the_end() -> None:
    async def work() -> None:
        async with serving([HEAD + b"content-length: 5\r\n\r\nhe", b"llo"]) as server:
            assert (await ask(Origin(server.url))).body == b"hello"
        async with serving([HEAD + b"\r\n", b"until ", b"the end"], close=True) as server:
            heard = await ask(Origin(server.url))
            assert (heard.body, heard.error) == (b"until the end", "")

    run(work)


def test_what_is_sent() -> None:
    async def work() -> None:
        async with serving([REPLY]) as server:
            await ask(Origin(f"{server.url}/gate/", "secret"), b'{"a":1}')
            head, _, body = server.requests[0].partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == b"POST /gate/x HTTP/1.1"
            assert b"host: " + server.url.removeprefix("http://").encode() in lines
            assert b"authorization: Bearer secret" in lines
            assert body == b'{"a":1}'

    run(work)


def test_a_connection_is_kept_where_its_reply_ended() -> None:
    async def work() -> None:
        async with serving([REPLY], [REPLY], [REPLY]) as server:
            origin = Origin(server.url)
            for _ in range(3):
                assert (await ask(origin)).error == ""
            assert server.connections == 1
            await origin.aclose()
        closing = REPLY.replace(b"chunked\r\n", b"chunked\r\nconnection: close\r\n")
        async with serving([closing], [REPLY]) as server:
            origin = Origin(server.url)
            assert [(await ask(origin)).error for _ in range(2)] == ["", ""]
            assert server.connections == 2
            await origin.aclose()

    run(work)


def test_a_kept_connection_belongs_to_one_listener_at_a_time() -> None:
    """Between a reply's last byte and its listener's letting go, others must not get it."""

    async def work() -> None:
        async with serving([REPLY], [REPLY]) as server:
            origin = Origin(server.url)
            first, second = Heard(), Heard()
            held = await origin.connect()
            held.post(origin.head("/x"), b"{}", first)
            await first.ends.wait()
            other = await origin.connect()
            assert other is not held
            held.let_go(heard_out=True)
            other.post(origin.head("/x"), b"{}", second)
            async with asyncio.timeout(10):
                await second.ends.wait()
            assert second.body == first.body
            other.let_go(heard_out=True)
            await origin.aclose()

    run(work)


def test_closing_takes_what_was_heard_out_but_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop may end before the last bytes of a reply's framing are there."""
    monkeypatch.setattr("twofold.clients.wire.DRAIN_S", 600.0)
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await writer.drain()
        await reader.read()
        gone.set()
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = Origin(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        heard = Heard()
        connection = await origin.connect()
        connection.post(origin.head("/x"), b"{}", heard)
        async with asyncio.timeout(10):
            await heard.begins.wait()
            connection.let_go(heard_out=True)
            await origin.aclose()
            await gone.wait()
        server.close()

    run(work)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        HEAD + b"content-length: many\r\n\r\n",
        HEAD + b"content-length: -5\r\n\r\n",
        CHUNKED + b"five\r\nhello\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello!\r\n",
        CHUNKED + b"5" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
    ids=range(10),
)
def test_what_is_no_http_ends_in_an_error(reply: bytes) -> None:
    async def work() -> None:
        async with serving([reply]) as server:
            assert (await ask(Origin(server.url))).error

    run(work)


@pytest.mark.parametrize(
    "reply", [b"", HEAD, CHUNKED + b"5\r\nhel", HEAD + b"content-length: 5\r\n\r\nhel"]
)
def test_what_breaks_off_ends_in_an_error(reply: bytes) -> None:
    async def work() -> None:
        async with serving([reply], close=True) as server:
            assert (await ask(Origin(server.url))).error

    run(work)


def test_a_connection_that_was_closed_at_once_ends_in_an_error() -> None:
    async def work() -> None:
        running = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        origin = Origin(f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}")
        connection, heard = await origin.connect(), Heard()
        async with asyncio.timeout(10):
            while connection.usable:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0)
            connection.post(origin.head("/x"), b"{}", heard)
            await heard.ends.wait()
        assert heard.error
        connection.let_go(heard_out=False)
        running.close()

    run(work)


@pytest.mark.parametrize(
    "origin",
    [
        Origin("ftp://a.example"),
        Origin("http://"),
        Origin("http://a b"),
        Origin("http://a", "k\r\nx: y"),
    ],
    ids=lambda origin: origin.url,
)
def test_what_no_request_line_can_hold_is_refused(origin: Origin) -> None:
    with pytest.raises(ValueError):
        asyncio.run(origin.connect())


def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    named = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *named, *files)
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("openssl made no certificate")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def work() -> None:
        async with serving([REPLY], tls=context) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await Origin(server.url).connect()
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            origin = Origin(server.url)
            assert (await ask(origin)).body == b"hello, wide\r\ntwo"
            await origin.aclose()

    run(work)
