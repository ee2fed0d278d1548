"""Server-side request forgery: ways to name a closed address, each tried to the socket."""

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import httpcore
import pytest

from ingestion.sources.addresses import Rules, is_public
from ingestion.sources.fetcher import Fetcher, FetchLimits
from ingestion.sources.guard import Clock, GuardedBackend, GuardedTransport
from twofold.errors import Forbidden, InvalidInput, UpstreamError

QUICK = FetchLimits(attempts=1, pace=0.0, seconds=5.0)


def words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


CLOSED_4 = words(
    """0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.254 127.0.0.1
    127.1.2.3 127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1
    172.31.255.254 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.254
    198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
    255.255.255.255"""
)
CLOSED_6 = words(
    """:: ::1 ::2 ::7f00:1 ::127.0.0.1 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 fdff::1
    ff02::1 ff05::2 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1 2001:db8::1 2002::1
    2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1 64:ff9b:1::1 100::1 5f00::1 4000::1 1::1"""
)
MAPPED = [f"{prefix}{address}" for prefix in ("::ffff:", "64:ff9b::") for address in CLOSED_4]
LITERALS = [*CLOSED_4, *(f"[{each}]" for each in [*CLOSED_6, *MAPPED] if "%" not in each)]

ODD_HOSTS = words(
    """2130706433 0x7f000001 017700000001 0x7f.1 0177.0.0.1 127.1 127.0.1 0 0x0 00000000 2852039166
    0xa9fea9fe 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 10.1 3232235521 127.0.0.1.
    127.000.000.001 127.0.0.0x1 1.2.3.4.5 256.256.256.256 0x7f.0x0.0x0.0x1 127.0.0.01 localhost
    LOCALHOST localhost. a.localhost metadata.google.internal printer.local ①②⑦.⓪.⓪.① １２７.0.0.1
    127。0。0。1 ⓛocalhost 127.0.0.1%2eexample.com exa_mple..com -a.com %31%32%37.0.0.1"""
)
ODD_URLS = [
    "file:///etc/passwd",
    "ftp://docs.example.com/",
    "gopher://docs.example.com:70/_x",
    "dict://docs.example.com:2628/",
    "ldap://docs.example.com/",
    "javascript:alert(1)",
    "data:text/html,x",
    "unix:///var/run/docker.sock",
    "//docs.example.com/",
    "/etc/passwd",
    "docs.example.com",
    "",
    "http://",
    "https:///path",
    "http://user@docs.example.com/",
    "http://user:word@docs.example.com/",
    "http://docs.example.com@127.0.0.1/",
    "http://127.0.0.1@docs.example.com/",
    "http://@docs.example.com/",
    "http://docs.example.com:22/",
    "http://docs.example.com:6379/",
    "https://docs.example.com:8443/",
    "http://docs.example.com:0/",
    "http://docs.example.com:99999/",
    "http://docs.example.com:-1/",
    "http://docs.example.com:80a/",
    "http://docs.example.com\\@127.0.0.1/",
    "http://docs.example.com/\r\nHost: 127.0.0.1",
    "http://docs.example.com /",
    " http://docs.example.com/",
    "http://docs.example.com\t/",
    "http://docs.example.com\x00.evil.com/",
    "http://[::1",
    "http://[::1]extra/",
    "http://[127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://" + "a" * 3000 + ".com/",
    "https://127.0.0.1:443/",
]
URLS = [
    *(f"http://{host}/" for host in [*LITERALS, *ODD_HOSTS]),
    *ODD_URLS,
]
ANSWERS: list[list[str]] = [
    *([each] for each in [*CLOSED_4, *CLOSED_6]),
    *(["8.8.8.8", each] for each in ("127.0.0.1", "169.254.169.254", "::1", "fd00::1")),
    *([each, "8.8.8.8"] for each in ("10.0.0.1", "::ffff:192.168.1.1")),
    ["not an address"],
]


class Wire(httpcore.NetworkBackend):
    """Keeps where it was sent, and serves `answer` there."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") -> None:
        self.reached: list[tuple[str, int]] = []
        self.answer = answer

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self.reached.append((host, port))
        return httpcore.MockStream([self.answer])


class Names:
    """host -> what it resolves to, in turn: the last answer stays."""

    def __init__(self, answers: dict[str, list[Sequence[str]]]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        left = self._answers[host]
        return left.pop(0) if len(left) > 1 else left[0]


def read(url: str, names: Names, wire: Wire, rules: Rules | None = None) -> bytes:
    rules = rules or Rules()
    transport = GuardedTransport(GuardedBackend(rules, Clock(), names, wire))
    with Fetcher(rules, QUICK, transport=transport) as web:
        return web.get(url).body


def test_there_are_two_hundred_vectors_and_more() -> None:
    assert len(URLS) + len(ANSWERS) >= 200


@pytest.mark.parametrize("url", URLS)
def test_a_url_of_a_closed_address_or_an_odd_form_reaches_nothing(url: str) -> None:
    wire, names = Wire(), Names({})
    with pytest.raises((Forbidden, InvalidInput)):
        read(url, names, wire)
    assert (wire.reached, names.asked) == ([], [])


@pytest.mark.parametrize("addresses", ANSWERS, ids=" ".join)
def test_a_name_that_leads_to_a_closed_address_reaches_nothing(addresses: list[str]) -> None:
    wire = Wire()
    with pytest.raises(Forbidden):
        read("http://docs.example.com/", Names({"docs.example.com": [addresses]}), wire)
    assert wire.reached == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_read(address: str) -> None:
    wire = Wire()
    assert read("http://docs.example.com/", Names({"docs.example.com": [[address]]}), wire) == b"ok"
    assert wire.reached == [(address, 80)]


def test_a_name_that_changes_its_answer_is_connected_to_as_checked() -> None:
    wire = Wire(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nConnection: close\r\n\r\n")
    names = Names({"rebind.example.com": [["8.8.8.8"], ["127.0.0.1"]]})
    with pytest.raises(Forbidden):
        read("http://rebind.example.com/", names, wire)
    # Resolved once a connection, and never connected to by its name.
    assert wire.reached == [("8.8.8.8", 80)]
    assert names.asked == ["rebind.example.com"] * 2


@pytest.mark.parametrize(
    ("first", "then"),
    list(product(("http://docs.example.com/",), [f"http://{host}/" for host in LITERALS[:20]])),
)
def test_every_hop_is_checked(first: str, then: str) -> None:
    wire = Wire(f"HTTP/1.1 302 Found\r\nLocation: {then}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(Forbidden):
        read(first, Names({"docs.example.com": [["8.8.8.8"]]}), wire)
    assert wire.reached == [("8.8.8.8", 80)]


def test_a_redirect_to_a_name_of_a_closed_address_is_refused() -> None:
    wire = Wire(b"HTTP/1.1 302 Found\r\nLocation: http://in.example.com/\r\n\r\n")
    names = Names({"docs.example.com": [["8.8.8.8"]], "in.example.com": [["10.1.2.3"]]})
    with pytest.raises(Forbidden):
        read("http://docs.example.com/", names, wire)
    assert wire.reached == [("8.8.8.8", 80)]


def test_a_private_host_is_open_only_by_its_exact_name() -> None:
    rules = Rules((80, 443), ("wiki.corp",))
    names = Names({"wiki.corp": [["10.0.0.5"]], "not.wiki.corp": [["10.0.0.5"]]})
    wire = Wire()
    assert read("http://wiki.corp/", names, wire, rules) == b"ok"
    with pytest.raises(Forbidden):
        read("http://not.wiki.corp/", names, wire, rules)
    with pytest.raises(Forbidden):
        read("http://10.0.0.5/", names, wire, rules)
    assert wire.reached == [("10.0.0.5", 80)]


def test_a_name_that_does_not_resolve_is_told() -> None:
    def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    transport = GuardedTransport(GuardedBackend(Rules(), Clock(), nowhere, Wire()))
    with Fetcher(Rules(), QUICK, transport=transport) as web, pytest.raises(UpstreamError):
        web.get("http://docs.example.com/")


@pytest.mark.parametrize("address", [*CLOSED_4, *CLOSED_6, *MAPPED, "", "x"])
def test_closed_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)
