"""On somebody else's page: one request, no trace, any router, any policy, several at once."""

from playwright.sync_api import Page, Route, expect

from services.widget.sites import Placed
from tests.e2e.widget.browsing import Opened, Visit
from tests.e2e.widget.serving import Place

ROLL = "How long does the old signing secret keep working after I roll it?"
STORED = "[localStorage.length, sessionStorage.length, document.cookie]"
ADD_TAG = """(src) => new Promise((loaded) => {
  const tag = document.createElement("script");
  tag.src = src;
  tag.onload = loaded;
  document.head.append(tag);
})"""


def asked_of(visit: Visit, host: str) -> list[str]:
    """What is asked of a host from now on."""
    asked: list[str] = []
    visit.page.on("request", lambda each: asked.append(each.url) if host in each.url else None)
    return asked


def test_before_it_is_opened_there_is_one_request_and_no_trace(
    visit: Visit, place: Place, site: Placed
) -> None:
    asked = asked_of(visit, place.our)
    visit.go(place.page(site))
    expect(visit.button).to_be_visible()
    visit.page.wait_for_load_state("networkidle")
    assert [url.partition("?")[0] for url in asked] == [f"{place.our}/widget/loader.js"]
    assert visit.page.evaluate(STORED) == [0, 0, ""]
    assert visit.context.cookies() == []
    visit.open()
    assert visit.page.evaluate(STORED) == [1, 1, ""]
    assert visit.context.cookies() == []


def test_a_strict_policy_of_the_page_is_enough(visit: Visit, place: Place, site: Placed) -> None:
    visit.go(place.page(site, strict="1")).open()
    expect(visit.ask(ROLL)).to_contain_text("12 hours")


def test_a_page_that_is_not_allowed_gets_no_chat(visit: Visit, place: Place, site: Placed) -> None:
    visit.refused_on_purpose = True
    visit.go(place.page(site).replace(place.host, place.stranger))
    with visit.page.expect_response("**/widget/app/**") as answered:
        visit.button.click()
    assert answered.value.status == 403
    expect(visit.app.locator("#message")).to_have_count(0)


def test_a_chat_that_could_not_begin_begins_later(visit: Visit, place: Place, site: Placed) -> None:
    visit.refused_on_purpose = True
    bad = [(500, "internal"), (429, "overloaded")]

    def refuse(route: Route) -> None:
        status, slug = bad.pop(0)
        route.fulfill(status=status, json={"type": f"urn:twofold:problem:{slug}", "detail": "No."})

    visit.page.route("**/widget/app/**", lambda route: route.fulfill(status=503), times=1)
    visit.page.route("**/sessions", refuse, times=len(bad))
    visit.go(place.page(site)).open()
    assert not bad
    expect(visit.app.get_by_role("alert")).to_have_count(0)
    expect(visit.ask(ROLL)).to_contain_text("12 hours")


def test_a_page_cannot_pass_itself_off_as_another(visit: Visit, place: Place, site: Placed) -> None:
    visit.refused_on_purpose = True
    visit.go(place.page(path="/none").replace(place.host, place.stranger))
    visit.page.evaluate(
        "(src) => { const frame = document.createElement('iframe'); frame.src = src;"
        " frame.referrerPolicy = 'no-referrer'; document.body.append(frame) }",
        f"{place.our}/widget/app/{site.id}?origin={place.host}",
    )
    # Without a Referer the server cannot tell; the browser can, by frame-ancestors.
    expect(visit.page.frame_locator("iframe").locator("#message")).to_have_count(0)
    visit.page.wait_for_load_state("networkidle")
    visit.errors.clear()  # The browser says that it refuses to frame.


def test_routers_may_swap_the_body_and_hide_it(visit: Visit, place: Place) -> None:
    site = place.site(hidden_paths=["/checkout/*"])
    visit.go(place.page(site)).open()
    visit.app.locator("#message").fill("half a thought")
    visit.page.evaluate("document.body.replaceWith(document.createElement('body'))")
    expect(visit.app.locator("#message")).to_have_value("half a thought")
    visit.page.evaluate("history.pushState({}, '', '/checkout/pay')")
    expect(visit.button).to_be_hidden()
    visit.page.go_back()
    expect(visit.button).to_be_visible()
    expect(visit.app.locator("#message")).to_have_value("half a thought")


def test_the_tag_may_come_twice_and_again(visit: Visit, place: Place, site: Placed) -> None:
    tag = f"{place.our}/widget/loader.js?site={site.id}"
    visit.go(place.page(site)).open()
    visit.page.evaluate(ADD_TAG, tag)
    expect(visit.page.locator(".twofold")).to_have_count(1)
    visit.page.evaluate("Twofold.destroy()")
    expect(visit.page.locator(".twofold")).to_have_count(0)
    visit.page.evaluate(ADD_TAG, tag)
    visit.page.evaluate("Twofold.open()")
    expect(visit.app.locator("#message")).to_be_visible()


def test_it_comes_back_open_where_it_was_open(visit: Visit, place: Place, site: Placed) -> None:
    visit.page.add_init_script(EARLY)
    visit.go(place.page(site)).open()
    visit.ask(ROLL)
    visit.page.reload()
    expect(visit.button).to_have_attribute("aria-expanded", "true")
    expect(visit.app.locator(".answer")).to_contain_text("12 hours")
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    assert visit.page.evaluate("[document.activeElement === document.body, ...told]") == [
        True, "open", "ready",
    ]  # fmt: skip
    other = visit.context.new_page()
    other.goto(place.page(site))
    expect(other.locator(".twofold button")).to_have_attribute("aria-expanded", "false")
    visit.button_named("Close the chat").click()
    visit.page.reload()
    expect(visit.button).to_have_attribute("aria-expanded", "false")
    visit.open()
    visit.page.evaluate("Twofold.reset()")
    visit.page.reload()
    expect(visit.button).to_have_attribute("aria-expanded", "false")


def test_two_widgets_live_side_by_side(visit: Visit, place: Place, site: Placed) -> None:
    other = place.site(
        position={"side": "left"}, texts={"en": {"title": "Sales", "launcher": "Sales"}}
    )
    visit.go(place.page(site, other))
    expect(visit.page.get_by_role("button", name="Sales")).to_be_visible()
    visit.page.evaluate("(key) => Twofold.widget(key).open()", other.id)
    frames = visit.page.locator(".twofold iframe")
    expect(frames).to_have_count(1)
    inside = frames.content_frame
    expect(inside.get_by_role("heading", name="Sales")).to_be_visible()
    box = frames.bounding_box()
    assert box is not None
    assert box["x"] < 100
    visit.page.evaluate("(key) => Twofold.widget(key).open()", site.id)
    expect(frames).to_have_count(2)


EARLY = """if (top === window) {
  window.told = [];
  window.Twofold = [(widget) => {
    widget.prefill("Hello there");
    for (const name of ["open", "ready", "message", "answer", "close"])
      widget.on(name, () => told.push(name));
  }];
}"""


def test_what_the_page_says_before_the_script_is_there_is_heard(
    visit: Visit, place: Place, site: Placed
) -> None:
    visit.page.add_init_script(EARLY)
    visit.go(place.page(site)).open()
    expect(visit.app.locator("#message")).to_have_value("Hello there")
    visit.ask(ROLL)
    visit.page.keyboard.press("Escape")
    expect(visit.button).to_have_attribute("aria-expanded", "false")
    visit.page.wait_for_function("told.includes('answer')")
    assert visit.page.evaluate("told") == ["open", "ready", "message", "answer", "close"]


def test_the_page_chooses_the_language(visit: Visit, place: Place, site: Placed) -> None:
    visit.go(place.page(site, locale="de")).open()
    expect(visit.app.get_by_text("Wie können wir helfen?")).to_be_visible()
    visit.page.evaluate("Twofold.locale('ar')")
    expect(visit.app.locator("html")).to_have_attribute("dir", "rtl")
    expect(visit.button).to_have_accessible_name("دردشة")
    expect(visit.app.locator("h1")).to_be_visible()
    expect(visit.app.locator(".send")).to_be_visible()
    launcher, send = (
        visit.app.locator("h1").bounding_box(),
        visit.app.locator(".send").bounding_box(),
    )
    assert launcher is not None
    assert send is not None
    assert send["x"] < launcher["x"] + launcher["width"]


def test_it_is_not_printed_and_stands_where_the_site_says(visit: Visit, place: Place) -> None:
    site = place.site(position={"side": "left", "x": 33, "y": 44, "z_index": 77})
    visit.go(place.page(site))
    expect(visit.button).to_be_visible()
    box = visit.button.bounding_box()
    assert box is not None
    assert (box["x"], box["y"] + box["height"]) == (33, 800 - 44)
    assert visit.button.evaluate("(node) => getComputedStyle(node).zIndex") == "77"
    visit.page.emulate_media(media="print")
    expect(visit.button).to_be_hidden()


def test_messages_of_others_are_not_heard(visit: Visit, place: Place, site: Placed) -> None:
    visit.go(place.page(site)).open()
    visit.page.evaluate(
        "(site) => window.postMessage({ twofold: site, type: 'close' }, '*')", site.id
    )
    visit.frame.evaluate(
        "(site) => window.postMessage({ twofold: site, type: 'prefill', text: 'planted' }, '*')",
        site.id,
    )
    visit.ask(ROLL)
    expect(visit.button).to_have_attribute("aria-expanded", "true")
    expect(visit.app.locator("#message")).to_have_value("")


BLOCKED = (
    "Object.defineProperty(window, 'localStorage',"
    " { get() { throw new DOMException('no', 'SecurityError') } })"
)


def test_it_works_where_storage_is_blocked(visit: Visit, place: Place, site: Placed) -> None:
    visit.page.add_init_script(BLOCKED)
    visit.go(place.page(site)).open()
    expect(visit.ask(ROLL)).to_contain_text("12 hours")
    visit.page.evaluate("Twofold.close()")
    visit.page.evaluate("Twofold.open()")
    expect(visit.app.locator(".answer")).to_contain_text("12 hours")


def test_a_phone_shows_it_whole(visits: Opened, place: Place, site: Placed) -> None:
    visit = visits(viewport={"width": 320, "height": 560}, has_touch=True, is_mobile=True)
    visit.go(place.page(site)).open()
    box = visit.page.locator(".twofold iframe").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 320, "height": 560}
    # A phone's keyboard does not open by itself, and no field makes it zoom.
    expect(visit.app.locator("h1")).to_be_focused()
    size = visit.app.locator("#message").evaluate(
        "(node) => parseFloat(getComputedStyle(node).fontSize)"
    )
    assert size >= 16
    visit.ask(ROLL)
    assert visit.frame.evaluate("document.documentElement.scrollWidth") <= 320
    assert visit.app.locator("main").evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
    visit.button_named("Close the chat").click()
    expect(visit.button).to_be_visible()


def test_an_app_opens_it_by_itself(visit: Visit, place: Place, site: Placed) -> None:
    own = place.site(webview=True)
    visit.page.goto(f"{place.our}/widget/app/{own.id}?mode=webview")
    expect(visit.page.locator("main")).to_have_attribute("aria-busy", "false")
    visit.page.locator("#message").fill(ROLL)
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator(".answer")).to_contain_text("12 hours")
    expect(visit.page.get_by_role("button", name="Close the chat")).to_have_count(0)
    visit.refused_on_purpose = True
    refused = visit.page.goto(f"{place.our}/widget/app/{site.id}?mode=webview")
    assert refused is not None
    assert refused.status == 403


def test_a_page_of_its_own_origin_keeps_the_conversation(visit: Visit, place: Place) -> None:
    """Page and frame have one storage there, and each its own entry in it."""
    visit.page.goto(place.alone)
    visit.page.get_by_role("button", name="Ask a question").click()
    visit.ask(ROLL)
    for _ in range(2):
        visit.page.reload()
        visit.page.get_by_role("button", name="Ask a question").click()
        expect(visit.app.locator(".bubble").first).to_have_text(ROLL)


def test_the_demo_page_embeds_the_real_one(visit: Visit, place: Place) -> None:
    page: Page = visit.page
    visit.refused_on_purpose = True  # What is still asked for by who was just signed out.
    page.goto(place.alone)
    page.get_by_role("button", name="Ask a question").click()
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    known = "() => { window.known = new Promise((done) => Twofold.on('identified', done)) }"
    page.evaluate(known)
    page.get_by_role("button", name="A colleague").click()
    page.evaluate(
        "() => Promise.race([window.known, new Promise((end) => setTimeout(end, 30000))])"
    )
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    visit.ask_person()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Desk").first.click()
    desk = popup.value
    desk.get_by_label("Your name").fill("Mara Lind")
    desk.keyboard.press("Enter")
    expect(desk.locator(".card").first).to_contain_text("Jonas Weber")
