"""A house file is refused with the key that is wrong and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from twofold.errors import InvalidInput, NotFound
from twofold.house_file import NEUTRAL, load_house
from twofold.policy import HousePolicy

EXAMPLE = Path(__file__).parents[2] / "examples" / "brackwater" / "house.yaml"
RAW = EXAMPLE.read_text(encoding="utf-8")
Break = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Broken:
    id: str
    spoil: Break
    says: tuple[str, ...]


BROKEN = [
    Broken(
        "unknown-team",
        lambda house: house["reasons"]["outage_report"].update(team="ops"),
        ("reasons.outage_report.team", "'ops' is none of billing"),
    ),
    Broken(
        "bad-regex",
        lambda house: house["reasons"]["outage_report"].update(patterns=["(down"]),
        ("reasons.outage_report.patterns", "'(down' is not a regular expression", "unterminated"),
    ),
    Broken(
        "no-templates-in-any-language",
        lambda house: house.update(locales=["ja"], templates={"de": house["templates"]["de"]}),
        ("templates: are in none of the house's languages; add ja or en",),
    ),
    Broken(
        "template-missing",
        lambda house: house["templates"]["de"].pop("decline"),
        ("templates.de.decline", "required"),
    ),
    Broken(
        "team-unnamed",
        lambda house: house["templates"]["de"]["teams"].pop("sales"),
        ("templates.de.teams: lacks sales",),
    ),
    Broken(
        "no-reason-for-gaps",
        lambda house: house["reasons"].pop("not_in_sources"),
        ("reasons: needs 'not_in_sources'",),
    ),
    Broken(
        "limit-of-unknown-reason",
        lambda house: house["limits"].update(money_reason="refunds"),
        ("limits.money_reason: 'refunds' is none of",),
    ),
    Broken(
        "unknown-key",
        lambda house: house["style"].update(tone="friendly"),
        ("style.tone: there is no such key",),
    ),
    Broken(
        "unknown-zone",
        lambda house: house["hours"].update(timezone="Berlin"),
        ("hours.timezone", "'Berlin' is not a time zone such as Europe/Berlin"),
    ),
    Broken(
        "number-for-a-text",
        lambda house: house["plain_examples"].append(2026),
        ("plain_examples", "valid string"),
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.id)
def test_a_broken_house_names_the_key(broken: Broken, tmp_path: Path) -> None:
    data = yaml.safe_load(RAW)
    broken.spoil(data)
    path = tmp_path / "house.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        load_house(path)
    for part in (str(path), *broken.says):
        assert part in str(caught.value)


def test_a_missing_house_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="TWOFOLD_HOUSE"):
        load_house(tmp_path / "none.yaml")


def test_what_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text("teams: [support", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"house\.yaml is not valid YAML"):
        load_house(path)


def test_the_example_is_closed_and_speaks_every_language() -> None:
    house = load_house(EXAMPLE)
    assert set(house.reason_teams.values()) <= set(house.teams)
    assert house.say("fr") == house.templates["en"]
    for name, reason in house.reasons.items():
        assert len(reason.examples) >= 12, name


@dataclass(frozen=True)
class Moment:
    id: str
    local: datetime
    team: str
    open: bool


BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = [
    Moment("opens", datetime(2026, 11, 2, 8, 0, tzinfo=BERLIN), "support", True),
    Moment("before", datetime(2026, 11, 2, 7, 59, tzinfo=BERLIN), "support", False),
    Moment("closes", datetime(2026, 11, 2, 18, 0, tzinfo=BERLIN), "support", False),
    Moment("weekend", datetime(2026, 11, 1, 12, 0, tzinfo=BERLIN), "support", False),
    Moment("summer-time", datetime(2026, 7, 1, 8, 30, tzinfo=BERLIN), "support", True),
    Moment("always", datetime(2026, 11, 1, 3, 0, tzinfo=BERLIN), "incident", True),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.id)
def test_hours(moment: Moment) -> None:
    hours = load_house(EXAMPLE).hours
    assert hours.open_at(moment.local.timestamp(), moment.team) == moment.open


def test_the_digest_follows_what_the_house_says_and_no_option_it_does_not_use() -> None:
    policy = load_house(NEUTRAL)
    said = policy.model_dump(mode="json", exclude_defaults=True)
    assert "synonyms" not in said
    assert HousePolicy.model_validate({**said, "synonyms": []}).digest == policy.digest
    other = HousePolicy.model_validate({**said, "synonyms": [["purge", "delete"]]})
    assert other.digest != policy.digest


def test_what_no_model_is_shown_makes_nobody_train_again() -> None:
    policy = load_house(NEUTRAL)
    said = policy.model_dump(mode="json")
    said["reasons"]["account_takeover"]["meanwhile"] = {"en": "Call 112."}
    said["reasons"]["angry_customer"]["unless"] = ["my boss is"]
    said["templates"]["en"] |= {"about": "I am the concierge.", "thanks": "My pleasure."}
    assert HousePolicy.model_validate(said).digest == policy.digest
