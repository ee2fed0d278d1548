"""Who may call, and what: keys, scopes, audiences, workspaces."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from services.answer.access.keys import GRACE_S, SCOPES, TTL_S, KeyRing, create_key, revoke_key
from services.answer.app import create_app
from services.answer.endpoints.admission import needs
from services.answer.pipeline import Parts
from services.standalone.app import create_app as whole_app
from tests.fakes import open_ledger
from tests.services.answer.edge import HACKED, ROLL, Client, key_for
from tests.services.standalone.serving import needs_weights
from twofold.commands import build
from twofold.errors import Conflict, InvalidInput, Unauthorized, Unavailable
from twofold.ledger import Ledger
from twofold.ledger.service import ApiKey


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- keys ---------------------------------------------------------------------------------------


def test_the_ledger_keeps_no_key(ledger: Ledger, tmp_path: Path) -> None:
    made = create_key(ledger, "widget", "default", ["answer"])
    assert made.plain.startswith("tf_")
    ledger.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made.id.encode() in kept
    assert made.plain.encode() not in kept
    assert made.plain[3:].encode() not in kept


def test_a_name_is_taken_until_its_key_is_revoked(ledger: Ledger) -> None:
    create_key(ledger, "widget", "default", ["answer"])
    create_key(ledger, "widget", "other", ["answer"])
    with pytest.raises(Conflict, match="'widget'"):
        create_key(ledger, "widget", "default", ["answer"])
    revoke_key(ledger, "widget", "default")
    create_key(ledger, "widget", "default", ["answer"])


@pytest.mark.parametrize(
    ("name", "scopes", "audiences", "says"),
    [
        pytest.param("w", ["answers"], [], "There is no scope 'answers'", id="unknown scope"),
        pytest.param("w", [], [], "needs a scope", id="no scope"),
        pytest.param("My Key", ["answer"], [], "no name", id="bad name"),
        pytest.param("w", ["answer"], ["A B"], "no audience", id="bad audience"),
    ],
)
def test_a_bad_key_is_not_made(
    ledger: Ledger, name: str, scopes: list[str], audiences: list[str], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        create_key(ledger, name, "default", scopes, audiences)


def test_a_known_key_costs_less_than_a_tenth_of_a_millisecond(ledger: Ledger) -> None:
    ring = KeyRing(ledger, "default")
    keys = [create_key(ledger, f"k{i}", "default", ["answer"]).plain for i in range(50)]
    for key in keys:
        ring.look_up(key)
    started = time.thread_time()
    for _ in range(20):
        for key in keys:
            assert ring.known(key) is not None
    assert (time.thread_time() - started) / 1000 < 0.0001


def test_a_revoked_key_ends_within_its_time_to_live(ledger: Ledger) -> None:
    clock = Clock()
    ring = KeyRing(ledger, "default", clock)
    made = create_key(ledger, "widget", "default", ["answer"])
    assert ring.look_up(made.plain).key == made.id
    revoke_key(ledger, made.id, "default")
    clock.now += TTL_S
    assert ring.known(made.plain) is None
    with pytest.raises(Unauthorized, match="unknown or revoked"):
        ring.look_up(made.plain)


def test_a_key_is_known_a_while_without_the_ledger(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    ring = KeyRing(ledger, "default", clock)
    seen = create_key(ledger, "seen", "default", ["answer"]).plain
    unseen = create_key(ledger, "unseen", "default", ["answer"]).plain
    ring.look_up(seen)

    def down() -> Any:
        raise OperationalError("SELECT", {}, OSError("down"))

    monkeypatch.setattr(ledger, "session", down)
    clock.now += TTL_S + 1
    assert ring.look_up(seen).workspace == "default"
    with pytest.raises(Unavailable):
        ring.look_up(unseen)
    clock.now += GRACE_S
    with pytest.raises(Unavailable):
        ring.look_up(seen)


@pytest.mark.heavy
def test_the_commands_make_list_and_revoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path))
    run = CliRunner()
    made = run.invoke(
        build(),
        ["key", "create", "crm", "--workspace", "acme", "--scope", "answer", "--scope", "read",
         "--audience", "customer", "--rate", "30"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "from now on every request needs one" in made.stderr
    assert "TWOFOLD_API_KEY" in made.stderr
    key = made.stdout.strip()
    second = run.invoke(build(), ["key", "create", "crm", "--scope", "answer"])
    assert "from now on" not in second.stderr
    assert run.invoke(build(), ["key", "revoke", "crm"]).stderr == ""
    listed = run.invoke(build(), ["key", "list"]).stdout
    assert "acme  crm  answer,read for customer" in listed
    assert key not in listed
    last = run.invoke(build(), ["key", "revoke", "crm", "--workspace", "acme"])
    assert last.exit_code == 0
    assert "every request still needs one: twofold key create" in last.stderr
    assert "revoked" in run.invoke(build(), ["key", "list", "--workspace", "acme"]).stdout
    again = run.invoke(build(), ["key", "revoke", "crm", "--workspace", "acme"])
    assert again.exit_code == 2
    assert "no key 'crm'" in again.output


# --- scopes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("POST", "/v1/chat", {"answer"}),
        ("POST", "/v1/chat/completions", {"answer"}),
        ("GET", "/v1/models", {"answer"}),
        ("GET", "/v1/answers/x/events", {"answer", "read"}),
        ("GET", "/v1/answers/x", {"read"}),
        ("GET", "/v1/conversations/x", {"read"}),
        ("DELETE", "/v1/conversations/x", {"admin"}),
        ("POST", "/v1/search", {"search"}),
        ("POST", "/v1/feedback", {"feedback"}),
        ("GET", "/v1/feedback", {"read"}),
        ("POST", "/v1/handoffs/x/reply", {"handoffs"}),
        ("POST", "/v1/handoffs", {"answer", "handoffs"}),
        ("GET", "/v1/handoffs", {"handoffs"}),
        ("GET", "/v1/customers/x/export", {"admin"}),
        ("DELETE", "/v1/customers/x", {"admin"}),
        ("POST", "/v1/sources", {"knowledge"}),
        ("POST", "/v1/sources/x/sync", {"knowledge"}),
        ("GET", "/v1/syncs/x", {"knowledge"}),
        ("PUT", "/v1/documents/x/y", {"knowledge"}),
        ("GET", "/v1/whatever-comes-next", {"admin"}),
    ],
)
def test_each_route_needs_its_scope(method: str, path: str, scopes: set[str]) -> None:
    assert set(needs(method, path) or ()) == scopes


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
def test_some_places_are_open(path: str) -> None:
    assert needs("GET", path) is None


def test_every_route_of_the_whole_app_has_a_scope_or_is_meant_to_be_open(parts: Parts) -> None:
    document = Client(whole_app(parts))("GET", "/openapi.json").json()
    unnamed = [
        (method, path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/v1") and needs(method.upper(), path) == ("admin",)
    ]
    admin = {"/v1/conversations/{conversation_id}", "/v1/customers/{customer}"}
    admin |= {"/v1/customers/{customer}/export"}
    admin |= {"/v1/replays", "/v1/replays/documents", "/v1/replays/world"}
    admin |= {"/v1/sites", "/v1/sites/{site}", "/v1/sites/{site}/secret"}
    assert {path for _, path in unnamed} == admin


@needs_weights
def test_without_keys_this_machine_may_do_all_and_others_nothing(parts: Parts) -> None:
    app = create_app(parts)
    assert Client(app)("POST", "/v1/search", {"query": "refund"}).status_code == 200
    refused = Client(app, address="192.0.2.7")("POST", "/v1/search", {"query": "refund"})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "A key is needed" in refused.json()["detail"]
    served_beyond = Client(whole_app(parts, key_needed=True))
    assert served_beyond("POST", "/v1/search", {"query": "refund"}).status_code == 401
    key_for(parts, "first", "search")
    app = create_app(parts)
    assert Client(app)("POST", "/v1/search", {"query": "refund"}).status_code == 401


def test_revoking_the_last_key_opens_nothing(parts: Parts) -> None:
    made = create_key(parts.stack.ledger, "only", "default", ["admin"])
    assert Client(create_app(parts))("GET", "/v1/feedback").status_code == 401
    revoke_key(parts.stack.ledger, made.id, "default")
    assert Client(create_app(parts))("GET", "/v1/feedback").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.7"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"Host": "support.example.com"},
        {"Host": "127.0.0.1.example.com"},
    ],
)
def test_a_proxy_on_this_machine_makes_no_stranger_local(
    parts: Parts, headers: dict[str, str]
) -> None:
    app = create_app(parts)
    for path in ("/v1/feedback", "/metrics", "/openapi.json"):
        assert Client(app)("GET", path).status_code == 200
        assert Client(app)("GET", path, headers=headers).status_code == 401, path


def test_nginx_of_old_shows_by_its_http_version(parts: Parts) -> None:
    app = create_app(parts)

    async def older(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"http_version": "1.0"}, receive, send)

    assert Client(older)("GET", "/v1/feedback").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
    ],
)
def test_pages_of_other_sites_get_nothing_from_a_keyless_server(
    parts: Parts, headers: dict[str, str]
) -> None:
    call = Client(create_app(parts))
    for method, path in (("POST", "/v1/handoffs"), ("POST", "/v1/chat"), ("GET", "/v1/answers")):
        assert call(method, path, {}, headers).status_code == 403
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert call("GET", "/v1/feedback", headers=own).status_code == 200
    keyed = Client(create_app(parts), key_for(parts, "page", "read"))
    assert keyed("GET", "/v1/feedback", headers=headers).status_code == 200


def test_metrics_and_the_api_document_are_for_this_machine_and_for_keys(parts: Parts) -> None:
    app = create_app(parts)
    for path in ("/metrics", "/openapi.json"):
        assert Client(app)("GET", path).status_code == 200
        assert Client(app, address="192.0.2.7")("GET", path).status_code == 401
        assert Client(whole_app(parts, key_needed=True))("GET", path).status_code == 401
    prometheus = Client(app, key_for(parts, "prometheus", "metrics"), address="192.0.2.7")
    assert prometheus("GET", "/metrics").status_code == 200
    assert prometheus("GET", "/openapi.json").status_code == 200
    reader = Client(app, key_for(parts, "reader", "read"), address="192.0.2.7")
    assert reader("GET", "/metrics").status_code == 403
    assert Client(app)("GET", "/metrics").status_code == 200


def test_a_placeholder_key_is_as_good_as_none_where_none_is_needed(parts: Parts) -> None:
    placeholder = {"Authorization": "Bearer sk-no-key-required"}
    app = create_app(parts)
    assert Client(app)("GET", "/v1/models", headers=placeholder).status_code == 200
    elsewhere = Client(app, address="192.0.2.7")
    assert elsewhere("GET", "/v1/models", headers=placeholder).status_code == 401
    key_for(parts, "first", "answer")
    assert Client(create_app(parts))("GET", "/v1/models", headers=placeholder).status_code == 401


@needs_weights
def test_a_key_may_do_what_its_scopes_say(parts: Parts) -> None:
    app = create_app(parts)
    places: list[tuple[str, str, Any, str]] = [
        ("POST", "/v1/search", {"query": "refund"}, "search"),
        ("GET", "/v1/models", None, "answer"),
        ("GET", "/v1/handoffs", None, "handoffs"),
        ("GET", "/v1/customers/x/export", None, "admin"),
    ]
    for scope in SCOPES:
        call = Client(app, key_for(parts, f"only-{scope}", scope), address="192.0.2.7")
        for method, path, body, wanted in places:
            allowed = scope in (wanted, "admin")
            response = call(method, path, body)
            assert (response.status_code != 403) == allowed, (scope, path)
            if not allowed and path != "/v1/models":
                assert f"lacks the scope {wanted}" in response.json()["detail"]


@pytest.mark.parametrize(
    "header", ["Basic abc", "Bearer", "Bearer nonsense", "Bearer tf_" + "x" * 43]
)
def test_a_wrong_key_is_never_taken_for_none(parts: Parts, header: str) -> None:
    key_for(parts, "first", "search")
    response = Client(create_app(parts))(
        "POST", "/v1/search", {"query": "x"}, headers={"Authorization": header}
    )
    assert response.status_code == 401


# --- audiences and workspaces -------------------------------------------------------------------


@needs_weights
def test_a_key_asks_only_for_its_audiences(parts: Parts) -> None:
    app = create_app(parts)
    call = Client(app, key_for(parts, "crm", "answer", "search", "read", audiences=["customer"]))
    for path, body in (
        ("/v1/chat", {"message": ROLL}),
        ("/v1/search", {"query": ROLL}),
    ):
        assert call("POST", path, {**body, "audience": ["customer", "public"]}).status_code == 200
        refused = call("POST", path, {**body, "audience": ["customer", "internal"]})
        assert refused.status_code == 403
        assert "may not ask for audience 'internal'" in refused.json()["detail"]
        assert "customer, public" in refused.json()["detail"]
    completion = {
        "model": "twofold",
        "messages": [{"role": "user", "content": ROLL}],
        "twofold": {"audience": "internal"},
    }
    assert call("POST", "/v1/chat/completions", completion).status_code == 403
    staff = Client(app, key_for(parts, "staff", "answer", "read", audiences=["internal"]))
    told = staff("POST", "/v1/chat", {"message": ROLL, "audience": "internal"}).json()
    assert call("GET", f"/v1/answers/{told['answer_id']}").status_code == 404
    assert call("GET", f"/v1/answers/{told['answer_id']}/events").status_code == 404
    assert call("GET", f"/v1/conversations/{told['conversation_id']}").status_code == 404
    admin = Client(app, key_for(parts, "admin", audiences=["customer"]))
    assert admin("GET", f"/v1/conversations/{told['conversation_id']}").json()["turns"] == []


@needs_weights
def test_a_second_workspace_sees_nothing_of_the_first(parts: Parts) -> None:
    app = whole_app(parts)
    first = Client(app, key_for(parts, "first"))
    other = Client(app, key_for(parts, "first", workspace="other"))
    told = first("POST", "/v1/chat", {"message": HACKED, "customer": "jo"}).json()
    answer, conversation = told["answer_id"], told["conversation_id"]
    assert len(first("GET", "/v1/handoffs").json()["handoffs"]) == 1
    assert other("GET", "/v1/handoffs").json() == {"handoffs": []}
    assert other("POST", "/v1/search", {"query": "refund"}).json()["candidates"] == []
    document = "/v1/documents/help/articles/invoices.md"
    for method, path, body in (
        ("GET", f"/v1/answers/{answer}", None),
        ("GET", f"/v1/answers/{answer}/events", None),
        ("GET", f"/v1/conversations/{conversation}", None),
        ("DELETE", f"/v1/conversations/{conversation}", None),
        ("POST", "/v1/feedback", {"answer_id": answer, "rating": "up"}),
        ("POST", "/v1/chat", {"message": "x", "conversation_id": conversation}),
        ("POST", "/v1/handoffs", {"conversation_id": conversation}),
        ("GET", "/v1/customers/jo/export", None),
        ("DELETE", "/v1/customers/jo", None),
        ("GET", "/v1/sources", None),
        ("POST", "/v1/sources/help/sync", None),
        ("PUT", document, {"content": "# Mine now"}),
        ("DELETE", document, None),
    ):
        response = other(method, path, body)
        assert response.status_code == 404, (method, path, response.text)
    assert first("GET", f"/v1/answers/{answer}").status_code == 200
    with parts.stack.ledger.session() as session:
        assert len(session.scalars(select(ApiKey)).all()) == 2


@pytest.mark.heavy
def test_the_table_of_access_is_the_codes_own(parts: Parts) -> None:
    from services.answer.endpoints.admission import ADMIN_RULE, RULES, rule_of
    from tools.access_table import FILE, table

    assert FILE.read_text() == table(), "python -m tools.access_table"
    app = whole_app(parts)
    key = key_for(parts, "reader")
    document = Client(app, key)("GET", "/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    met = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), path
            if path.startswith("/v1"):
                rule = rule_of(method.upper(), path)
                met.add(rule)
                assert operation["security"] == (
                    [{"key": list(rule.scopes)}] if rule.scopes else []
                ), path
                if rule.scopes and set(rule.scopes) < set(SCOPES):
                    assert f"`{rule.scopes[0]}`" in operation["description"], path
    assert {*RULES, ADMIN_RULE} - met <= {rule for rule in RULES if "knowledge" in rule.path}


@pytest.mark.heavy
def test_every_endpoint_is_closed_to_keys_without_its_scope(parts: Parts) -> None:
    """As many keys as scopes, two workspaces: each endpoint opens to its own scopes alone."""
    from services.answer.endpoints.admission import needs

    app = whole_app(parts)
    callers = {
        (scope, workspace): Client(app, key_for(parts, scope, scope, workspace=workspace))
        for scope in SCOPES
        for workspace in ("default", "other")
    }
    document = callers["admin", "default"]("GET", "/openapi.json").json()
    walked = 0
    for path, operations in document["paths"].items():
        for method in operations:
            wanted = needs(method.upper(), path)
            if not wanted or "stream" in path:
                continue
            walked += 1
            place = path.replace("{", "").replace("}", "")
            for (scope, workspace), call in callers.items():
                if scope == "admin" or scope in wanted:
                    continue
                refused = call(method.upper(), place, {})
                assert refused.status_code == 403, (method, path, scope, workspace)
    assert walked > 20


def test_two_host_headers_make_nobody_local() -> None:
    from services.http.local import is_local

    def scope(*hosts: bytes) -> dict[str, Any]:
        headers = [(b"host", host) for host in hosts]
        return {"type": "http", "client": ("127.0.0.1", 1), "headers": headers}

    assert is_local(scope(b"localhost:8080"))
    assert not is_local(scope(b"localhost:8080", b"evil.example"))
    assert not is_local(scope(b"localhost:8080", b"localhost:8080"))
    assert not is_local(scope())
