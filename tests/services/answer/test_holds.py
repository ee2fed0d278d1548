"""Who asks how things are is not told how they were going to be; who asks for a product by its name
is not told what holds for another."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.contract import Ask
from services.answer.events import Answered
from services.answer.pipeline import Parts, ask_once
from tests.services.standalone.serving import EXAMPLES, needs_weights
from twofold.settings import Settings
from twofold.stack import open_stack

pytestmark = needs_weights

NOTE = "---\nkind: release_note\nupdated_at: {}\n---\n# {}\n\n{}\n"
PAGES = {
    "announced.md": NOTE.format(
        "2025-10-07", "October 2025: API v1 is deprecated",
        "API v1 is deprecated and will be switched off on 31 March 2026. Until that date v1 keeps"
        " working and gets security fixes.",
    ),
    "api.md": "# API versions\n\nThe API has one version, v2. API v1 no longer works: it was"
    " switched off, and its requests are answered with HTTP 410.\n",
    "export.md": NOTE.format(
        "2025-05-03", "May 2025: export",
        "The export of reports will end on 30 June 2025. Reports stay in the dashboard.",
    ),
    "releases.md": NOTE.format(
        "2025-12-09", "December 2025: fixes",
        "No further release follows this year; the next release is planned for 13 January 2026.",
    ),
    "slack.md": "# Send alerts to Slack\n\n1. Open **Integrations** and choose **Slack**.\n2. Pick"
    " a channel for the alerts.\n3. Choose **Allow**.\n",
    "calendar.md": "# Google Calendar\n\nTo see duties in Google Calendar, open **Calendar** and"
    " copy the address into it.\n",
    "limits.md": "# Limits\n\nSee also: Rate limits of the API, Size of a report.\n",
    "alerts.md": "# Alert rules\n\nAn alert goes out when a rule fails for five minutes.\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    home = tmp_path_factory.mktemp("holds")
    pages = home / "pages"
    pages.mkdir()
    for name, text in PAGES.items():
        (pages / name).write_text(text, encoding="utf-8")
    settings = Settings(home=home / "home", house=EXAMPLES / "house.yaml", deadline_s=120)
    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder("help", pages))
        with closing(open_parts(stack)) as opened:
            yield opened


def ask(parts: Parts, message: str, day: str = "2026-11-01") -> Answered:
    now = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC).timestamp()
    parts = replace(parts, clock=lambda: now)
    return asyncio.run(ask_once(Ask(message, parts.stack.settings.workspace), parts))


def test_a_standing_page_is_told_instead_of_what_was_announced(parts: Parts) -> None:
    told = ask(parts, "does api v1 still work?")
    assert "no longer works" in told.text
    assert "keeps working" not in told.text


def test_before_its_day_an_announcement_holds(parts: Parts) -> None:
    told = ask(parts, "when will api v1 be switched off?", "2025-12-01")
    assert "31 March 2026" in told.text
    assert "As of" not in told.text


def test_an_old_announcement_is_told_with_its_date_where_nothing_else_answers(
    parts: Parts,
) -> None:
    told = ask(parts, "does the export of reports end?")
    assert told.action == "ANSWER"
    assert "As of 3 May 2025: The export of reports will end on 30 June 2025." in told.text


def test_what_was_planned_and_is_past_answers_nobody_who_asks_what_is_planned(
    parts: Parts,
) -> None:
    asked = "when is the next release planned?"
    assert "13 January 2026" in ask(parts, asked, "2025-12-20").text
    late = ask(parts, asked)
    assert late.action == "ESCALATE"
    assert "13 January 2026" not in late.text


@pytest.mark.parametrize("name", ["Discord", "microsoft teams", "MS Teams"])
def test_a_name_that_no_page_holds_is_not_answered_with_anothers_steps(
    parts: Parts, name: str
) -> None:
    told = ask(parts, f"how do I send alerts to {name}?")
    assert told.action == "ESCALATE"
    assert "Slack" not in told.text


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("how do I send alerts to slack?", "Pick a channel"),
        ("how do i send alerts to slck", "Slack"),
        ("we come from Discord, how do I send alerts to Slack?", "Pick a channel"),
        ("how do i see duties in gcal?", "Calendar"),
        ("when does an alert go out?", "five minutes"),
    ],
)
def test_a_name_that_a_page_holds_is_answered(parts: Parts, message: str, said: str) -> None:
    told = ask(parts, message)
    assert told.action == "ANSWER", told.text
    assert said in told.text


def test_a_line_that_only_names_other_pages_is_no_answer(parts: Parts) -> None:
    told = ask(parts, "what are the rate limits of the api?")
    assert "See also" not in told.text
