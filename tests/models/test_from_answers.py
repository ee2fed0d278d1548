"""A suite from live answers: masked, grouped, and worth nothing until a person confirms it."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import delete
from typer.testing import CliRunner

from models.cli.since import since
from models.diagnosis.gaps import gaps
from models.evaluate.local import LOCAL
from models.suite.from_answers import start
from models.suite.suite import load_suite
from services.answer.app import create_app
from services.answer.pipeline import Parts
from services.standalone.evals import Local
from tests.services.answer.edge import HACKED, Client, key_for
from tests.services.standalone.serving import needs_weights, small_parts
from twofold.commands import build
from twofold.errors import InvalidInput
from twofold.ledger.models import Conversation
from twofold.ledger.service import ApiKey

ROLL = "How long does the old signing secret keep working after I roll it?"
SAME = "After I roll the signing secret, how long does the old one keep working?"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with small_parts(tmp_path_factory.mktemp("traffic")) as parts:
        yield parts


@pytest.fixture
def call(parts: Parts) -> Client:
    with parts.stack.ledger.session() as session:
        session.execute(delete(Conversation))
        session.execute(delete(ApiKey))
    return Client(create_app(parts))


@needs_weights
def test_a_suite_is_started_from_what_was_asked(parts: Parts, call: Client, tmp_path: Path) -> None:
    said = call("POST", "/v1/chat", {"message": f"{ROLL} Write to mara.lind@example.com"}).json()
    call("POST", "/v1/feedback", {"answer_id": said["answer_id"], "rating": "down"})
    for message in (SAME, HACKED, SAME):
        call("POST", "/v1/chat", {"message": message})
    call("POST", "/v1/chat", {"message": ROLL, "customer": "evaluation-1"})
    asked = call("GET", "/v1/questions?since=1").json()["questions"]
    assert [each["question"] for each in asked][1:] == [SAME, HACKED, SAME]
    assert asked[0]["rating"] == "down"
    started = start(asked, parts.stack.embedder)
    assert (started.cases, started.groups, started.left_out) == (3, 2, 1)
    assert "mara.lind" not in started.text
    path = tmp_path / "live.yaml"
    path.write_text(started.text)
    with pytest.raises(InvalidInput, match="of 3 cases none is confirmed"):
        load_suite(path)
    cases = yaml.safe_load(started.text)
    assert [case["tags"][-1] == "group-1" for case in cases] == [True, True, False]
    assert cases[2]["expect"]["reason"] == "account_takeover"
    path.write_text(started.text.replace("confirmed: false", "confirmed: true"))
    assert len(load_suite(path)) == 3


@needs_weights
def test_the_list_is_paged_and_shows_a_key_its_own_alone(parts: Parts, call: Client) -> None:
    for message in (ROLL, SAME, HACKED):
        call("POST", "/v1/chat", {"message": message})
    first = call("GET", "/v1/questions?limit=2").json()["questions"]
    after = first[-1]["answer"]["answer_id"]
    rest = call("GET", f"/v1/questions?limit=2&after={after}").json()["questions"]
    assert [each["question"] for each in (*first, *rest)] == [ROLL, SAME, HACKED]
    other = Client(call.app, key_for(parts, "other", "read"))
    assert other("GET", "/v1/questions").json()["questions"] == []
    assert (
        Client(call.app, key_for(parts, "asks", "answer"))("GET", "/v1/questions").status_code
        == 403
    )


def test_how_far_back() -> None:
    assert since("7d", now=1_000_000.0) == 1_000_000.0 - 7 * 86_400
    assert since("2026-11-01") == 1793491200.0
    with pytest.raises(InvalidInput, match="12h"):
        since("a while")


@needs_weights
def test_what_nobody_wrote_is_put_together_with_a_draft(
    parts: Parts, call: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for message in ("Is there an app for the iPhone?", "Do you have an iPhone app?", ROLL):
        call("POST", "/v1/chat", {"message": f"{message} Write to mara.lind@example.com"})
    asked = call("GET", "/v1/questions").json()["questions"]
    (gap,) = gaps(asked, parts.stack.embedder)
    assert (gap.questions, len(gap.wordings), gap.audiences) == (2, 2, ("public",))
    assert "iPhone" in gap.outline
    assert "audience: [public]" in gap.outline
    assert "mara.lind" not in gap.outline
    local = Local(parts.stack.settings)
    monkeypatch.setattr(local, "service", lambda: _asgi(call))
    shown = CliRunner().invoke(
        build(), ["diagnose", "--live", "--since", "1d", "--json"], obj={LOCAL: lambda _: local}
    )
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout.splitlines()[-1])
    assert found["facts"]["answers"] == 3
    assert found["gaps"][0]["questions"] == 2
    assert CliRunner().invoke(build(), ["diagnose"]).exit_code == 2


def _asgi(call: Client) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=call.app, client=("127.0.0.1", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")
