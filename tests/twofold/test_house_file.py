"""A house policy from its file: the neutral one fills it in, and mistakes have lines."""

import json
from datetime import time
from pathlib import Path

import pytest

from twofold.errors import InvalidInput, NotFound
from twofold.house_file import NEUTRAL, load_house, schema
from twofold.policy import NOT_IN_SOURCES

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "house.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_neutral_policy_speaks_and_names_nobody() -> None:
    policy = load_house(None)

    assert NOT_IN_SOURCES in policy.reasons
    assert {"en", "de", "fr", "es", "it", "pt", "nl"} <= policy.templates.keys()
    said = policy.model_dump_json().lower()
    assert "brackwater" not in said
    assert "relay" not in said


def test_a_house_says_only_what_is_different(tmp_path: Path) -> None:
    policy = load_house(
        write(
            tmp_path,
            "extends: neutral\ncompany: Acme\nlocales: [de, en]\n"
            "reasons:\n  angry_customer: null\n  legal_threat: {consent: true}\n"
            "  parcel_lost: {team: support, when: A parcel did not arrive.}\n"
            "templates: {en: {decline: Ask the bakery.}}\n",
        )
    )
    neutral = load_house(None)

    assert (policy.company, policy.product) == ("Acme", neutral.product)
    assert policy.locales == ("de", "en")
    assert neutral.reasons.keys() - policy.reasons.keys() == {"angry_customer"}
    assert policy.reasons["legal_threat"].consent
    assert policy.reasons["legal_threat"].patterns == neutral.reasons["legal_threat"].patterns
    assert policy.reasons["parcel_lost"].team == "support"
    assert policy.say("en").decline == "Ask the bakery."
    assert policy.say("en").clarify == neutral.say("en").clarify


def test_reasons_of_teams_that_a_house_lacks_go_to_its_first(tmp_path: Path) -> None:
    path = write(tmp_path, "extends: neutral\nteams: {desk: All of it, legal: Courts}\n")
    policy = load_house(path)

    assert policy.reason_teams["legal_threat"] == "legal"
    assert policy.reason_teams["billing_dispute"] == "desk"
    assert policy.say("en").teams.keys() == {"desk", "legal"}


def test_every_mistake_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "extends: neutral\n"
        "locals: [en]\n"
        "locales: [en, English]\n"
        "reasons:\n"
        "  parcel:\n"
        "    team: warehouse\n"
        "    when: A parcel did not arrive.\n"
        "    patterns: ['(']\n"
        "limits:\n"
        "  money: many\n"
        "hours:\n"
        "  timezone: Mars\n"
        "  always: [nobody]\n",
    )
    with pytest.raises(InvalidInput) as raised:
        load_house(path)

    lines = [line.removeprefix(f"{path}:") for line in raised.value.message.splitlines()]
    assert [line.split(": ")[:2] for line in lines] == [
        ["2", "locals"],
        ["3", "locales"],
        ["6", "reasons.parcel.team"],
        ["8", "reasons.parcel.patterns"],
        ["10", "limits.money"],
        ["12", "hours.timezone"],
        ["13", "hours.always"],
    ]


@pytest.mark.parametrize(
    ("opens", "closes", "said"),
    [
        ("25:00", "17:00", ":3: hours.opens: 25:00 is not a time of a day"),
        ("9", "17:00", ":3: hours.opens: 9 is not a time of a day"),
        ("09:00", "'24:30'", ":4: hours.closes: "),
        ("17:00", "9:30", ":4: hours.closes: 17:00 to 09:30 ends before it begins"),
    ],
)
def test_hours_that_no_day_has_are_refused(
    tmp_path: Path, opens: str, closes: str, said: str
) -> None:
    text = f"extends: neutral\nhours:\n  opens: {opens}\n  closes: {closes}\n"
    with pytest.raises(InvalidInput) as raised:
        load_house(write(tmp_path, text))
    assert said in raised.value.message


def test_hours_need_no_quotes(tmp_path: Path) -> None:
    text = "extends: neutral\nhours: {opens: 9:30, closes: 17:00}\n"
    hours = load_house(write(tmp_path, text)).hours
    assert (hours.opens, hours.closes) == (time(9, 30), time(17))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: brackwater\n", "there is 'neutral'"),
        ("- a list\n", "keys and values"),
        ("", "keys and values"),
        ("company: [unclosed\n", "not valid YAML"),
        ("extends: neutral\nteams: everybody\n", "teams"),
        ("extends: neutral\nreasons: [a, b]\n", "reasons"),
    ],
)
def test_what_is_no_policy_is_refused_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        load_house(write(tmp_path, text))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="twofold init"):
        load_house(tmp_path / "none.yaml")


def test_the_published_schema_is_todays() -> None:
    published = json.loads((ROOT / "docs" / "house.schema.json").read_text())

    assert published == schema(), "run: twofold house schema > docs/house.schema.json"
    assert "required" not in published
    assert set(published["properties"]) >= {"extends", "company", "reasons"}


def test_the_neutral_policy_is_whole_by_itself() -> None:
    assert load_house(NEUTRAL) == load_house(None)


@pytest.mark.heavy
@pytest.mark.parametrize("bad", ["(a+)+b", "thanks( for the)* (\\w+ )*!", "(a?){40}b"])
def test_a_pattern_that_could_hold_a_process_is_named_with_its_line(
    bad: str, tmp_path: Path
) -> None:
    house = tmp_path / "house.yaml"
    house.write_text(
        "extends: neutral\ncompany: Acme\nreasons:\n  angry_customer:\n    patterns:\n"
        f"      - '\\bfine\\b'\n      - '{bad}'\n"
    )
    with pytest.raises(InvalidInput, match=r"house.yaml:7: reasons.angry_customer.patterns.1: "):
        load_house(house, thorough=True)
    house.write_text(house.read_text().replace(bad, r"\bbad (\w{1,20} ){0,3}word\b"))
    assert load_house(house, thorough=True).company == "Acme"


@pytest.mark.heavy
@pytest.mark.parametrize("bad", ["(a+)+b", "(a?){40}b"])
def test_an_exponential_pattern_is_refused_in_passing(bad: str, tmp_path: Path) -> None:
    house = tmp_path / "house.yaml"
    house.write_text(f"extends: neutral\nstyle:\n  promises:\n    - '{bad}'\n")
    with pytest.raises(InvalidInput, match=r"style.promises.0: "):
        load_house(house)


def test_a_promise_that_is_no_expression_is_named(tmp_path: Path) -> None:
    house = tmp_path / "house.yaml"
    house.write_text("extends: neutral\ncompany: Acme\nstyle:\n  promises: ['(open']\n")
    with pytest.raises(InvalidInput, match=r"house.yaml:4: .*no regular expression"):
        load_house(house)
