"""A person takes over: asked for, waited for, taken over, typed to, closed, reopened."""

import re
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import expect

from services.widget.sites import Placed
from tests.e2e.widget.browsing import DeskVisit, Opened, Visit
from tests.e2e.widget.serving import Place
from tests.e2e.widget.test_accessibility import AT_REST
from tests.servers import wait_until
from twofold.errors import Unavailable

ROLL = "How long does the old signing secret keep working after I roll it?"
HACKED = "Somebody took over my account and changed the password, says the API"
CONTRAST = """(node) => {
  const light = (color) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data]
      .map((each) => each / 255)
      .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const { color, backgroundColor } = getComputedStyle(node);
  const both = [light(color), light(backgroundColor)];
  return Math.max(...both) / Math.min(...both);
}"""
"""Of a text to what lies behind it, as WCAG counts it."""


def test_a_person_is_asked_for_takes_over_and_replies(chat: Visit, desk: DeskVisit) -> None:
    chat.ask(ROLL)
    chat.ask_person(Anything_to_add="Is that also true for Brook?", Your_name="Noor A")
    expect(chat.app.get_by_role("heading", name="A person will answer here")).to_be_visible()
    desk.pick("Noor A")
    talk = desk.page.locator(".transcript")
    expect(talk).to_contain_text("Is that also true for Brook?")
    expect(chat.app.locator(".bubble").last).to_have_text("Is that also true for Brook?")
    expect(talk).to_contain_text(ROLL)
    expect(talk.locator(".change")).to_contain_text("Asked for a person")
    expect(talk).to_contain_text("12 hours")
    expect(desk.page.locator(".aside")).to_contain_text(
        "asks for a person instead of the assistant"
    )
    expect(desk.page.locator("#reply")).to_be_disabled()
    desk.take()
    expect(chat.app.locator(".presence")).to_have_text("Mara Lind is with you")
    desk.page.locator("#reply").press_sequentially("Yes")
    expect(chat.app.get_by_text("Mara Lind is writing")).to_be_visible()
    desk.reply("Yes, **12 hours** everywhere.")
    said = chat.app.locator(".by-agent")
    expect(said.locator("strong")).to_have_text("12 hours")
    expect(chat.app.locator("[role=status]").last).to_have_text(
        "Mara Lind: Yes, 12 hours everywhere."
    )
    chat.app.locator("#message").press_sequentially("Tha")
    expect(talk.get_by_text("Noor A is writing")).to_be_visible()
    chat.write("Thanks!")
    expect(talk.get_by_text("Thanks!")).to_be_visible()
    desk.press("Close")
    expect(chat.app.get_by_role("heading", name="This conversation is closed")).to_be_visible()
    chat.button_named("Open it again").click()
    expect(chat.app.get_by_text("Conversation reopened")).to_be_visible()
    desk.pick("Noor A").take()
    desk.press("Back to the assistant")
    expect(chat.app.get_by_text("The assistant answers again")).to_be_visible()
    chat.ask(ROLL)


def test_an_answer_that_hands_over_shows_it(chat: Visit, desk: DeskVisit) -> None:
    chat.write("My account was hacked and someone changed my password, call me Ida")
    expect(chat.app.get_by_role("heading", name="A person will answer here")).to_be_visible()
    desk.pick("call me Ida")
    expect(desk.page.locator(".aside")).to_contain_text("security")
    expect(desk.page.locator(".change")).to_contain_text("Handed over by the assistant")
    expect(desk.page.locator(".detail-head")).to_contain_text("Handed over")


def test_the_desk_tells_the_assistants_words_from_the_customers_in_what_came_by_the_api(
    visits: Opened, place: Place
) -> None:
    told = httpx.post(f"{place.alone}/v1/chat", json={"message": HACKED}, timeout=60).json()
    assert told["action"] == "ESCALATE"
    desk = DeskVisit(visits(viewport={"width": 1280, "height": 900}).page).open(place.our)
    desk.pick(HACKED)
    said = desk.page.locator(".transcript .said")
    expect(said).to_have_count(2)
    expect(said.nth(0)).to_contain_text(HACKED)
    expect(said.nth(0).locator("h3")).to_contain_text("Visitor")
    expect(said.nth(1).locator("h3")).to_contain_text("Assistant")
    expect(said.nth(1)).to_have_class("said ours assistant")
    expect(desk.page.locator(".aside")).not_to_contain_text("account_takeover")


def test_what_comes_by_the_api_appears_and_is_done_once_it_is_answered(
    desk: DeskVisit, place: Place
) -> None:
    wish = {"message": "Please call me about invoice 4711.", "contact": "noor@shop.example"}
    made = httpx.post(f"{place.alone}/v1/handoffs", json=wish, timeout=60)
    assert made.status_code == 201
    desk.pick("invoice 4711")
    expect(desk.page.locator(".aside")).to_contain_text("noor@shop.example")
    desk.reply("I called you.")
    expect(desk.page.locator(".reply .callout")).to_contain_text("This one is done.")
    expect(desk.page.locator(".card", has_text="invoice 4711")).to_have_count(0)
    expect(desk.page.locator(".problem")).to_have_count(0)
    desk.pick("invoice 4711", tab="Closed")


def test_what_came_by_the_api_is_closed_without_a_reply(desk: DeskVisit, place: Place) -> None:
    wish = {"message": "Never mind invoice 4712."}
    made = httpx.post(f"{place.alone}/v1/handoffs", json=wish, timeout=60).json()
    desk.pick("invoice 4712")
    desk.press("Close")
    expect(desk.page.locator(".reply .callout")).to_contain_text("This one is done.")
    expect(desk.page.locator(".card", has_text="invoice 4712")).to_have_count(0)
    expect(desk.page.get_by_role("button", name="Close", exact=True)).to_have_count(0)
    desk.pick("invoice 4712", tab="Closed")
    now = httpx.get(f"{place.alone}/v1/handoffs/{made['id']}", timeout=60).json()
    assert (now["closed"], now["replied"]) == (True, False)


def test_a_draft_waits_while_another_hand_off_is_looked_at(
    visits: Opened, site: Placed, place: Place, desk: DeskVisit
) -> None:
    one, other = (visits().go(place.page(site)).open() for _ in range(2))
    one.ask_person(Your_name="First Comer")
    other.ask_person(Your_name="Second Comer")
    desk.pick("First Comer").take()
    desk.page.locator("#reply").fill("Dear First,")
    desk.pick("Second Comer").take()
    expect(desk.page.locator("#reply")).to_have_value("")
    one.app.locator("#message").press_sequentially("Hello?")
    one.app.locator("#message").press("Enter")
    card = desk.page.locator(".card", has_text="First Comer")
    expect(card).to_contain_text("Hello?")
    expect(card.locator(".tags")).to_contain_text("new message")
    desk.pick("First Comer", tab="Active")
    expect(desk.page.locator("#reply")).to_have_value("Dear First,")
    expect(card.locator(".tags")).not_to_contain_text("new message")
    desk.press("Close")
    desk.press("Take over")
    expect(one.app.locator(".presence")).to_have_text("Mara Lind is with you")


def test_a_failed_search_is_not_called_a_gap_in_the_sources(
    chat: Visit, desk: DeskVisit, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(place.parts.stack.index), "search", _fails)
        chat.write("Which ports does the relay of the search that fails use?")
        expect(chat.app.get_by_role("heading", name="A person will answer here")).to_be_visible()
    card = desk.page.locator(".card", has_text="the search that fails")
    expect(card.locator(".tags")).to_have_text("search failed")


def _fails(*_: object) -> None:
    raise Unavailable("The index does not answer.")


def test_on_a_phone_nothing_lies_over_the_form_of_a_hand_over(
    visits: Opened, site: Placed, place: Place
) -> None:
    phone = {"viewport": {"width": 360, "height": 700}, "is_mobile": True, "has_touch": True}
    chat = visits(**phone).go(place.page(site)).open()
    chat.ask(ROLL)
    chat.ask("How do I invite a member?")
    chat.app.locator(".thread").evaluate("each => each.scrollTo({ top: 0, behavior: 'instant' })")
    chat.ask_person()
    field = chat.app.get_by_label("E-mail address")
    expect(field).to_be_in_viewport(ratio=1)
    expect(chat.app.get_by_role("button", name="Save")).to_be_in_viewport(ratio=1)
    expect(chat.app.locator(".below")).to_have_count(0)


def test_no_word_of_a_tab_is_broken(desk: DeskVisit) -> None:
    lines = """each => {
        const range = document.createRange();
        range.selectNodeContents(each.firstChild);
        return range.getClientRects().length;
    }"""
    tabs = desk.page.locator(".tabs button").all()
    assert [tab.evaluate(lines) for tab in tabs] == [1, 1, 1]


def test_the_demo_page_shows_its_tag_whole_and_leads_to_desk_and_console(
    visits: Opened, place: Place
) -> None:
    page = visits(viewport={"width": 1280, "height": 900}).go(place.alone).page
    tag = page.locator("pre")
    expect(tag).to_contain_text("loader.js?site=")
    assert tag.evaluate("each => each.scrollWidth <= each.clientWidth")
    links = page.get_by_role("navigation", name="Links")
    expect(links.get_by_role("link", name="Desk")).to_have_attribute("href", "/desk")
    expect(links.get_by_role("link", name="Console")).to_have_attribute("href", "/console")


def test_a_suggested_reply_is_used_and_kept_as_an_example(
    chat: Visit, desk: DeskVisit, place: Place
) -> None:
    chat.ask(ROLL)
    chat.ask_person(Your_name="Sugar")
    desk.pick("Sugar").take()
    desk.press("Use it")
    expect(desk.page.locator("#reply")).to_have_value(re.compile("12 hours"))
    desk.page.locator("#reply").fill("It is 12 hours. [1]")
    desk.page.get_by_label("Keep as an example").check()
    desk.press("Send")
    expect(chat.app.locator(".by-agent")).to_contain_text("It is 12 hours.")

    def last() -> str:
        replies = desk.page.request.get(f"{place.alone}/v1/handoffs/replies").json()["replies"]
        return str(replies[-1]["text"])

    # The customer reads it before it is kept.
    wait_until(lambda: last() == "It is 12 hours. [1]", "the reply is kept")


def test_out_of_hours_an_address_is_asked_for(visit: Visit, place: Place, desk: DeskVisit) -> None:
    closed = {"timezone": "UTC", "week": {}, "closed": []}
    away = datetime.now(UTC).strftime("%a").lower()
    week = {
        day: [["09:00", "17:00"]]
        for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        if day != away
    }
    site = place.site(hours={**closed, "week": week}, handoff={"email": "required"})
    visit.go(place.page(site)).open()
    visit.write("I want to talk to a person")
    expect(visit.app.get_by_role("heading", name="We will get back to you")).to_be_visible()
    expect(visit.app.locator(".card")).to_contain_text("We are back")
    visit.app.get_by_label("E-mail address").fill("nobody")
    visit.button_named("Save").click()
    expect(visit.app.get_by_text("Enter an e-mail address")).to_be_visible()
    visit.app.get_by_label("E-mail address").fill("noor@shop.example")
    visit.button_named("Save").click()
    expect(visit.app.get_by_text("We also write to noor@shop.example")).to_be_visible()
    desk.pick("noor@shop.example")
    expect(desk.page.locator(".card[aria-current=true]")).to_contain_text("out of hours")


def test_nothing_is_handed_over_without_the_visitors_word(chat: Visit) -> None:
    chat.ask(ROLL)
    chat.button_named("Talk to a person").click()
    expect(chat.app.get_by_text("We pass this conversation to our team")).to_be_visible()
    chat.button_named("Not now").click()
    expect(chat.app.locator(".presence")).to_have_text("Answers at once, with sources")
    expect(chat.button_named("Talk to a person")).to_be_focused()


def test_an_agents_message_is_counted_while_the_chat_is_closed(
    chat: Visit, desk: DeskVisit
) -> None:
    chat.ask(ROLL)
    chat.ask_person(Your_name="Closed Chat")
    chat.button_named("Close the chat").click()
    desk.pick("Closed Chat").take()
    desk.reply("Are you there?")
    badge = chat.page.locator(".twofold i")
    expect(badge).to_have_text("1")
    expect(chat.button).to_have_accessible_name(re.compile(r"Chat \(1\)"))
    chat.page.reload()
    expect(badge).to_have_text("1")
    chat.open()
    expect(badge).to_be_empty()
    expect(chat.app.locator(".by-agent")).to_contain_text("Are you there?")


def test_the_visitor_goes_back_to_the_assistant(chat: Visit) -> None:
    chat.ask(ROLL)
    chat.ask_person(Your_name="Back")
    chat.button_named("Back to the assistant").first.click()
    expect(chat.app.locator(".presence")).to_have_text("Answers at once, with sources")
    chat.ask("How do I invite a member?")


def test_another_agent_takes_over_only_on_purpose(chat: Visit, desk: DeskVisit) -> None:
    chat.ask(ROLL)
    chat.ask_person(Your_name="Two Agents")
    desk.pick("Two Agents").take()
    desk.page.get_by_role("button", name="Signed in as").click()
    desk.page.get_by_label("Your name").fill("")
    go = desk.page.get_by_role("button", name="Continue")
    expect(go).to_be_disabled()
    desk.page.evaluate(AT_REST)
    assert go.evaluate(CONTRAST) > 3
    desk.page.get_by_label("Your name").fill("Ole Berg")
    desk.press("Continue")
    desk.pick("Two Agents", tab="Active")
    expect(desk.page.locator("#reply")).to_be_disabled()
    desk.press("Take over from Mara Lind")
    expect(chat.app.locator(".presence")).to_have_text("Ole Berg is with you")


def test_the_desk_asks_for_a_key_where_one_is_needed(visit: Visit, place: Place) -> None:
    visit.refused_on_purpose = True
    visit.page.route(
        "**/desk/v1/**",
        lambda route: (
            route.fulfill(
                status=401, json={"type": "urn:twofold:problem:unauthorized", "detail": "A key."}
            )
            if "tf_right" not in (route.request.headers.get("authorization") or "")
            else route.continue_(
                headers={k: v for k, v in route.request.headers.items() if k != "authorization"}
            )
        ),
    )
    visit.page.goto(f"{place.our}/desk")
    visit.page.get_by_label("API key").fill("tf_wrong")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_text("This key is not accepted.")).to_be_visible()
    visit.page.get_by_label("API key").fill("tf_right")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_label("Your name")).to_be_visible()


def test_the_desk_asks_again_who_is_there(visit: Visit, place: Place) -> None:
    visit.refused_on_purpose = True
    visit.page.route("**/desk/v1/me", lambda route: route.fulfill(status=503))
    visit.page.goto(f"{place.our}/desk")
    expect(visit.page.get_by_role("alert")).to_contain_text("That did not work")
    visit.page.unroute("**/desk/v1/me")
    expect(visit.page.get_by_label("Your name")).to_be_visible()
    expect(visit.page.locator(".problem")).to_have_count(0)


AT_ONCE = """const real = window.fetch;
window.fetch = (url, ...rest) => String(url).endsWith("/desk/v1/me")
  ? Promise.resolve(Response.json({ name: "" }))
  : real(url, ...rest);"""


def test_who_is_here_is_shown_however_soon_it_is_known(visits: Opened, place: Place) -> None:
    """Before the first picture is on the screen, as it was once in thirty times."""
    page = visits().page
    page.add_init_script(AT_ONCE)
    page.goto(f"{place.our}/desk")
    expect(page.get_by_label("Your name")).to_be_visible()
