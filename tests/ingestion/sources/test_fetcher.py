"""The fetcher over a transport of the test, and over real sockets on this machine."""

import gzip
import http.server
import logging
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate

import httpx
import pytest

from ingestion.sources.addresses import Rules
from ingestion.sources.cache import Cache
from ingestion.sources.fetcher import Fetcher, FetchLimits
from tests.ingestion.sources.web import QUICK, Net, html, in_turn, reply, validated
from twofold.errors import Forbidden, InvalidInput, NotFound, Overloaded, TooLarge, UpstreamError

URL = "https://docs.example.com/page"
JSON = reply(b"{}", content_type="application/json")


def fetcher(net: Net, cache: Cache | None = None, **limits: object) -> Fetcher:
    return Fetcher(Rules(), QUICK._replace(**limits), cache=cache, transport=net)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(status=404), NotFound),
        (reply(status=410), NotFound),
        (reply(status=401), Forbidden),
        (reply(status=403), Forbidden),
        (reply(status=418), UpstreamError),
        (reply(status=500), UpstreamError),
        (reply(status=304), UpstreamError),
        (reply(b"x" * 2000), TooLarge),
        (reply(b"x", content_length="999999999"), TooLarge),
        (reply(gzip.compress(b"0" * 5_000_000), content_encoding="gzip"), TooLarge),
        (reply(b"not gzip", content_encoding="gzip"), UpstreamError),
        (reply(gzip.compress(b"whole text")[:-9], content_encoding="gzip"), UpstreamError),
        (reply(b"x", content_encoding="br"), UpstreamError),
        (reply(b"cut", content_length="30"), UpstreamError),
        (JSON, UpstreamError),
        (reply(status=429, retry_after="4000"), Overloaded),
    ],
)
def test_every_bad_answer_is_an_error_of_ours(answer: object, error: type[Exception]) -> None:
    net = Net({URL: answer})  # type: ignore[dict-item]
    with fetcher(net, max_bytes=1000) as web, pytest.raises(error):
        web.get(URL, accept=["text/html"] if answer is JSON else ["text/html", ""])


@pytest.mark.parametrize(
    "first",
    [
        reply(status=500),
        reply(status=503),
        reply(status=429),
        reply(status=429, retry_after="0"),
        reply(status=503, retry_after=formatdate(usegmt=True)),
        reply(b"cut", content_length="30"),
    ],
)
def test_a_passing_fault_is_tried_again(first: object) -> None:
    net = Net({URL: in_turn(first, html("well"))})  # type: ignore[arg-type]
    with fetcher(net) as web:
        assert web.get(URL).body == b"well"
    assert len(net.asked) == 2


@pytest.mark.heavy
def test_retry_after_is_waited_out() -> None:
    net = Net({URL: in_turn(reply(status=429, retry_after="1"), html("well"))})
    began = time.monotonic()
    with fetcher(net) as web:
        web.get(URL)
    assert time.monotonic() - began >= 1.0


def test_a_lasting_fault_is_not_tried_for_ever() -> None:
    net = Net({URL: reply(status=502)})
    with fetcher(net) as web, pytest.raises(UpstreamError, match="answered 502"):
        web.get(URL)
    assert len(net.asked) == 3


def test_a_page_with_a_validator_is_asked_for_conditionally() -> None:
    net = Net({URL: validated("words", '"1"')})
    with Cache() as cache, fetcher(net, cache) as web:
        first, second = web.get(URL), web.get(URL)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert first.body == second.body == b"words"
    assert second.media_type == "text/html"


def test_redirects_are_followed_and_bounded() -> None:
    pages = {f"https://a.com/{n}": reply(status=302, location=f"/{n + 1}") for n in range(9)}
    with fetcher(Net({**pages, "https://a.com/4": html("end")})) as web:
        assert web.get("https://a.com/0").url == "https://a.com/4"
    with fetcher(Net(pages)) as web, pytest.raises(UpstreamError, match="redirects more than 5"):
        web.get("https://a.com/0")


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "gopher://docs.example.com/",
        "https://docs.example.com:8443/",
        "https://user:word@docs.example.com/",
        "http://2130706433/",
        "//localhost/",
    ],
)
def test_a_redirect_to_where_sources_may_not_go_is_refused(target: str) -> None:
    net = Net({URL: reply(status=301, location=target)})
    with fetcher(net) as web, pytest.raises((Forbidden, InvalidInput)):
        web.get(URL)
    assert net.urls == [URL]


def test_credentials_stay_with_their_host() -> None:
    net = Net(
        {
            "https://a.com/": reply(status=302, location="https://b.com/"),
            "https://b.com/": reply(status=302, location="https://a.com/end"),
            "https://a.com/end": html("end"),
        }
    )
    with fetcher(net) as web:
        web.get("https://a.com/", credentials={"Authorization": "Bearer canary"})
    assert [request.headers.get("authorization") for request in net.asked] == [
        "Bearer canary",
        None,
        "Bearer canary",
    ]


def test_no_secret_shows_in_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url, answer in {
        "https://a.com/x?token=canary": reply(status=500),
        "https://a.com/y?token=canary": reply(status=404),
        "https://u:canary@a.com/": html(""),
        "https://a.com/z#canary": reply(status=429, retry_after="9999"),
    }.items():
        with fetcher(Net({url: answer})) as web, pytest.raises(Exception) as caught:
            web.get(url, credentials={"Authorization": "canary"})
        assert "canary" not in str(caught.value)
    assert "canary" not in caplog.text


def test_cookies_are_not_kept() -> None:
    net = Net({URL: html("x", set_cookie="a=b")})
    with fetcher(net) as web:
        web.get(URL)
        web.get(URL)
    assert "cookie" not in net.asked[1].headers


def test_requests_to_one_host_keep_their_distance() -> None:
    net = Net({URL: html("x")})
    began = time.monotonic()
    with fetcher(net, pace=0.05) as web:
        for _ in range(4):
            web.get(URL)
    assert time.monotonic() - began >= 0.15


class _Site(http.server.BaseHTTPRequestHandler):
    """Real sockets, and the ways in which real servers misbehave."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/trickle":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(200):
                    self.wfile.write(b".")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass
            self.close_connection = True
            return
        body = f"{self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        length = len(body) + (50 if self.path == "/cut" else 0)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path == "/cut"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_host_of_ones_own_is_read_when_it_is_named(port: int) -> None:
    open_ = Rules((port,), ("127.0.0.1",))
    with Fetcher(open_, QUICK) as web:
        assert web.get(f"http://127.0.0.1:{port}/a").body == f"127.0.0.1:{port} /a".encode()
    with Fetcher(Rules((port,)), QUICK) as web, pytest.raises(Forbidden, match="PRIVATE_HOSTS"):
        web.get(f"http://127.0.0.1:{port}/a")


def test_the_time_cap_holds_against_a_trickle(port: int) -> None:
    limits = FetchLimits(seconds=0.5, attempts=1)
    rules = Rules((port,), ("127.0.0.1",))
    with Fetcher(rules, limits) as web, pytest.raises(UpstreamError, match="in time"):
        web.get(f"http://127.0.0.1:{port}/trickle")


def test_a_body_cut_short_is_an_error(port: int) -> None:
    with Fetcher(Rules((port,), ("127.0.0.1",)), QUICK) as web, pytest.raises(UpstreamError):
        web.get(f"http://127.0.0.1:{port}/cut")


def test_proxies_of_the_environment_are_not_used(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Fetcher(Rules((port,), ("127.0.0.1",)), QUICK) as web:
        assert web.get(f"http://127.0.0.1:{port}/a").url.endswith("/a")


def test_an_unreadable_cache_file_is_begun_again(tmp_path: object) -> None:
    path = tmp_path / "cache.db"  # type: ignore[operator]
    path.write_bytes(b"not a database at all" * 100)
    with Cache(path) as cache:
        cache.keep("kind", "key", [1])
        assert cache.record("kind", "key") == [1]


def test_network_errors_carry_no_trace_of_httpx() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with fetcher(Net({URL: fail})) as web, pytest.raises(UpstreamError, match="Check that its"):
        web.get(URL)
