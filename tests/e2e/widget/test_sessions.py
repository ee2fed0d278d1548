"""Who a visitor is, and that nobody else can be them."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest
from playwright.sync_api import APIResponse, Route, expect

from services.widget.sites import Placed
from tests.e2e.widget.browsing import DeskVisit, Opened, Visit
from tests.e2e.widget.serving import Place

ROLL = "How long does the old signing secret keep working after I roll it?"
CHARGEBACK = "At what amount does Brackwater start to contest a chargeback?"


ASKED = """(token) => {
  window.asked = 0;
  Twofold.identify(async () => { asked += 1; return token });
}"""
TOLD = """(token) => {
  window.told = [];
  Twofold.on("identified", () => told.push(1));
  Twofold.identify(token);
}"""


@pytest.fixture
def vouching(place: Place) -> Placed:
    return place.site(identity={"mode": "optional", "audiences": ["internal"]})


def sign(place: Place, site: Placed, **claims: Any) -> str:
    """What the host's own server hands to its page."""
    said = {"sub": "c-1", "aud": site.id, "exp": time.time() + 300, "jti": str(uuid4()), **claims}
    secret = place.widget.tokens.identity_secret(site.id, site.generation)
    return jwt.encode(said, secret, "HS256")


@pytest.fixture
def later(place: Place) -> Iterator[None]:
    """Tokens that were given out before are past their end."""
    clock = place.widget.tokens.clock
    place.widget.tokens.clock = lambda: clock() + 700
    yield
    place.widget.tokens.clock = clock


def test_an_expired_token_is_renewed_and_the_draft_stays(
    chat: Visit, place: Place, request: pytest.FixtureRequest
) -> None:
    chat.ask(ROLL)
    chat.refused_on_purpose = True
    request.getfixturevalue("later")
    chat.write("How do I invite a member?")
    expect(chat.app.locator(".feedback")).to_have_count(2)
    expect(chat.app.locator(".bubble").last).to_have_text("How do I invite a member?")


def test_a_forged_token_is_refused_and_another_session_begun(chat: Visit) -> None:
    chat.refused_on_purpose = True
    seen: list[int] = []

    def forge(route: Route) -> None:
        body = {"sid": "x", "sub": "y", "aud": "z", "origin": "w", "exp": time.time() + 60}
        forged = jwt.encode(body, "k" * 32, "HS256")
        route.continue_(headers={**route.request.headers, "authorization": f"Bearer {forged}"})

    chat.page.on(
        "response",
        lambda reply: seen.append(reply.status) if reply.url.endswith("/messages") else None,
    )
    chat.page.route("**/messages", forge, times=1)
    chat.write(ROLL)
    expect(chat.app.locator(".feedback")).to_have_count(1)
    assert seen == [401, 200]


def test_the_token_of_another_site_opens_nothing(visit: Visit, place: Place, site: Placed) -> None:
    sent: list[dict[str, str]] = []
    visit.page.on(
        "request", lambda each: sent.append(each.headers) if each.url.endswith("/thread") else None
    )
    visit.go(place.page(site)).open()
    visit.ask(ROLL)
    token = {name: sent[0][name] for name in ("authorization", "twofold-origin")}
    own = visit.context.request.get(f"{place.our}/widget/v1/{site.id}/thread", headers=token)
    assert own.status == 200
    other = place.site()
    foreign = visit.context.request.get(f"{place.our}/widget/v1/{other.id}/thread", headers=token)
    assert foreign.status == 401
    moved = {**token, "twofold-origin": place.stranger}
    assert (
        visit.context.request.get(f"{place.our}/widget/v1/{site.id}/thread", headers=moved).status
        == 401
    )


def test_the_host_vouches_for_its_user(
    visit: Visit, place: Place, vouching: Placed, desk: DeskVisit
) -> None:
    token = sign(place, vouching, audience=["internal"], name="Jonas Weber", sub="staff-12")
    visit.go(place.page(vouching))
    visit.page.evaluate(
        ASKED,
        token,
    )
    assert visit.page.evaluate("asked") == 0
    visit.open()
    expect(visit.ask(CHARGEBACK)).to_contain_text("$150")
    visit.ask_person()
    desk.pick("Jonas Weber")
    expect(desk.page.locator(".aside")).to_contain_text("staff-12")


def test_signing_in_takes_the_conversation_along_and_out_leaves_nothing(
    visit: Visit, place: Place, vouching: Placed
) -> None:
    visit.go(place.page(vouching)).open()
    visit.ask(ROLL)
    visit.page.evaluate(
        TOLD,
        sign(place, vouching, sub="c-7"),
    )
    visit.page.wait_for_function("told.length === 1")
    expect(visit.app.locator(".bubble")).to_have_text(ROLL)
    visit.page.evaluate("Twofold.reset()")
    expect(visit.app.locator(".bubble")).to_have_count(0)
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    visit.ask("How do I invite a member?")


def test_what_was_under_way_for_who_signs_out_does_not_come_to_who_signs_in(
    visit: Visit, place: Place, vouching: Placed
) -> None:
    visit.go(place.page(vouching)).open()
    visit.ask(ROLL)
    first, second = sign(place, vouching, sub="c-8"), sign(place, vouching, sub="c-9")
    held: list[tuple[Route, APIResponse]] = []
    visit.page.route("**/thread", lambda each: held.append((each, each.fetch())), times=1)
    with visit.page.expect_request("**/thread"):
        visit.page.evaluate(TOLD, first)
    visit.page.evaluate("(token) => { Twofold.reset(); Twofold.identify(token) }", second)
    visit.page.wait_for_function("told.length === 2")
    expect(visit.app.locator(".bubble")).to_have_count(0)
    for route, thread in held:
        route.fulfill(response=thread)
    visit.ask("How do I invite a member?")
    expect(visit.app.locator(".bubble")).to_have_text("How do I invite a member?")


def test_who_signs_out_while_the_chat_begins_gets_one(
    visit: Visit, place: Place, vouching: Placed
) -> None:
    visit.go(place.page(vouching))
    held: list[Route] = []
    visit.page.route("**/sessions", lambda each: held.append(each), times=1)
    with visit.page.expect_request("**/sessions"):
        visit.button.click()
    visit.page.evaluate("Twofold.reset()")
    for route in held:
        route.continue_()
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    visit.ask(ROLL)


def test_who_signs_out_while_signing_in_stays_out(
    visit: Visit, place: Place, vouching: Placed, desk: DeskVisit
) -> None:
    visit.go(place.page(vouching)).open()
    visit.ask(ROLL)
    one, two = sign(place, vouching, sub="c-1"), sign(place, vouching, sub="c-2", name="Gone Away")
    held: list[Route] = []
    visit.page.route("**/identity", lambda each: held.append(each), times=1)
    with visit.page.expect_request("**/identity"):
        visit.page.evaluate("(token) => Twofold.identify(token)", one)
    visit.page.evaluate("(token) => { Twofold.identify(token); Twofold.reset() }", two)
    for route in held:
        route.abort()
    expect(visit.app.locator(".bubble")).to_have_count(0)
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    visit.ask("How do I invite a member?")
    visit.ask_person()
    desk.pick("How do I invite a member?")
    expect(desk.page.locator(".aside")).not_to_contain_text("Gone Away")


def test_a_token_that_was_used_before_vouches_for_nobody(
    visits: Opened, place: Place, vouching: Placed
) -> None:
    token = sign(place, vouching, name="Copied")
    for visit, refused in ((visits(), False), (visits(), True)):
        visit.refused_on_purpose = True
        visit.go(place.page(vouching))
        visit.page.evaluate("(token) => Twofold.identify(token)", token)
        visit.open()
        expect(visit.app.get_by_text("We could not confirm who you are")).to_have_count(
            int(refused)
        )
        expect(visit.ask(ROLL)).to_contain_text("12 hours")


def test_a_site_may_want_to_know_everybody(visit: Visit, place: Place) -> None:
    visit.refused_on_purpose = True
    site = place.site(identity={"mode": "required"})
    visit.go(place.page(site))
    visit.button.click()
    expect(visit.app.get_by_text("Please sign in on this page")).to_be_visible()
    visit.page.evaluate("(token) => Twofold.identify(token)", sign(place, site))
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    expect(visit.ask(ROLL)).to_contain_text("12 hours")
