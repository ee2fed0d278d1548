"""Approved answers: who asks the same gets them word for word, and never once a source changed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.answer.app import create_app
from services.answer.approved.same import reader
from services.answer.pipeline import Parts
from tests.ingestion.helpers import run_sync, write_tree
from tests.services.answer.asking import PAGES, QUESTION, SECRETS, knowing
from tests.services.answer.edge import HACKED, Client, key_for
from twofold.redact import redact

DOCUMENT = "help/secrets.md"
PATH = "/v1/approved-answers"
TEXT = "Both secrets work for **12 hours**, so deploy the new one today. [1]"
PAIRS = Path(__file__).parents[3] / "examples" / "brackwater" / "approved" / "pairs.jsonl"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    internal = "---\naudience: [internal]\n---\n# Refund limits\n\nAgents refund up to $500.\n"
    with knowing(tmp_path, {**PAGES, "limits.md": internal}) as parts:
        yield parts


@pytest.fixture
def call(parts: Parts) -> Client:
    return Client(create_app(parts))


def ask(call: Client, message: str = QUESTION, **more: Any) -> Any:
    return call("POST", "/v1/chat", {"message": message, **more}).json()


def pin(call: Client, **more: Any) -> Any:
    body = {"question": QUESTION, "text": TEXT, "documents": [DOCUMENT]} | more
    response = call("POST", PATH, body)
    assert response.status_code == 201, response.text
    return response.json()


def suspended() -> float:
    value = REGISTRY.get_sample_value("twofold_knowledge_approved_suspended_total")
    assert value is not None
    return value


def change(parts: Parts, tree: Path, how: str) -> None:
    """Edit, delete or supersede what the answer cites."""
    if how == "delete":
        (tree / "secrets.md").unlink()
    elif how == "supersede":
        write_tree(tree, {"secrets.md": f"---\nexpires_at: 2020-01-01\n---\n{SECRETS}"})
    else:
        write_tree(tree, {"secrets.md": SECRETS.replace("12 hours", "6 hours")})
    run_sync(parts.stack, tree)


def test_who_asks_the_same_gets_what_was_written_word_for_word(call: Client) -> None:
    served = "twofold_behaviour_served_total"
    before = REGISTRY.get_sample_value(served, {"served_by": "approved", "release": "none"})
    assert before is not None
    made = pin(call)
    assert (made["state"], made["changes"]) == ("active", [])
    for question in (QUESTION, "how long does rolling a signing secret keep both secrets valid"):
        answer = ask(call, question)
        assert (answer["action"], answer["served_by"]) == ("ANSWER", "approved")
        assert answer["text"] == TEXT
        (citation,) = answer["citations"]
        assert citation["document"] == DOCUMENT
        assert "12 hours" in citation["quote"]
    record = call("GET", f"/v1/answers/{answer['answer_id']}").json()
    assert record["signals"]["approved"] == made["id"]
    labels = {"served_by": "approved", "release": "none"}
    assert REGISTRY.get_sample_value(served, labels) == before + 2
    other = ask(call, "How long does revoking a signing secret keep both secrets valid?")
    assert other["served_by"] != "approved"


def test_an_answer_on_record_is_pinned_as_it_was_given(call: Client) -> None:
    given = ask(call)
    assert given["served_by"] == "composer"
    made = call("POST", PATH, {"answer_id": given["answer_id"]}).json()
    assert (made["question"], made["text"]) == (QUESTION, given["text"])
    again = ask(call)
    assert (again["text"], again["served_by"]) == (given["text"], "approved")
    assert again["citations"] == given["citations"]
    call("DELETE", f"/v1/conversations/{given['conversation_id']}")
    assert ask(call)["served_by"] == "approved"


def test_an_agents_reply_is_pinned(call: Client) -> None:
    ask(call, HACKED)
    handoff = call("GET", "/v1/handoffs").json()["handoffs"][0]["id"]
    call("POST", f"/v1/handoffs/{handoff}/reply", {"text": TEXT, "documents": [DOCUMENT]})
    body = {"handoff_id": handoff, "question": QUESTION}
    assert call("POST", PATH, body).status_code == 201
    assert ask(call)["text"] == TEXT
    # Who must see a person does, whatever was pinned.
    pin(call, question=HACKED)
    assert ask(call, HACKED)["action"] == "ESCALATE"


@pytest.mark.parametrize("how", ["edit", "delete", "supersede"])
def test_it_is_not_said_once_a_source_changed_and_is_listed_with_the_difference(
    call: Client, parts: Parts, tmp_path: Path, how: str
) -> None:
    pin(call)
    before = suspended()
    change(parts, tmp_path / "tree", how)
    answer = ask(call)
    assert answer["served_by"] != "approved"
    assert TEXT not in answer["text"]
    assert suspended() == before + 1
    (listed,) = call("GET", PATH).json()["answers"]
    assert listed["state"] == "suspended"
    (changed,) = listed["changes"]
    assert (changed["document"], changed["approved"]) == (DOCUMENT, 1)
    assert changed["live"] == (None if how == "delete" else 2)
    if how == "edit":
        assert (
            "-Rolling a signing secret keeps both secrets valid for 12 hours"
            in (changed["difference"])
        )
        assert "6 hours" in changed["difference"]
        # Approved anew, for what the source says now, it is said again.
        pin(call, text="Both secrets work for 6 hours. [1]")
        assert ask(call)["text"] == "Both secrets work for 6 hours. [1]"
        assert len(call("GET", PATH).json()["answers"]) == 1


def test_it_has_an_audience_and_a_window(call: Client, parts: Parts) -> None:
    limits = "help/limits.md"
    question = "How much may an agent refund?"
    told = {"question": question, "text": "Up to $500. [1]", "documents": [limits]}
    refused = call("POST", PATH, told)
    assert refused.status_code == 409
    assert limits in refused.json()["detail"]
    made = pin(call, **told, audience=["internal"])
    assert ask(call, question)["served_by"] != "approved"
    assert ask(call, question, audience=["internal"])["text"] == "Up to $500. [1]"
    outside = Client(call.app, key_for(parts, "crm", "knowledge", "read", audiences=["customer"]))
    assert outside("GET", PATH).json()["answers"] == []
    assert outside("DELETE", f"{PATH}/{made['id']}").status_code == 404
    admin = Client(call.app, key_for(parts, "lead"))
    day = datetime.now(UTC).date()
    later = pin(admin, valid_from=str(day + timedelta(days=2)))
    assert later["state"] == "waiting"
    assert ask(admin)["served_by"] != "approved"
    pin(admin, valid_until=str(day))
    assert ask(admin)["served_by"] == "approved"
    assert ask(admin, as_of=str(day))["served_by"] != "approved"


def test_one_that_is_withdrawn_is_not_said(call: Client) -> None:
    made = pin(call)
    assert call("DELETE", f"{PATH}/{made['id']}").status_code == 204
    assert ask(call)["served_by"] != "approved"
    assert call("DELETE", f"{PATH}/{made['id']}").status_code == 404


def test_one_of_two_questions_is_not_taken_for_the_whole(call: Client) -> None:
    pin(call)
    assert ask(call, f"{QUESTION} And when are invoices issued?")["served_by"] != "approved"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "Name one source"),
        ({"answer_id": "none"}, 404, "There is no answer"),
        ({"text": TEXT, "documents": [DOCUMENT]}, 422, "`question`"),
        ({"question": QUESTION, "text": "Twelve hours."}, 422, "cites its sources"),
        ({"question": QUESTION, "text": TEXT}, 422, "names 0 documents"),
        ({"question": QUESTION, "text": "12.", "documents": [DOCUMENT]}, 422, "carries [1]"),
        ({"question": QUESTION, "text": TEXT, "documents": ["help/no.md"]}, 409, "is not there"),
        (
            {
                "question": QUESTION,
                "text": TEXT,
                "documents": [DOCUMENT],
                "valid_until": "2020-1-1",
            },
            422,
            "",
        ),
        (
            {
                "question": QUESTION,
                "text": TEXT,
                "documents": [DOCUMENT],
                "valid_until": "2020-01-01",
            },
            422,
            "valid_until",
        ),
    ],
)
def test_what_cannot_be_pinned_is_a_problem(
    call: Client, body: dict[str, Any], status: int, said: str
) -> None:
    response = call("POST", PATH, body)
    assert response.status_code == status, response.text
    assert said in response.text
    assert call("GET", PATH).json()["answers"] == []


def test_other_keys_may_not_pin(call: Client, parts: Parts) -> None:
    widget = Client(call.app, key_for(parts, "widget", "answer"))
    body = {"question": QUESTION, "text": TEXT, "documents": [DOCUMENT]}
    assert widget("POST", PATH, body).status_code == 403
    other = Client(call.app, key_for(parts, "other", workspace="elsewhere"))
    assert other("POST", PATH, body).status_code == 404


def test_what_is_personal_in_the_question_is_masked(call: Client) -> None:
    question = f"{QUESTION} Write to mara.lind@customer.example"
    assert pin(call, question=question)["question"] == redact(question)


def test_no_near_miss_of_the_examples_pairs_is_taken_for_the_same() -> None:
    """Precision comes first: a paraphrase that is missed is answered as ever."""
    rows = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    same = reader().same
    missed = [row for row in rows if not row["same"] and same(row["approved"], row["asked"], "en")]
    assert missed == []
    found = [same(row["approved"], row["asked"], "en") for row in rows if row["same"]]
    assert sum(found) / len(found) >= 0.25


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("How do I cancel my subscription?", "cancel subscription how"),
        ("How much does the Creek plan cost?", "what's the price of Creek"),
        ("Do you support single sign-on?", "is there SSO"),
        ("Was kostet der Creek-Tarif?", "was kostet der creek-tarif"),
    ],
)
def test_other_words_for_the_same(one: str, two: str) -> None:
    assert reader().same(one, two, "en")
    assert reader().same(two, one, "en")


def test_a_house_adds_its_words() -> None:
    one, two = "How do I open a sluice?", "How do I open a gate?"
    assert not reader().same(one, two, "en")
    assert reader((("sluice", "gate"),)).same(one, two, "en")
