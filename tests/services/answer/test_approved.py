"""What behaviour learns from: answers that people approved, their passages, and agents' replies."""

from typing import Any

import pytest

from services.answer.pipeline import Parts
from tests.services.answer.edge import HACKED, ROLL, Client, key_for
from tests.services.standalone.serving import needs_weights

pytestmark = needs_weights

SECRETS = "help/articles/rotate-signing-secret.md"


def ask(call: Client, message: str = ROLL, **more: Any) -> Any:
    return call("POST", "/v1/chat", {"message": message, **more}).json()


def test_the_passages_of_an_answer_can_be_read_as_they_were_packed(call: Client) -> None:
    answer = ask(call)
    record = call("GET", f"/v1/answers/{answer['answer_id']}").json()
    packed = call("GET", f"/v1/answers/{answer['answer_id']}/packed").json()
    assert [passage["chunk"] for passage in packed["passages"]] == record["packed"]
    assert [passage["n"] for passage in packed["passages"]] == list(range(1, packed["packed"] + 1))
    for citation in answer["citations"]:
        assert any(
            citation["quote"] in passage["text"]
            and citation["document"] == passage["document"]
            and citation["version"] == passage["version"]
            for passage in packed["passages"]
        )


def test_the_latest_rating_of_an_answer_counts(call: Client) -> None:
    good, better, withdrawn = (ask(call)["answer_id"] for _ in range(3))
    for id, rating in ((good, "up"), (withdrawn, "up"), (better, "down"), (better, "up"),
                       (withdrawn, "down")):  # fmt: skip
        call("POST", "/v1/feedback", {"answer_id": id, "rating": rating})
    found = call("GET", "/v1/feedback?rating=up").json()["ratings"]
    assert [each["answer_id"] for each in found] == [good, better]
    rest = call("GET", f"/v1/feedback?rating=up&after={found[0]['id']}").json()["ratings"]
    assert [each["answer_id"] for each in rest] == [better]
    assert call("GET", "/v1/feedback?limit=1").json()["ratings"] == found[:1]


def test_a_page_is_filled_with_what_the_caller_may_see(call: Client, parts: Parts) -> None:
    """A page cut short by what others were told would look like the last one."""
    for audience in ("internal", "internal", "public", "public"):
        id = ask(call, audience=[audience])["answer_id"]
        call("POST", "/v1/feedback", {"answer_id": id, "rating": "up"})
    every = call("GET", "/v1/feedback").json()["ratings"]
    outside = Client(call.app, key_for(parts, "crm", "admin", audiences=["customer"]))
    assert outside("GET", "/v1/feedback?limit=2").json()["ratings"] == every[2:]
    assert len(every) == 4


def test_an_agents_reply_is_kept_with_its_handoff(call: Client) -> None:
    answer = ask(call, HACKED)
    handoff = call("GET", "/v1/handoffs").json()["handoffs"][0]["id"]
    said = {"text": "Roll the secret. Both work for 12 hours. [1]", "documents": [SECRETS]}
    first = call("POST", f"/v1/handoffs/{handoff}/reply", said)
    assert first.status_code == 201
    assert first.json()["action"] == "ANSWER"
    own = call("POST", f"/v1/handoffs/{handoff}/reply", {"text": "To them.", "action": "ESCALATE"})
    assert (own.json()["team"], own.json()["reason"]) == ("security", "account_takeover")
    found = call("GET", "/v1/handoffs/replies").json()["replies"]
    assert found == [first.json(), own.json()]
    assert {each["answer_id"] for each in found} == {answer["answer_id"]}
    after = call("GET", f"/v1/handoffs/replies?after={found[0]['id']}").json()["replies"]
    assert after == found[1:]
    call("DELETE", f"/v1/conversations/{answer['conversation_id']}")
    assert call("GET", "/v1/handoffs/replies").json()["replies"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": " "}, 422),
        ({"text": "As said. [2]", "documents": [SECRETS]}, 422),
        ({"text": "No.", "documents": ["no-slash"]}, 422),
        ({"text": "No.", "action": "ESCALATE", "reason": "bad_mood"}, 422),
        ({"text": "No.", "action": "DECLINE", "reason": "data_request"}, 422),
    ],
)
def test_a_reply_that_cannot_be_learned_from_is_a_problem(
    call: Client, body: dict[str, Any], status: int
) -> None:
    ask(call, HACKED)
    handoff = call("GET", "/v1/handoffs").json()["handoffs"][0]["id"]
    assert call("POST", f"/v1/handoffs/{handoff}/reply", body).status_code == status
    assert call("GET", "/v1/handoffs/replies").json()["replies"] == []


def test_nobody_else_reads_or_writes_them(call: Client, parts: Parts) -> None:
    answer = ask(call, HACKED)
    call("POST", "/v1/feedback", {"answer_id": answer["answer_id"], "rating": "up"})
    handoff = call("GET", "/v1/handoffs").json()["handoffs"][0]["id"]
    reply = f"/v1/handoffs/{handoff}/reply"
    call("POST", reply, {"text": "Told by us."})
    other = Client(call.app, key_for(parts, "other", workspace="elsewhere"))
    assert other("POST", reply, {"text": "Told by them."}).status_code == 404
    assert other("GET", "/v1/handoffs/replies").json()["replies"] == []
    assert other("GET", "/v1/feedback").json()["ratings"] == []
    assert other("GET", f"/v1/answers/{answer['answer_id']}/packed").status_code == 404
    widget = Client(call.app, key_for(parts, "widget", "answer", "feedback"))
    assert widget("POST", reply, {"text": "Taught by a customer."}).status_code == 403
    assert widget("GET", "/v1/feedback").status_code == 403
