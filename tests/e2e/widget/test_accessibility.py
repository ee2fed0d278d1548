"""WCAG 2.2 AA: axe finds nothing in any state and scheme, and a keyboard is enough."""

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Frame, expect

from tests.e2e.widget.browsing import DeskVisit, Opened, Visit
from tests.e2e.widget.serving import Place, Says, citation

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """(tags) => axe.run(document, { runOnly: tags, resultTypes: ["violations"] })
  .then(({ violations }) =>
    violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))"""
AT_REST = """Promise.allSettled(document.getAnimations()
  .filter((each) => each.effect.getTiming().iterations === 1).map((each) => each.finished))"""
EVERYTHING = """Here is **all** of it. [1]

## A heading

1. One, with `code`. [2]
2. Two

- [a link](https://help.brackwater.example/x)

> Quoted.

```sh
bw roll
```

| Plan | Price |
|---|---|
| River | $249 |
"""


def check(frame: Frame, state: str) -> None:
    """Axe finds no violation, after what moves has come to rest."""
    frame.evaluate(AT_REST)
    if not frame.evaluate("'axe' in window"):
        frame.evaluate(AXE)
    found: list[Any] = frame.evaluate(RUN, TAGS)
    assert found == [], f"{state}: {found}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_chat(
    visits: Opened, place: Place, desk: DeskVisit, scheme: str
) -> None:
    visit = visits(color_scheme=scheme)
    visit.refused_on_purpose = True
    consent = {
        "text": {"en": "We keep this."},
        "privacy_url": "https://x.example/p",
        "required": True,
    }
    site = place.site(consent=consent, starters={"en": ["How do I invite a member?"]})
    visit.go(place.page(site)).open()
    check(visit.page.main_frame, "host page")
    check(visit.frame, "consent")
    visit.button_named("Agree and continue").click()
    expect(visit.app.locator(".starter")).to_be_visible()
    check(visit.frame, "welcome")
    place.between.says["all"] = Says(EVERYTHING, [citation(1), citation(2)], hold_after=3)
    visit.write("all")
    check(visit.frame, "answering")
    place.between.go("all")
    expect(visit.app.locator(".feedback")).to_have_count(1)
    check(visit.frame, "answered")
    visit.button_named("Menu").click()
    check(visit.frame, "menu")
    visit.page.keyboard.press("Escape")
    visit.app.locator(".chip").first.click()
    expect(visit.app.locator(".source .prose")).to_be_visible()
    check(visit.frame, "source")
    visit.page.keyboard.press("Escape")
    visit.app.get_by_label("This did not help").click()
    check(visit.frame, "comment")
    for state, action, text in (
        ("clarify", "CLARIFY", "Which one?"),
        ("decline", "DECLINE", "Not this."),
    ):
        place.between.says[state] = Says(text, action=action)
        visit.ask(state)
        check(visit.frame, state)
    place.between.says["fails"] = 429
    visit.write("fails")
    expect(visit.app.locator(".failure")).to_be_visible()
    check(visit.frame, "failure")
    visit.button_named("Talk to a person").last.click()
    visit.app.get_by_label("E-mail").fill("nobody")
    visit.button_named("Pass it on").click()
    check(visit.frame, "person, with a wrong address")
    visit.app.get_by_label("E-mail").fill("")
    visit.app.get_by_label("Your name").fill(f"Axe {scheme}")
    visit.button_named("Pass it on").click()
    expect(visit.app.locator(".contact")).to_be_visible()
    check(visit.frame, "queued")
    desk.pick(f"Axe {scheme}").take()
    desk.reply("Hello **there**.")
    expect(visit.app.locator(".by-agent")).to_be_visible()
    check(visit.frame, "taken")
    desk.press("Close")
    expect(visit.app.get_by_role("heading", name="This conversation is closed")).to_be_visible()
    check(visit.frame, "closed")
    visit.page.evaluate("Twofold.locale('ar')")
    expect(visit.app.locator("html")).to_have_attribute("dir", "rtl")
    check(visit.frame, "right to left")
    place.wire.cut()
    expect(visit.app.locator(".banner")).to_be_visible()
    place.wire.mend()
    check(visit.frame, "offline")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_at_the_desk_and_on_the_demo_page(
    visits: Opened, chat: Visit, place: Place, scheme: str
) -> None:
    page = visits(color_scheme=scheme, viewport={"width": 1280, "height": 900}).page
    page.goto(f"{place.our}/desk")
    expect(page.get_by_label("Your name")).to_be_visible()
    check(page.main_frame, "name")
    desk = DeskVisit(page).open(place.our)
    check(page.main_frame, "queue")
    chat.ask("How long does the old signing secret keep working after I roll it?")
    chat.ask_person(Your_name=f"Desk {scheme}")
    desk.pick(f"Desk {scheme}")
    check(page.main_frame, "detail")
    desk.take()
    desk.reply("Hello. [1]")
    check(page.main_frame, "taken")
    page.set_viewport_size({"width": 320, "height": 640})
    check(page.main_frame, "narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.goto(place.alone)
    expect(page.locator(".twofold button")).to_be_visible()
    check(page.main_frame, "demo")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_keyboard_is_enough(visit: Visit, place: Place) -> None:
    keyboard = visit.page.keyboard
    visit.go(place.page(place.site(starters={"en": ["How do I invite a member?"]})))
    expect(visit.button).to_be_visible()
    visit.page.get_by_role("button", name="Buy").focus()
    keyboard.press("Tab")
    expect(visit.button).to_be_focused()
    keyboard.press("Enter")
    field = visit.app.locator("#message")
    expect(field).to_be_focused()
    expect(visit.app.locator("main")).to_have_attribute("aria-busy", "false")
    keyboard.type("How long does the old signing secret keep working after I roll it?")
    keyboard.press("Enter")
    expect(visit.app.locator(".feedback")).to_have_count(1)
    expect(field).to_be_focused()
    _tab_to(visit, ".mark", "Shift+Tab")
    keyboard.press("Enter")
    expect(visit.app.locator(".sheet h2")).to_be_focused()
    expect(visit.app.locator(".source mark").first).to_be_visible()
    for _ in range(3):  # The focus stays in what lies on top, or leaves the frame.
        keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || !!document.activeElement.closest('.sheet')"
        )
        assert visit.frame.evaluate(inside)
    keyboard.press("Escape")
    expect(visit.app.locator(".mark:focus")).to_have_count(1)
    _tab_to(visit, "[aria-label='Menu']", "Shift+Tab")
    keyboard.press("Enter")
    expect(visit.button_named("New conversation")).to_be_visible()
    keyboard.press("Escape")
    expect(visit.button_named("New conversation")).to_be_hidden()
    expect(visit.button_named("Menu")).to_be_focused()
    _tab_to(visit, ".quiet", "Tab")
    keyboard.press("Enter")
    expect(visit.app.get_by_role("heading", name="Talk to a person")).to_be_focused()
    keyboard.press("Escape")
    expect(visit.app.locator(".sheet")).to_have_count(0)
    expect(visit.app.locator(".quiet")).to_be_focused()
    keyboard.press("Escape")
    expect(visit.button).to_be_focused()
    expect(visit.button).to_have_attribute("aria-expanded", "false")


def _tab_to(visit: Visit, selector: str, key: str) -> None:
    for _ in range(40):
        visit.page.keyboard.press(key)
        if visit.frame.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{key} never reaches {selector}")


def test_nothing_sticks_out_at_320_pixels_or_moves_unasked(visits: Opened, place: Place) -> None:
    visit = visits(viewport={"width": 320, "height": 560}, reduced_motion="reduce")
    visit.go(place.page(place.site())).open()
    place.between.says["wide"] = Says(
        f"{'w' * 300} `{'c' * 300}`\n\n```\n{'p' * 300}\n```\n\n"
        f"| {'t' * 90} | b |\n|-|-|\n| c | d |",
        [citation(title="t" * 200)],
    )
    visit.ask("wide")
    visit.ask("q" * 200)
    assert visit.app.locator("main").evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
    assert visit.frame.evaluate("document.documentElement.scrollWidth") <= 320
    assert visit.frame.evaluate("document.getAnimations().length") == 0


def test_what_is_pressed_is_large_enough(chat: Visit) -> None:
    chat.ask("How long does the old signing secret keep working after I roll it?")
    small = chat.frame.evaluate(
        "[...document.querySelectorAll('button:not(.mark), a, input, select')]"
        ".filter((node) => node.checkVisibility())"
        ".map((node) => [node.className, node.getBoundingClientRect()])"
        ".filter(([, box]) => box.width < 24 || box.height < 24).map(([name]) => name)"
    )
    assert small == []
