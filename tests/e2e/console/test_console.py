"""The console in a browser: what a support lead clicks on Monday, in both colour schemes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete

from services.standalone.app import create_app
from tests.e2e.widget.conftest import chrome
from tests.e2e.widget.test_accessibility import AXE, RUN, TAGS
from tests.servers import wait_until
from tests.services.answer.edge import key_for
from tests.services.standalone.serving import served, small_parts
from twofold.ledger.service import ApiKey

__all__ = ["chrome"]
ASKED = (
    "Do you support FIDO hardware wallets?",
    "Can I pay with a FIDO hardware wallet?",
    "Can I pay in Swiss francs?",
    "How long does the old signing secret keep working after I roll it?",
    "What does it do?",
    "I want to speak with a human",
)
SHOTS = os.environ.get("TWOFOLD_SHOTS")
"""A folder to leave screenshots in, for the docs."""


@pytest.fixture(scope="module")
def console(chrome: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where it is, after people rated six answers down; and a key that may read."""
    with (
        small_parts(tmp_path_factory.mktemp("console")) as parts,
        served(create_app(parts)) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        for question in ASKED:
            answer = http.post("/v1/chat", json={"message": question}).json()
            body = {"answer_id": answer["answer_id"], "rating": "down"}
            assert http.post("/v1/feedback", json=body).is_success

        def states() -> list[str]:
            asked = http.get("/v1/questions").json()["questions"]
            return [(each["diagnosed"] or {}).get("state", "") for each in asked]

        wait_until(lambda: states() == ["done"] * len(ASKED), "all looked into", 120)
        key = key_for(parts, "reads", "read", "admin")
        yield url, key
        with parts.stack.ledger.session() as session:
            session.execute(delete(ApiKey))


def _visit(chrome: Browser, url: str, key: str, scheme: str) -> tuple[Page, list[str]]:
    """Signed in, with all that the browser complained of."""
    page = chrome.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{url}/console")
    expect(page.get_by_role("heading", name="Console")).to_be_visible()
    complaints.clear()  # the 401 of a page that asks to sign in
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Live answers")).to_be_visible()
    return page, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_the_page_to_an_answers_record(
    chrome: Browser, console: tuple[str, str], scheme: str
) -> None:
    page, complaints = _visit(chrome, *console, scheme)
    _check(page, f"console-{scheme}")
    draft = "TODO The answer, in the first sentence"
    gap = page.locator("details", has_text=draft).first
    gap.locator("summary").first.click()
    expect(gap.get_by_text(draft).first).to_be_visible()
    case = page.locator("details[id^='case-']", has_text="signing secret")
    case.locator("summary").click()
    case.get_by_role("link", name="The record of this answer").click()
    expect(page.get_by_role("heading", name="What was retrieved, packed and cut")).to_be_visible()
    expect(page.get_by_role("cell", name="packed").first).to_be_visible()
    expect(page.get_by_text("Rated down.")).to_be_visible()
    verdict = page.get_by_text("Looked into (negative feedback): ")
    expect(verdict).to_contain_text(
        re.compile(r"(knowledge|behaviour|both|unknown), [a-z ]+\. .+; shown by")
    )
    expect(page.locator("summary", has_text="[1]")).to_contain_text("Roll a signing secret > ")
    _check(page, f"record-{scheme}")
    page.get_by_role("link", name="Sources").click()
    expect(page.get_by_role("heading", name="What is known, and how fresh it is")).to_be_visible()
    _check(page, f"sources-{scheme}")
    assert complaints == []
    page.close()


def test_a_narrow_window_needs_no_sideways_scrolling(
    chrome: Browser, console: tuple[str, str]
) -> None:
    page, _ = _visit(chrome, *console, "light")
    page.set_viewport_size({"width": 380, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 380
    page.close()


def test_a_wrong_key_opens_nothing(chrome: Browser, console: tuple[str, str]) -> None:
    page = chrome.new_page()
    page.goto(f"{console[0]}/console/sources")
    page.get_by_label("Key").fill("tf_" + "x" * 43)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("unknown or revoked")).to_be_visible()
    page.goto(f"{console[0]}/console")
    expect(page.get_by_role("heading", name="Live answers")).not_to_be_visible()
    page.close()


def test_a_link_to_a_page_of_answers_can_be_sent_to_a_colleague(
    chrome: Browser, console: tuple[str, str]
) -> None:
    url, key = console
    page, complaints = _visit(chrome, url, key, "light")
    page.get_by_role("link", name="6 rated down").click()
    expect(page.get_by_role("row")).to_have_count(1 + len(ASKED))
    _check(page, "answers-light")
    sent = page.url
    assert complaints == []
    page.close()
    other = chrome.new_page()
    other.goto(sent)
    other.get_by_label("Key").fill(key)
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_role("heading", name="Answers rated down")).to_be_visible()
    assert other.url == sent
    other.close()


def _check(page: Page, name: str) -> None:
    page.evaluate(AXE)
    assert page.evaluate(RUN, TAGS) == []
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
