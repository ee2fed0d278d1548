"""Live answers are looked into: 30 rated down, each attributed, and metrics, API and console agree;
and who may see the console."""

import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from celery import signals
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from selectolax.lexbor import LexborHTMLParser
from sqlalchemy import delete, event, select, update

from ingestion.sync.status import NOTHING_INDEXED
from services.answer import diagnoses
from services.answer.pipeline import Parts
from services.standalone.app import create_app
from services.standalone.celery import make_app
from services.standalone.console import console
from tests.servers import wait_until
from tests.services.answer.asking import knowing
from tests.services.answer.edge import Client, key_for
from tests.services.standalone.serving import needs_weights, small_parts
from twofold.ledger.models import Answer
from twofold.ledger.service import ApiKey, Diagnosed
from twofold.reply import OURS

pytestmark = needs_weights

COUNTER = "twofold_diagnosis_verdicts_total"
ASKED = (
    ("Is there an app for the iPhone?", ""),
    ("Do you have an iOS app?", ""),
    ("Can I pay in Swiss francs?", ""),
    (
        "How long does the old signing secret keep working after I roll it?",
        "That is not what I see",
    ),
    ("How many API keys can one project have?", ""),
    ("When do invoices come?", "Invoices are issued on the first day of the month, not the fifth."),
    ("I want to speak with a human", "I only asked how to invite a colleague"),
    ("What does it do?", ""),
    ("How do I invite a member?", ""),
    ("Who approves a refund of 400 dollars?", ""),
)


def _counted() -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == COUNTER:
                labels = sample.labels
                key = (labels["signal"], labels["layer"], labels["cause"])
                found[key] = int(sample.value)
    return found


def _quiet(parts: Parts) -> Client:
    """The server without its own worker."""
    return Client(create_app(parts))


def test_thirty_answers_rated_down_are_attributed_and_everything_agrees(tmp_path: Path) -> None:
    before = _counted()
    with (
        small_parts(tmp_path) as parts,
        TestClient(create_app(parts), base_url="http://localhost", client=("127.0.0.1", 1)) as http,
    ):
        rated = []
        for turn in range(3):
            for question, said in ASKED:
                answer = http.post("/v1/chat", json={"message": f"{question}{' ' * turn}"}).json()
                body = {"answer_id": answer["answer_id"], "rating": "down", "comment": said}
                assert http.post("/v1/feedback", json=body).status_code == 201
                rated.append(answer["answer_id"])

        def states() -> Counter[str]:
            asked = http.get("/v1/questions").json()["questions"]
            return Counter((each["diagnosed"] or {}).get("state", "") for each in asked)

        wait_until(lambda: states() == {"done": 30}, "30 answers looked into", 180)
        asked = http.get("/v1/questions").json()["questions"]
        page = LexborHTMLParser(http.get("/console").text)
        record = http.get(f"/console/answers/{rated[0]}")
    assert {each["answer"]["answer_id"] for each in asked} == set(rated)
    verdicts = [each["diagnosed"]["verdict"] for each in asked]
    assert all(each["diagnosed"]["signal"] == "negative_feedback" for each in asked)
    assert all(verdict["evidence"] for verdict in verdicts)
    told = Counter(("negative_feedback", v["layer"], v["cause"]) for v in verdicts)
    assert _counted() - before == told
    assert sum(told.values()) == 30
    bars = {
        bar.css("text")[0].text().replace(" ", "_"): int(bar.css("text")[1].text())
        for bar in page.css("svg[aria-label='Failures by cause'] g")
    }
    assert bars == Counter(v["cause"] for v in verdicts)
    assert len(page.css("details[id^='case-']")) == 30
    assert "30 rated down" in page.text()
    assert ASKED[0][0] in record.text
    links = [link.attributes["href"] for link in page.css("#answers ~ .wide td a")]
    assert links == [f"/console/answers/{each}" for each in reversed(rated)]


def test_the_console_opens_the_record_of_an_answer_that_nobody_looked_into(parts: Parts) -> None:
    call = _quiet(parts)
    (answer,) = _fill(call, "How do I invite a colleague?")
    page = LexborHTMLParser(call("GET", "/console").text)
    (row,) = [row for row in page.css("#answers ~ .wide tr") if answer in (row.html or "")]
    assert row.css("td")[-1].text() == "not looked into"
    link = row.css_first("a")
    assert link is not None
    assert call("GET", link.attributes["href"] or "").status_code == 200


def test_a_record_tells_the_services_own_words_from_what_was_judged(parts: Parts) -> None:
    call = _quiet(parts)
    (answer,) = _fill(call, "How do I invite a colleague?")
    ours = "Shall I hand this to <b>our</b> support team?"
    with parts.stack.ledger.session() as session:
        row = session.get_one(Answer, answer)
        row.signals = {**row.signals, OURS: [ours]}
    page = LexborHTMLParser(call("GET", f"/console/answers/{answer}").text)
    (said,) = [row.css("td") for row in page.css("tr") if "not judged" in row.text()]
    assert said[0].text() == ours


def _fill(call: Client, *questions: str) -> list[str]:
    return [
        call("POST", "/v1/chat", {"message": question}).json()["answer_id"]
        for question in questions
    ]


def test_a_day_of_more_answers_than_a_statement_takes_is_swept(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(_quiet(parts), *(f"Is there a plan number {n}?" for n in range(24)))

    def few(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 20)

    monkeypatch.setattr(diagnoses, "BATCH", 10)
    engine = parts.stack.ledger.engine
    engine.dispose()
    event.listen(engine, "checkout", few)
    try:
        assert diagnoses.sweep(parts.stack.ledger, 1.0, 0.0) == 24
        assert diagnoses.sweep(parts.stack.ledger, 1.0, 0.0) == 0
    finally:
        event.remove(engine, "checkout", few)
        engine.dispose()


def test_each_signal_is_queued_once_and_the_stronger_one_wins(parts: Parts) -> None:
    ledger = parts.stack.ledger
    call = _quiet(parts)
    sampled, down, again, handed = _fill(
        call, ASKED[3][0], ASKED[4][0], ASKED[5][0], "I want to speak with a human"
    )
    for answer, rating in ((down, "down"), (again, "down"), (again, "up")):
        call("POST", "/v1/feedback", {"answer_id": answer, "rating": rating})
    handoff = call("GET", "/v1/handoffs").json()["handoffs"][0]["id"]
    reply = {"text": "Invite them on the team page.", "action": "ANSWER"}
    assert call("POST", f"/v1/handoffs/{handoff}/reply", reply).status_code == 201
    assert diagnoses.sweep(ledger, 1.0, 0.0) == 4
    assert "twofold_diagnosis_waiting 4.0" in call("GET", "/metrics").text
    assert diagnoses.sweep(ledger, 1.0, 0.0) == 0
    with ledger.session() as session:
        found = {row.answer_id: row.signal for row in session.scalars(select(Diagnosed))}
    assert found[down] == "negative_feedback"
    assert found[handed] == "correction"
    assert {found[sampled], found[again]} <= {"sample", "low_confidence"}
    first = diagnoses.take(ledger)
    assert first is not None
    assert (first.answer_id, first.said) == (handed, "Invite them on the team page.")
    diagnoses.finish(ledger, first, None)
    call = _quiet(parts)
    call("POST", "/v1/feedback", {"answer_id": sampled, "rating": "down", "comment": "no"})
    assert diagnoses.sweep(ledger, 1.0, 0.0) == 1
    while (due := diagnoses.take(ledger)) is not None:
        if due.answer_id == sampled:
            assert (due.signal, due.said) == ("negative_feedback", "no")
        diagnoses.finish(ledger, due, None)
    assert ledger.gauge(diagnoses.waiting) == 0


def test_what_cannot_be_looked_into_is_tried_three_times(parts: Parts) -> None:
    ledger = parts.stack.ledger
    call = _quiet(parts)
    (answer,) = _fill(call, ASKED[3][0])
    call("POST", "/v1/feedback", {"answer_id": answer, "rating": "down"})
    diagnoses.sweep(ledger, 0.0, 0.0)
    for attempt in (1, 2, 3):
        with ledger.session() as session:
            session.execute(update(Diagnosed).values(due_at=0.0))
        due = diagnoses.take(ledger)
        assert due is not None
        assert due.attempts == attempt
        assert diagnoses.take(ledger) is None
        diagnoses.put_back(ledger, due, "no model")
    with ledger.session() as session:
        session.execute(update(Diagnosed).values(due_at=0.0))
    assert diagnoses.take(ledger) is None
    call = _quiet(parts)
    (asked,) = call("GET", "/v1/questions").json()["questions"]
    assert (asked["diagnosed"]["state"], asked["diagnosed"]["error"]) == ("failed", "no model")


def test_nothing_that_was_asked_is_markup_in_the_console(parts: Parts) -> None:
    evil = "<script>alert(1)</script> How do I invite a <b>member</b>?"
    call = _quiet(parts)
    (answer,) = _fill(call, evil)
    shown = call("GET", f"/console/answers/{answer}")
    assert LexborHTMLParser(shown.text).css("script, h1 b") == []
    assert "&lt;script&gt;" in shown.text
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", shown.text, re.DOTALL)
    assert style is not None


def test_the_sources_page_tells_freshness_and_findings(parts: Parts) -> None:
    call = _quiet(parts)
    page = LexborHTMLParser(call("GET", "/console/sources").text).text()
    assert "help" in page
    assert re.search(r"\d min", page)
    assert "broken link" in page


def test_elsewhere_the_console_wants_a_key_that_may_read(parts: Parts) -> None:
    assert _quiet(parts)("GET", "/console").status_code == 200
    app = create_app(parts)
    far = Client(app, address="203.0.113.7")
    refused = far("GET", "/console")
    assert refused.status_code == 401
    assert "<form" in refused.text
    reads, answers = key_for(parts, "reads", "read"), key_for(parts, "answers", "answer")
    assert Client(app)("GET", "/console").status_code == 401
    form = {"content-type": "application/x-www-form-urlencoded"}

    def sign_in(key: str, **headers: str) -> Any:
        return far("POST", "/console/sign-in", headers=form | headers, content=f"key={key}")

    wrong = sign_in("tf_wrong_" + "x" * 40)
    assert wrong.status_code == 401
    assert "See <code>twofold key list</code>." in wrong.text
    assert sign_in(answers).status_code == 403
    assert sign_in(reads, origin="https://evil.example").status_code == 403
    signed = sign_in(reads)
    cookie = signed.headers["set-cookie"]
    assert signed.status_code == 303
    assert all(
        part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/console", "Max-Age")
    )
    with_cookie = {"cookie": cookie.partition(";")[0]}
    assert far("GET", "/console", headers=with_cookie).status_code == 200
    assert far("GET", "/v1/questions", headers=with_cookie).status_code == 401
    assert far("GET", "/console/sources", headers=with_cookie).status_code == 403
    knows = {"authorization": f"Bearer {key_for(parts, 'knows', 'read', 'knowledge')}"}
    assert far("GET", "/console/sources", headers=knows).status_code == 200
    with parts.stack.ledger.session() as session:
        session.execute(delete(ApiKey))


def test_celerys_task_looks_into_what_waits(parts: Parts) -> None:
    call = _quiet(parts)
    (answer,) = _fill(call, "Do you support FIDO hardware wallets?")
    call("POST", "/v1/feedback", {"answer_id": answer, "rating": "down"})
    app = make_app(parts.stack.settings, lambda _: parts.stack)
    assert app.conf.beat_schedule["diagnose"]["task"] == "twofold.diagnose"
    assert "diagnosis" in {queue.name for queue in app.conf.task_queues}
    app.tasks["twofold.diagnose"].run()
    (asked,) = call("GET", "/v1/questions").json()["questions"]
    assert asked["diagnosed"]["state"] == "done"
    assert asked["diagnosed"]["verdict"]["cause"] == "not_in_sources"
    signals.worker_shutdown.send(sender=app)
    app.close()


def test_every_answer_can_be_reached_page_by_page(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PAGE", 2)
    call = _quiet(parts)
    asked = _fill(call, *(f"How do I invite member {n}?" for n in range(5)))[::-1]

    def shown(path: str) -> tuple[list[str], str]:
        page = LexborHTMLParser(call("GET", path).text)
        rows = [str(link.attributes["href"]) for link in page.css("#answers ~ .wide td a")]
        older = page.css_first("a[rel=next]")
        return [row.rpartition("/")[2] for row in rows], str(older and older.attributes["href"])

    for answer in asked[:3]:
        call("POST", "/v1/feedback", {"answer_id": answer, "rating": "down"})
    down, rest = shown("/console/answers?since=1d&rating=down")
    assert (down, shown(rest)[0]) == (asked[:2], asked[2:3])
    first, second = shown("/console?since=1d")
    assert (first, "since=1d" in second) == (asked[:2], True)
    assert shown("/console/answers?since=1d") == (first, second)
    _fill(call, "How do I invite a latecomer?")
    middle, third = shown(second)
    assert middle == asked[2:4], "whatever was asked since"
    call("DELETE", f"/v1/conversations/{_conversation(call, asked[3])}")
    last, none = shown(third)
    assert (asked[4] in last, none) == (True, "None")
    assert not {*asked[:3]} & {*last}
    assert call("GET", "/console/answers?after=x").status_code == 422


def _conversation(call: Client, answer: str) -> str:
    return str(call("GET", f"/v1/answers/{answer}").json()["answer"]["conversation_id"])


def test_signing_in_leads_to_the_page_that_was_wanted(parts: Parts) -> None:
    far = Client(create_app(parts), address="203.0.113.7")
    key = key_for(parts, "reads", "read")
    wanted = "/console/answers?since=30d&until=1.5"
    form = LexborHTMLParser(far("GET", wanted).text).css_first("input[name=going_to]")
    assert form is not None
    assert form.attributes["value"] == wanted
    headers = {"content-type": "application/x-www-form-urlencoded"}

    def leads_to(page: str) -> str:
        content = urlencode({"key": key, "going_to": page})
        signed = far("POST", "/console/sign-in", headers=headers, content=content)
        assert signed.status_code == 303
        return signed.headers["location"]

    assert leads_to(wanted) == wanted
    for elsewhere in ("https://evil.example", "//evil.example", "/desk", "/consoles"):
        assert leads_to(elsewhere) == "/console"
    with parts.stack.ledger.session() as session:
        session.execute(delete(ApiKey))


def test_the_console_says_that_nothing_is_indexed(tmp_path: Path) -> None:
    with knowing(tmp_path, {}) as parts:
        call = _quiet(parts)
        for path in ("/console", "/console/sources"):
            assert NOTHING_INDEXED in call("GET", path).text
    with knowing(tmp_path / "more") as parts:
        assert NOTHING_INDEXED not in _quiet(parts)("GET", "/console").text
