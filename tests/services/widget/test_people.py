"""A person takes over: from asking for one to closing, as both sides see it."""

import asyncio
import threading
import time
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import update

from tests.services.answer.asking import QUESTION
from tests.services.widget.visiting import Following, Visitor, World
from twofold.errors import Unavailable
from twofold.ledger.widget import Thread
from twofold.metrics import HANDOFF_FIRST_REPLY

NEVER = {"timezone": "UTC", "week": {}}


def waiting(here: World, **site: object) -> tuple[Visitor, str]:
    """A visitor who asked for a person, and the id of the card at the desk."""
    visitor = here.visitor(here.site(**site))
    visitor.ask(QUESTION)
    asked = visitor("POST", "/handoff", {"consent": True, "message": "Please help me here."})
    assert asked.status_code == 201, asked.text
    return visitor, asked.json()["thread_id"]


def taken(here: World) -> tuple[Visitor, str]:
    visitor, id = waiting(here)
    assert here.desk("POST", f"/handoffs/{id}/take", {"name": "Anna"}).status_code == 200
    return visitor, id


def test_from_asking_for_a_person_to_the_end_of_it(here: World) -> None:
    visitor = here.visitor(here.site())
    answer = visitor.ask(QUESTION)
    first_replies = HANDOFF_FIRST_REPLY._sum.get()
    with visitor.following() as following:
        following.until("item", kind="question")
        asked = visitor("POST", "/handoff", {"consent": True, "message": "It still fails."}).json()
        assert asked["state"] == "queued"
        assert following.until("state", state="queued")["handoff"]["team"]

        card = next(c for c in queue(here) if c["id"] == asked["thread_id"])
        assert (card["state"], card["agent"]) == ("queued", None)
        detail = here.desk("GET", f"/handoffs/{card['id']}").json()
        said = [item.get("text") for item in detail["items"] if item["kind"] != "state"]
        assert said == [QUESTION, "It still fails."]
        assert detail["question"] == "It still fails."
        assert detail["summary"]
        assert detail["suggested_reply"]
        assert detail["sources"][0]["title"] == answer["citations"]["citations"][0]["title"]

        here.desk("POST", f"/handoffs/{card['id']}/take", {"name": "Anna"})
        assert following.until("state", state="taken")["handoff"]["agent"] == "Anna"
        here.desk("POST", f"/handoffs/{card['id']}/typing", {"typing": True})
        assert following.until("typing", typing=True)["name"] == "Anna"
        said = {"id": str(uuid4()), "text": "Hello, I looked at it."}
        assert here.desk("POST", f"/handoffs/{card['id']}/reply", said).status_code == 201
        heard = following.until("item", kind="message")
        assert (heard["from"], heard["name"], heard["text"]) == ("agent", "Anna", said["text"])
        assert HANDOFF_FIRST_REPLY._sum.get() > first_replies

        here.desk("POST", f"/handoffs/{card['id']}/close", {})
        following.until("state", state="closed")
    again = visitor("POST", "/handoff/reopen", {"message": "One more thing."}).json()
    assert again["state"] == "reopened"
    assert again["items"][-1]["text"] == "One more thing."


def queue(here: World, state: str = "open") -> list[dict[str, object]]:
    found: list[dict[str, object]] = here.desk("GET", f"/handoffs?state={state}").json()["handoffs"]
    return found


def test_a_person_is_asked_for_with_consent_alone(here: World) -> None:
    visitor = here.visitor(here.site())
    for body in ({}, {"consent": False}, {"consent": "no"}):
        assert visitor("POST", "/handoff", body).status_code == 422
    assert visitor.thread()["state"] == "assistant"
    assert visitor("POST", "/handoff", {"consent": True}).status_code == 201
    assert visitor("POST", "/handoff", {"consent": True}).status_code == 200, "asked for already"


def test_while_a_person_has_it_what_is_written_goes_to_them(here: World) -> None:
    visitor, id = taken(here)
    written = visitor("POST", "/messages", {"id": str(uuid4()), "text": "Are you there?"})
    assert written.status_code == 202
    detail = here.desk("GET", f"/handoffs/{id}").json()
    assert detail["items"][-1]["text"] == "Are you there?"
    assert detail["question"] == "Are you there?"


def test_the_desk_hears_of_everything_as_it_happens(here: World) -> None:
    visitor, id = taken(here)

    with httpx.stream("GET", f"{here.url}/desk/v1/events", timeout=30) as stream:
        desk = Following(stream)
        assert id in [card["id"] for card in desk.until("queue")["handoffs"]]
        visitor("POST", "/typing", {"typing": True})
        assert desk.until("typing", handoff_id=id)["typing"]
        visitor("POST", "/messages", {"id": str(uuid4()), "text": "Hello?"})
        assert desk.until("item", handoff_id=id)["item"]["text"] == "Hello?"
        newcomer, other = waiting(here)
        assert desk.until("card", id=other)["state"] == "queued"
        newcomer("POST", "/handoff/close")
        assert desk.until("card", id=other, state="assistant")


def test_two_agents_do_not_take_the_same_visitor(here: World) -> None:
    _, id = taken(here)
    refused = here.desk("POST", f"/handoffs/{id}/take", {"name": "Ben"})
    assert refused.status_code == 409
    assert "Anna" in refused.json()["detail"]
    forced = here.desk("POST", f"/handoffs/{id}/take", {"name": "Ben", "force": True})
    assert forced.json()["agent"] == "Ben"


def test_nobody_replies_to_what_they_did_not_take(here: World) -> None:
    _, id = waiting(here)
    body = {"id": str(uuid4()), "text": "Hello"}
    assert here.desk("POST", f"/handoffs/{id}/reply", body).status_code == 409


def test_a_reply_that_is_sent_twice_is_said_once(here: World) -> None:
    visitor, id = taken(here)
    body = {"id": str(uuid4()), "text": "Hello"}
    senders = [
        threading.Thread(target=here.desk, args=("POST", f"/handoffs/{id}/reply", body))
        for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [i["text"] for i in visitor.thread()["items"] if i["kind"] == "message"][1:] == ["Hello"]


def test_taking_over_and_replying_are_one_thing_unread(here: World) -> None:
    visitor, id = waiting(here)
    visitor("POST", "/read", {"seq": visitor.thread()["seq"]})
    here.desk("POST", f"/handoffs/{id}/take", {"name": "Anna"})
    here.desk("POST", f"/handoffs/{id}/reply", {"id": str(uuid4()), "text": "Hello"})
    assert visitor.thread()["unread"] == 1


def test_back_to_the_assistant_means_that_it_answers_again(here: World) -> None:
    visitor, id = taken(here)
    here.desk("POST", f"/handoffs/{id}/return", {})
    assert visitor.thread()["state"] == "assistant"
    assert visitor.ask(QUESTION).text


def test_after_closing_the_next_question_is_the_assistant_s(here: World) -> None:
    visitor, id = taken(here)
    here.desk("POST", f"/handoffs/{id}/close", {})
    assert visitor.ask(QUESTION).text
    assert visitor.thread()["state"] == "assistant"


def test_out_of_hours_an_address_is_asked_for(here: World) -> None:
    visitor = here.visitor(here.site(hours=NEVER, handoff={"email": "required"}))
    assert visitor.session["office"]["open"] is False
    assert visitor("POST", "/handoff", {"consent": True}).status_code == 422
    body = {"consent": True, "email": "no address"}
    assert visitor("POST", "/handoff", body).status_code == 422
    asked = visitor("POST", "/handoff", {"consent": True, "email": "mara@example.com"})
    assert asked.json()["state"] == "offhours"
    card = here.desk("GET", f"/handoffs/{asked.json()['thread_id']}").json()
    assert (card["state"], card["email"]) == ("offhours", "mara@example.com")
    packets = [each["packet"] for each in httpx.get(f"{here.url}/v1/handoffs").json()["handoffs"]]
    assert "mara@example.com" in [each["contact"] for each in packets], "other desks get it, too"


def test_an_address_can_be_left_later(here: World) -> None:
    visitor, id = waiting(here)
    body = {"email": "mara@example.com"}
    assert visitor("POST", "/handoff/contact", body).status_code == 204
    assert here.desk("GET", f"/handoffs/{id}").json()["email"] == body["email"]


def test_what_the_assistant_hands_over_waits_for_a_person_at_once(here: World) -> None:
    visitor = here.visitor(here.site())
    told = visitor.ask("My account was hacked and someone changed my password")
    assert told["action"]["action"] == "ESCALATE"
    assert told["state"]["state"] == "queued"
    card = here.desk("GET", f"/handoffs/{visitor.thread()['thread_id']}").json()
    assert (card["team"], card["reason"]) == ("security", "account_takeover")


HACKED = "My account was hacked and someone changed my password"
A_PERSON = "Can I talk to a real person please"


@pytest.mark.parametrize("said", [(HACKED, A_PERSON), (A_PERSON, HACKED)])
def test_a_wish_for_a_person_does_not_outweigh_what_is_the_matter(
    here: World, said: tuple[str, str]
) -> None:
    visitor = here.visitor(here.site())
    for each in said:
        told = visitor.ask(each)
        assert told["action"]["action"] == "ESCALATE"
    assert told["state"]["handoff"]["reason"] == "account_takeover"
    card = here.desk("GET", f"/handoffs/{visitor.thread()['thread_id']}").json()
    assert (card["team"], card["reason"]) == ("security", "account_takeover")
    first, further, *_ = card["summary"].splitlines()
    assert first.startswith("For security: ")
    # Who has the matter in hand gets the wish as well.
    wish = "Since then, for security" if said[0] == HACKED else "Before that, for support"
    assert further == f"{wish}: The customer asks for a person instead of the assistant."


def test_an_edited_reply_becomes_a_row_to_learn_from(here: World) -> None:
    _, id = taken(here)
    document = here.desk("GET", f"/handoffs/{id}").json()["sources"][0]["document"]
    body = {
        "id": str(uuid4()),
        "text": "Both secrets work for 12 hours. [1]",
        "learn": True,
        "documents": [document],
    }
    assert here.desk("POST", f"/handoffs/{id}/reply", body).json()["learned"]

    replies = httpx.get(f"{here.url}/v1/handoffs/replies").json()["replies"]
    assert body["text"] in [each["text"] for each in replies]


def test_what_came_by_the_api_is_at_the_desk_and_can_be_learned_from(here: World) -> None:

    made = httpx.post(f"{here.url}/v1/handoffs", json={"message": "Call me"}).json()
    card = next(c for c in queue(here) if c["id"] == made["id"])
    assert (card["state"], card["thread_id"]) == ("external", None)
    assert here.desk("GET", f"/handoffs/{made['id']}").json()["items"][0]["text"] == "Call me"
    body = {"id": str(uuid4()), "text": "We call you.", "learn": True}
    assert here.desk("POST", f"/handoffs/{made['id']}/reply", body).json()["learned"]


def test_a_conversation_that_is_deleted_is_gone_here_as_well(here: World) -> None:
    visitor, id = waiting(here)

    conversation = here.widget.threads.get(id).conversation_id
    assert httpx.delete(f"{here.url}/v1/conversations/{conversation}").status_code == 204
    assert visitor.thread()["items"] == []
    assert here.desk("GET", f"/handoffs/{id}").status_code == 404


def test_a_customer_gets_what_people_wrote_and_may_have_it_gone(here: World) -> None:
    site = here.site()
    token = here.identity(site, sub="customer-77", name="Mara", email="mara@example.com")
    visitor = here.visitor(site, identity=token)
    visitor.ask(QUESTION)
    id = visitor("POST", "/handoff", {"consent": True}).json()["thread_id"]
    here.desk("POST", f"/handoffs/{id}/take", {"name": "Anna"})
    visitor("POST", "/messages", {"id": str(uuid4()), "text": "Are you there?"})
    path = f"{here.url}/v1/customers/customer-77"
    (kept,) = httpx.get(f"{path}/export").json()["conversations"]
    assert [each["text"] for each in kept["messages"]] == ["Are you there?"]
    assert httpx.delete(path).status_code == 204
    assert visitor("GET", "/thread").status_code == 401
    assert here.desk("GET", f"/handoffs/{id}").status_code == 404
    assert httpx.get(f"{path}/export").status_code == 404


@pytest.mark.parametrize("enabled", [True, False])
def test_a_site_may_have_nobody(here: World, enabled: bool) -> None:
    visitor = here.visitor(here.site(handoff={"enabled": enabled}))
    assert visitor("POST", "/handoff", {"consent": True}).status_code == (201 if enabled else 409)


def test_a_site_s_retention_takes_all_that_is_due(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = here.site(retention_days=1)
    visitors = [here.visitor(site) for _ in range(3)]
    for visitor in visitors:
        visitor("POST", "/handoff", {"consent": True})
    with here.widget.ledger.session() as session:
        due = update(Thread).where(Thread.site_id == site.id)
        session.execute(due.values(changed_at=time.time() - 2 * 86_400))
    monkeypatch.setattr("services.widget.threads.MOST_ITEMS", 2)
    asyncio.run(here.widget.forget_old())
    assert [visitor.thread()["items"] for visitor in visitors] == [[], [], []]


def test_a_name_is_shown_as_it_is_read(here: World) -> None:
    visitor = here.visitor(here.site())
    asked = visitor("POST", "/handoff", {"consent": True, "name": "Eve\u202e\0 lived"})
    assert asked.status_code == 201
    id = visitor.thread()["thread_id"]
    assert here.desk("GET", f"/handoffs/{id}").json()["visitor"] == "Eve lived"


def test_a_site_s_retention_takes_threads_and_answers_away(here: World) -> None:
    visitor = here.visitor(here.site(retention_days=1))
    path = f"{here.url}/v1/conversations/{visitor.ask(QUESTION)['meta']['conversation_id']}"
    recent = here.visitor(visitor.site)
    recent.ask(QUESTION)
    old = update(Thread).where(Thread.id == visitor.thread()["thread_id"])
    with here.widget.ledger.session() as session:
        session.execute(old.values(changed_at=time.time() - 2 * 86_400))
    assert httpx.get(path).status_code == 200
    asyncio.run(here.widget.forget_old())
    assert httpx.get(path).status_code == 404
    assert visitor.thread()["items"] == []
    assert len(recent.thread()["items"]) == 1


def unsearchable(*_: object) -> None:
    raise Unavailable("The index does not answer.")


def test_the_desk_tells_a_search_that_failed_from_sources_that_hold_no_answer(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap, failed = here.visitor(here.site()), here.visitor(here.site())
    gap.ask("Which colours does the zeppelin come in?")
    with monkeypatch.context() as patch:
        patch.setattr(here.parts.stack.index, "search", unsearchable)
        failed.ask(QUESTION)
        body = {"message": QUESTION}
        by_api = httpx.post(f"{here.url}/v1/chat", json=body, timeout=30).json()
    handoffs = httpx.get(f"{here.url}/v1/handoffs").json()["handoffs"]
    ids = {each["answer_id"]: each["id"] for each in handoffs}
    cards = {card["id"]: card for card in queue(here)}
    searched = {
        name: cards[id]["searched"]
        for name, id in {
            "gap": gap.thread()["thread_id"],
            "failed": failed.thread()["thread_id"],
            "by the API": ids[by_api["answer_id"]],
        }.items()
    }
    assert {card["reason"] for card in cards.values()} >= {"not_in_sources"}
    assert searched == {"gap": True, "failed": False, "by the API": False}


def test_who_was_handed_over_by_the_api_comes_to_an_open_desk(here: World) -> None:
    with httpx.stream("GET", f"{here.url}/desk/v1/events", timeout=30) as stream:
        desk = Following(stream)
        desk.until("queue")
        visitor = here.visitor(here.site())
        visitor.ask("My account was hacked and someone changed my password")
        thread = visitor.thread()["thread_id"]
        wish = {"message": "Please call me.", "contact": "mara@example.com"}
        made = httpx.post(f"{here.url}/v1/handoffs", json=wish, timeout=30).json()
        cards = []
        while not cards or cards[-1]["id"] != made["id"]:
            cards.append(desk.until("card"))
        reply = {"id": str(uuid4()), "text": "I called you.", "name": "Anna"}
        assert here.desk("POST", f"/handoffs/{made['id']}/reply", reply).status_code == 201
        assert desk.until("card", id=made["id"])["state"] == "closed"
    assert (cards[-1]["state"], cards[-1]["question"]) == ("external", "Please call me.")
    assert cards[-1]["email"] == "mara@example.com"
    assert made["id"] not in [card["id"] for card in queue(here)]
    assert made["id"] in [card["id"] for card in queue(here, "closed")]
    assert [card["id"] for card in cards if card["state"] == "external"] == [made["id"]]
    assert thread in [card["id"] for card in cards], "a widget's own comes as its thread alone"
