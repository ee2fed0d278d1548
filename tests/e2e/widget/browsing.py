"""A visitor in a real Chromium: what they see, press and write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Frame,
    FrameLocator,
    Locator,
    Page,
    expect,
)

SLOW_MS = 30_000
"""The machine may be busy: waiting longer costs nothing where all is well."""
expect.set_options(timeout=SLOW_MS)


@dataclass
class Visit:
    """A page with its browser profile. What it logs as an error and whom it asks is kept."""

    context: BrowserContext
    page: Page
    known: frozenset[str]
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    refused_on_purpose: bool = False
    """The browser logs every status from 400 on."""

    def go(self, url: str) -> Self:
        self.page.goto(url)
        return self

    @property
    def button(self) -> Locator:
        return self.page.locator(".twofold button")

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator(".twofold iframe")

    @property
    def frame(self) -> Frame:
        return next(each for each in self.page.frames if "/widget/app/" in each.url)

    def open(self) -> Self:
        self.button.click()
        expect(self.app.locator("#message")).to_be_visible()
        expect(self.app.locator("main")).to_have_attribute("aria-busy", "false")
        return self

    def write(self, text: str) -> None:
        self.app.locator("#message").fill(text)
        self.app.locator("#message").press("Enter")

    def ask(self, text: str) -> Locator:
        """Asks, and waits until the answer is whole; returns it."""
        before = self.app.locator(".feedback").count()
        self.write(text)
        expect(self.app.locator(".feedback")).to_have_count(before + 1)
        return self.app.locator(".answer").last

    def ask_person(self, **fields: str) -> None:
        self.app.get_by_role("button", name="Talk to a person").first.click()
        for label, value in fields.items():
            self.app.get_by_label(label.replace("_", " ")).fill(value)
        self.app.get_by_role("button", name="Pass it on").click()
        expect(self.app.locator(".sheet")).to_have_count(0)

    def button_named(self, name: str) -> Locator:
        return self.app.get_by_role("button", name=name)


@contextmanager
def visiting(browser: Browser, known: frozenset[str], **options: Any) -> Iterator[Visit]:
    """A visit whose page asks nobody but `known` hosts, and logs no error, or the test fails."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **options})
    context.set_default_timeout(SLOW_MS)
    visit = Visit(context, context.new_page(), known)
    context.on("request", lambda request: _note_host(visit, request.url))
    context.on("console", lambda message: _note_error(visit, message))
    context.on("weberror", lambda error: visit.errors.append(str(error.error)))
    try:
        yield visit
        assert not visit.errors, visit.errors
        assert not visit.foreign, visit.foreign
    finally:
        context.close()


def _note_host(visit: Visit, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc not in visit.known:
        visit.foreign.append(url)


def _note_error(visit: Visit, message: ConsoleMessage) -> None:
    refused = message.text.startswith("Failed to load resource")
    if message.type == "error" and not (refused and visit.refused_on_purpose):
        visit.errors.append(message.text)


@dataclass
class DeskVisit:
    """A person at the desk."""

    page: Page

    def open(self, our: str, name: str = "Mara Lind") -> Self:
        self.page.goto(f"{our}/desk")
        field = self.page.get_by_label("Your name")
        field.or_(self.page.get_by_role("heading", name="Desk")).first.wait_for()
        if field.count():
            field.fill(name)
            field.press("Enter")
        expect(self.page.locator(".live.on")).to_be_visible()
        return self

    def pick(self, text: str, tab: str = "Waiting") -> Self:
        self.page.locator(".tabs").get_by_role("button", name=tab).click()
        self.page.locator(".card", has_text=text).first.click()
        expect(self.page.locator(".detail-head")).to_be_visible()
        return self

    def take(self) -> Self:
        self.page.get_by_role("button", name="Take over").click()
        expect(self.page.locator("#reply")).to_be_enabled()
        return self

    def reply(self, text: str) -> None:
        self.page.locator("#reply").fill(text)
        self.page.locator("#reply").press("Enter")
        expect(self.page.locator("#reply")).to_have_value("")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()


Opened = Callable[..., Visit]
