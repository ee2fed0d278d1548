"""Who is let to the desk, and to the sites: keys, proxies that are known, and this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.answer.pipeline import Parts
from services.standalone.app import create_app
from tests.services.answer.asking import knowing, with_settings
from tests.services.answer.edge import Client, key_for


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with knowing(tmp_path) as parts:
        yield parts


class From(Client):
    """Calls that come from an address, through nobody."""

    def __init__(self, app: Any, address: str = "127.0.0.1", host: str = "localhost") -> None:
        super().__init__(app, address=address)
        self.host = host

    def get(self, path: str, **headers: str) -> httpx.Response:
        sent = {"host": self.host, **{n.replace("_", "-"): v for n, v in headers.items()}}
        return self("GET", path, headers=sent)


def key(parts: Parts, *scopes: str, **more: str) -> str:
    return f"Bearer {key_for(parts, '-'.join(scopes), *scopes, **more)}"


def test_this_machine_needs_no_key_and_others_do(parts: Parts) -> None:
    app = create_app(parts)
    assert From(app).get("/desk/v1/me").json() == {"name": "", "auth": "local"}
    assert From(app, "192.0.2.7").get("/desk/v1/me").status_code == 401
    proxied = From(app).get("/desk/v1/me", x_forwarded_for="192.0.2.7")
    assert proxied.status_code == 401, "behind a proxy nobody is local"
    foreign = From(app).get("/desk/v1/me", sec_fetch_site="cross-site")
    assert foreign.status_code == 403


@pytest.mark.parametrize("made_up", ["Bearer x", "Bearer sk-1", "Bearer tf_" + "x" * 40])
def test_a_made_up_key_opens_nothing_to_a_stranger_behind_a_proxy(
    parts: Parts, made_up: str
) -> None:
    app = create_app(parts)
    own = From(app).get("/desk/v1/me", authorization=made_up)  # what it says is not remembered
    assert own.status_code in (200, 401)
    for path in ("/desk/v1/me", "/desk/v1/handoffs?state=all", "/desk/v1/events"):
        stranger = From(app).get(path, authorization=made_up, x_forwarded_for="192.0.2.7")
        assert stranger.status_code == 401
    far = From(app, "192.0.2.7").get("/desk/v1/me", authorization=made_up)
    assert far.status_code == 401


def test_a_key_needs_the_scope(parts: Parts) -> None:
    app = create_app(parts)
    handoffs, answer = key(parts, "handoffs"), key(parts, "answer")
    far = From(app, "192.0.2.7", "desk.example.com")
    assert far.get("/desk/v1/me", authorization=handoffs).json()["auth"] == "key"
    assert far.get("/desk/v1/handoffs", authorization=handoffs).status_code == 200
    assert far.get("/desk/v1/me", authorization=answer).status_code == 403
    assert far.get("/desk/v1/me", authorization="Bearer tf_" + "x" * 40).status_code == 401
    assert From(app).get("/desk/v1/me").status_code == 401, "once there is a key, one is needed"


def test_beyond_this_machine_there_is_no_desk_unless_it_is_wanted(parts: Parts) -> None:
    handoffs = key(parts, "handoffs")
    far = From(create_app(parts, key_needed=True), "192.0.2.7", "desk.example.com")
    for path in ("/desk", "/desk/v1/me", "/desk/v1/handoffs", "/desk/v1/events"):
        assert far.get(path, authorization=handoffs).status_code == 404
    wanted = create_app(with_settings(parts, desk=True), key_needed=True)
    far = From(wanted, "192.0.2.7", "desk.example.com")
    assert far.get("/desk/v1/me", authorization=handoffs).status_code == 200
    assert far.get("/desk/v1/me").status_code == 401


def test_a_name_in_a_header_is_believed_of_the_proxy_alone(parts: Parts) -> None:
    signed = {"desk": True, "desk_user_header": "X-Forwarded-Email", "proxies": ["10.0.0.0/8"]}
    app = create_app(with_settings(parts, **signed), key_needed=True)
    named = {"x_forwarded_email": "anna@example.com"}
    proxy = From(app, "10.1.2.3", "desk.example.com")
    assert proxy.get("/desk/v1/me", **named).json() == {"name": "anna@example.com", "auth": "proxy"}
    assert proxy.get("/desk/v1/me").status_code == 401
    stranger = From(app, "192.0.2.7", "desk.example.com")
    assert stranger.get("/desk/v1/me", **named).status_code == 401
    foreign = proxy.get("/desk/v1/me", **named, sec_fetch_site="cross-site")
    assert foreign.status_code == 403, "a page of another site uses the agent's browser"


def test_sites_are_for_admins(parts: Parts) -> None:
    app = create_app(parts, key_needed=True)
    admin, handoffs = key(parts, "admin"), key(parts, "handoffs")
    far = From(app, "192.0.2.7", "support.example.com")
    assert far.get("/v1/sites").status_code == 401
    assert far.get("/v1/sites", authorization=handoffs).status_code == 403
    assert far.get("/v1/sites", authorization=admin).json() == {"sites": []}


def test_a_key_of_another_workspace_finds_neither_desk_nor_sites(parts: Parts) -> None:
    app = create_app(with_settings(parts, desk=True), key_needed=True)
    far = From(app, "192.0.2.7", "support.example.com")
    own, other = key(parts, "admin"), key(parts, "admin", workspace="other")
    shop = {"name": "Shop", "origins": ["https://shop.example"]}
    made = far("POST", "/v1/sites", shop, headers={"host": far.host, "authorization": own})
    site = f"/v1/sites/{made.json()['site']}"
    for path in ("/desk/v1/me", "/desk/v1/handoffs", "/desk/v1/events", "/v1/sites", site):
        assert far.get(path, authorization=other).status_code == 404, path
    assert far.get(f"{site}/secret", authorization=other).status_code == 404
    removed = far("DELETE", site, headers={"host": far.host, "authorization": other})
    assert removed.status_code == 404
    assert far.get(f"{site}/secret", authorization=own).status_code == 200


def test_keys_that_a_stranger_tries_at_the_desk_shut_out_nobody_else(parts: Parts) -> None:
    app = create_app(with_settings(parts, desk=True, proxies=["10.0.0.0/8"]), key_needed=True)
    late = key(parts, "handoffs")
    proxy = From(app, "10.0.0.2", "desk.example.com")

    def ask(shown: str, of: str) -> int:
        return proxy.get("/desk/v1/me", authorization=shown, x_forwarded_for=of).status_code

    tried = [ask(f"Bearer tf_{n:043d}", "198.51.100.7") for n in range(30)]
    assert tried[-5:] == [429] * 5
    assert ask(late, "203.0.113.5") == 200, "a key that nobody used lately"
