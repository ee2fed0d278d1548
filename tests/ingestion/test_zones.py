"""A day without a time is a day where the house is, summer time included."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingestion.extract import extract
from ingestion.preview import preview
from ingestion.sources import Fetched
from twofold.settings import Settings

ZONES = ("Pacific/Honolulu", "Pacific/Auckland", "Europe/Berlin", "America/Santiago")


def window(zone: str, lines: str) -> tuple[datetime | None, datetime | None]:
    text = f"---\n{lines}\n---\nText."
    meta = extract("a.md", Fetched(text.encode(), "text/markdown"), zone=zone).meta
    moments = (meta.effective_from, meta.expires_at)
    begins, ends = (
        None if m is None else datetime.fromtimestamp(m, ZoneInfo(zone)) for m in moments
    )
    return begins, ends


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-04-05", "2026-09-06"])
def test_a_day_begins_and_ends_at_the_house(zone: str, day: str) -> None:
    begins, ends = window(zone, f"effective_from: {day}\nexpires_at: {day}")
    assert begins is not None
    assert ends is not None
    assert f"{begins:%Y-%m-%d}" == day
    assert f"{ends - timedelta(seconds=1):%Y-%m-%d}" == day
    assert timedelta(hours=23) <= ends - begins <= timedelta(hours=25)


def test_a_time_with_its_own_zone_is_that_moment() -> None:
    begins, _ = window("Pacific/Honolulu", "effective_from: 2026-03-01T10:00:00Z")
    assert begins is not None
    assert begins.astimezone(ZoneInfo("UTC")).hour == 10


@pytest.mark.parametrize("zone", ZONES)
def test_a_policy_of_tomorrow_waits_until_it_is_tomorrow_at_the_house(
    zone: str, tmp_path: Path
) -> None:
    house = tmp_path / "house.yaml"
    house.write_text(f"extends: neutral\nhours:\n  timezone: {zone}\n")
    today = datetime.now(ZoneInfo(zone)).date()
    days = {"today": today, "tomorrow": today + timedelta(days=1)}
    files = []
    for name, day in days.items():
        path = tmp_path / f"{name}.md"
        path.write_text(f"---\neffective_from: {day}\nexpires_at: {day}\n---\nText.")
        files.append(path)
    seen = preview(Settings(home=tmp_path / "none", house=house), files)
    assert [each.visible for each in seen] == [True, False]
    assert (seen[0].effective_from or "").startswith(str(today))
    assert (seen[0].expires_at or "").startswith(f"{today}T23:59:59")
