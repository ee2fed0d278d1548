"""Asking through the widget: the stream, what is kept of it, and what is refused."""

import time
from uuid import uuid4

import httpx
import pytest

from services.widget.quota import quota_of
from services.widget.sources import preview
from tests.services.answer.asking import QUESTION
from tests.services.widget.visiting import World, world

HUMAN = "I want to speak to a human, please"


def test_an_answer_streams_and_is_read_back_with_its_sources(here: World) -> None:
    visitor = here.visitor(here.site())
    told = visitor.ask(QUESTION)
    assert [name for name, _ in told.events][:2] == ["meta", "action"]
    assert told.text == told["done"]["text"] != ""
    (item,) = visitor.thread()["items"]
    assert item["text"] == QUESTION
    assert item["status"] == "answered"
    assert item["answer"]["text"] == told.text
    assert item["answer"]["citations"] == told["citations"]["citations"] != []


def test_a_second_question_goes_on_with_the_conversation(here: World) -> None:
    visitor = here.visitor(here.site())
    first = visitor.ask(QUESTION)["meta"]["conversation_id"]
    assert visitor.ask("When are invoices issued?")["meta"]["conversation_id"] == first


def test_a_source_opens_at_the_quoted_words(here: World) -> None:
    visitor = here.visitor(here.site())
    done = visitor.ask(QUESTION)["done"]
    cited = done["citations"][0]
    source = visitor("GET", f"/sources/{done['answer_id']}/{cited['n']}").json()
    section = source["sections"][source["at"]]
    marked = [section["text"][start:end] for start, end in section["marks"]]
    assert [" ".join(each.split()) for each in marked] == [" ".join(cited["quote"].split())]
    assert source["current"]


def test_a_source_links_to_its_own_host_alone() -> None:
    text = (
        "See [plans](https://help.example.com/p), [this](https://evil.example/x) and"
        " https://evil.example/y. The quoted words."
    )
    cited = {
        "n": 1, "quote": "The quoted words.", "title": "T", "document": "help/a", "version": 1,
        "url": "https://help.example.com/a",
    }  # fmt: skip
    version = {"title": "T", "url": "", "live": True, "sections": [
        {"heading_path": ["T"], "text": text}]}  # fmt: skip
    shown = preview(cited, version)
    (section,) = shown.sections
    assert "[plans](https://help.example.com/p)" in section.text
    assert "evil.example/x" not in section.text
    assert "://evil.example" not in section.text
    ((begin, end),) = section.marks
    assert section.text[begin:end] == "The quoted words."


def test_nobody_opens_or_rates_the_answers_of_others(here: World) -> None:
    site = here.site()
    done = here.visitor(site).ask(QUESTION)["done"]
    other = here.visitor(site)
    assert other("GET", f"/sources/{done['answer_id']}/1").status_code == 404
    rated = other("POST", "/feedback", {"answer_id": done["answer_id"], "rating": "down"})
    assert rated.status_code == 404
    assert other.thread()["items"] == []


def test_a_rating_is_kept_and_shown_again(here: World) -> None:
    visitor = here.visitor(here.site())
    id = visitor.ask(QUESTION)["done"]["answer_id"]
    body = {"answer_id": id, "rating": "down", "comment": "too long"}
    assert visitor("POST", "/feedback", body).status_code == 201
    assert visitor.thread()["items"][0]["answer"]["rating"] == "down"


def test_a_stopped_answer_is_kept_as_far_as_it_was_shown(here: World) -> None:
    visitor, id = here.visitor(here.site()), str(uuid4())
    text = visitor.ask(QUESTION, id).text
    assert visitor("POST", f"/messages/{id}/stop", {"chars": 7}).status_code == 204
    (item,) = visitor.thread()["items"]
    assert (item["status"], item["answer"]["stopped"]) == ("stopped", 7)
    taken = visitor("GET", "/transcript").text
    assert text[:7].rstrip() in taken
    assert text not in taken


def test_a_message_id_means_one_text(here: World) -> None:
    visitor, id = here.visitor(here.site()), str(uuid4())
    first = visitor.ask(QUESTION, id)["done"]
    assert visitor.ask(QUESTION, id)["done"] == first
    assert len(visitor.thread()["items"]) == 1
    other = visitor("POST", "/messages", {"id": id, "text": "something else"})
    assert other.status_code == 422


def test_a_message_id_of_somebody_else_is_a_message_of_ones_own(here: World) -> None:
    site, id = here.site(), str(uuid4())
    first = here.visitor(site).ask(QUESTION, id)
    second = here.visitor(site).ask(QUESTION, id)
    for name in ("answer_id", "conversation_id"):
        assert first["meta"][name] != second["meta"][name]


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 5000])
def test_what_cannot_be_asked_is_refused_and_not_kept(here: World, text: str) -> None:
    visitor = here.visitor(here.site())
    refused = visitor("POST", "/messages", {"id": str(uuid4()), "text": text})
    assert refused.status_code == 422
    assert visitor.thread()["items"] == []


def test_a_new_conversation_leaves_the_old_one_behind(here: World) -> None:
    visitor = here.visitor(here.site())
    first = visitor.ask(QUESTION)["meta"]["conversation_id"]
    assert visitor("POST", "/threads").json()["items"] == []
    assert visitor.ask(QUESTION)["meta"]["conversation_id"] != first


def test_the_transcript_has_questions_answers_and_sources(here: World) -> None:
    visitor = here.visitor(here.site())
    told = visitor.ask(QUESTION)
    text = visitor("GET", "/transcript")
    assert "attachment" in text.headers["content-disposition"]
    for part in (QUESTION, told.text, told["citations"]["citations"][0]["title"]):
        assert part in text.text
    whole = visitor("GET", "/transcript?format=json").json()
    assert whole["items"][0]["answer"]["text"] == told.text


def test_consent_comes_before_the_first_question_where_it_is_asked_for(here: World) -> None:
    consent = {"text": {"en": "We keep what you write."}, "required": True}
    visitor = here.visitor(here.site(consent=consent))
    asked = {"id": str(uuid4()), "text": QUESTION}
    refused = visitor("POST", "/messages", asked)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith(":consent-needed")
    assert visitor("POST", "/consent", {"accepted": False}).status_code == 422
    assert visitor("POST", "/consent", {"accepted": True}).status_code == 204
    assert visitor("POST", "/messages", asked).status_code == 200


def test_a_day_has_so_many_questions_and_a_person_can_still_be_asked_for(here: World) -> None:
    site = here.site(daily_quota=2)
    visitor = here.visitor(site)
    assert visitor.session["quota_left"] == 2
    visitor.ask(QUESTION)
    here.visitor(site).ask(QUESTION)
    refused = here.visitor(site)("POST", "/messages", {"id": str(uuid4()), "text": QUESTION})
    assert refused.status_code == 429
    assert refused.json()["type"].endswith(":quota-exhausted")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert here.visitor(site).session["quota_left"] == 0
    assert visitor("POST", "/handoff", {"consent": True}).status_code == 201
    here.widget.sites.edit(site.id, {"daily_quota": 3})


def test_what_was_refused_or_asked_twice_does_not_count(here: World) -> None:
    visitor, id = here.visitor(here.site(daily_quota=2)), str(uuid4())
    visitor.ask(QUESTION, id)
    visitor.ask(QUESTION, id)
    visitor("POST", "/messages", {"id": str(uuid4()), "text": ""})
    visitor.ask(QUESTION)


def test_a_question_that_fails_gives_back_no_more_than_it_took(here: World) -> None:
    site = here.site(daily_quota=2)
    visitor, id = here.visitor(site), str(uuid4())
    threads, quota = here.widget.threads, quota_of(site, time.time())
    for _ in range(4):
        posted = threads.post(site.id, visitor.session["visitor"]["id"], id, QUESTION, quota)
        threads.failed(posted.thread.id, id, quota)
    assert here.visitor(site).session["quota_left"] == 2
    visitor.ask(QUESTION, id)
    assert here.visitor(site).session["quota_left"] == 1


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "x", ""])
def test_an_event_that_there_is_not_is_behind_none(here: World, number: str) -> None:
    visitor, id = here.visitor(here.site()), str(uuid4())
    answer_id = visitor.ask(QUESTION, id)["meta"]["answer_id"]
    body = {"id": id, "text": QUESTION}
    again = visitor("POST", "/messages", body, Last_Event_ID=f"{answer_id}:{number}")
    assert (again.status_code, again.text.count("event: done")) == (200, 1)
    assert visitor("GET", "/events?after=99999999999999999999").status_code == 422


def test_unread_is_what_came_since_the_visitor_looked(here: World) -> None:
    visitor = here.visitor(here.site())
    visitor.ask(QUESTION)
    thread = visitor.thread()
    assert thread["unread"] == 1
    visitor("POST", "/read", {"seq": thread["seq"]})
    assert visitor.thread()["unread"] == 0


@pytest.mark.heavy
def test_rates_are_counted_for_visitor_and_address(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("rates")
    with world(folder, widget_messages_per_minute=3, widget_address_per_minute=40) as found:
        site = found.site()
        noisy, calm = found.visitor(site), found.visitor(site)
        statuses = [
            noisy("POST", "/messages", {"id": str(uuid4()), "text": "Invoices?"}).status_code
            for _ in range(6)
        ]
        assert statuses == [200, 200, 200, 429, 429, 429]
        sly, heard = found.visitor(site), {"Last_Event_ID": "heard:7"}
        statuses = [
            sly("POST", "/messages", {"id": str(uuid4()), "text": "Fees?"}, **heard).status_code
            for _ in range(4)
        ]
        assert statuses == [200, 200, 200, 429]
        assert calm.ask(QUESTION).text
        refused = [calm("GET", "/thread") for _ in range(60)][-1]
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert httpx.get(f"{found.url}/healthz").status_code == 200
