"""The widget as a process of its own: it reaches the answer service over HTTP, by a key."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.answer.access.keys import create_key
from services.answer.app import create_app as answer_app
from services.widget.app import create_app
from services.widget.widget import open_widget
from tests.services.answer.asking import QUESTION, knowing
from tests.services.standalone.serving import served
from tests.services.widget.visiting import PLENTY, World
from twofold.errors import SetupError
from twofold.settings import Settings

SCOPES = ("answer", "read", "feedback", "handoffs")


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[World]:
    with knowing(tmp_path) as parts, served(answer_app(parts)) as answers:
        ledger = parts.stack.ledger
        key = create_key(ledger, "widget", "default", SCOPES, ["customer"], rate=0)
        agent = create_key(ledger, "agent", "default", ["handoffs"])
        settings = Settings(
            home=tmp_path / "widget", answer_url=answers, api_key=key.plain, desk=True, **PLENTY
        )
        widget = open_widget(settings, ledger)
        with served(create_app(widget)) as url:
            world = World(url, parts, widget)
            world.agent = {"Authorization": f"Bearer {agent.plain}"}
            yield world


def test_everything_works_across_two_processes(apart: World) -> None:
    site = apart.site(identity={"audiences": ["customer"]})
    visitor = apart.visitor(site)
    done = visitor.ask(QUESTION)["done"]
    assert visitor.thread()["items"][0]["answer"]["text"] == done["text"]
    assert visitor("GET", f"/sources/{done['answer_id']}/1").json()["sections"]
    rated = visitor("POST", "/feedback", {"answer_id": done["answer_id"], "rating": "up"})
    assert rated.status_code == 201
    token = apart.identity(site, audience="customer")
    visitor.session = visitor("POST", "/identity", {"identity": token}).json()
    assert visitor.ask("When are invoices issued?")["meta"]["conversation_id"]
    assert visitor("POST", "/handoff", {"consent": True}).status_code == 201
    id = visitor.thread()["thread_id"]
    assert apart.desk("GET", "/handoffs").status_code == 401
    taken = apart.desk("POST", f"/handoffs/{id}/take", {"name": "Anna"}, headers=apart.agent)
    assert taken.json()["state"] == "taken"
    assert apart.desk("GET", f"/handoffs/{id}", headers=apart.agent).json()["summary"]


def test_it_tells_strangers_nothing_of_itself(apart: World) -> None:
    assert httpx.get(f"{apart.url}/healthz").json() == {"status": "ok"}
    for path in ("/metrics", "/v1/sites"):
        assert httpx.get(f"{apart.url}{path}").status_code == 401
        assert httpx.get(f"{apart.url}{path}", headers=apart.agent).status_code == 403
    assert httpx.get(f"{apart.url}/openapi.json").status_code == 404


def test_keys_of_other_workspaces_find_nothing_here(apart: World) -> None:
    foreign = create_key(apart.parts.stack.ledger, "foreign", "other", ["admin"])
    shown = {"Authorization": f"Bearer {foreign.plain}"}
    site = apart.site()
    for path in ("/v1/sites", f"/v1/sites/{site.id}/secret", "/desk/v1/handoffs", "/desk/v1/me"):
        assert httpx.get(f"{apart.url}{path}", headers=shown).status_code == 404, path


def test_while_the_answer_service_is_away_the_visitor_hears_so(apart: World) -> None:
    visitor = apart.visitor(apart.site())
    apart.widget.service._http.base_url = httpx.URL("http://127.0.0.1:9")
    refused = visitor("POST", "/messages", {"id": "0" * 32, "text": QUESTION})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert visitor.thread()["items"][0]["status"] == "failed"


def test_it_needs_to_know_where_the_answers_are(apart: World, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="TWOFOLD_ANSWER_URL"):
        open_widget(Settings(home=tmp_path), apart.widget.ledger)
    weak = Settings(home=tmp_path, answer_url="http://x", widget_secret="short")
    with pytest.raises(SetupError, match="TWOFOLD_WIDGET_SECRET"):
        open_widget(weak, apart.widget.ledger)
