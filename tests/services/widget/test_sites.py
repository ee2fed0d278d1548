"""Sites: what may be said of one, by API and by command, and what of it anybody is told."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.widget import theme
from services.widget.hours import Hours
from services.widget.site import check_origin
from tests.deploy.fake_http import serving
from tests.services.widget.visiting import SHOP, World, config
from twofold import server_file
from twofold.commands import build
from twofold.errors import InvalidInput

HEX = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_site_is_added_shown_changed_and_removed(here: World) -> None:
    url = f"{here.url}/v1/sites"
    made = httpx.post(url, json={"name": "Shop", "origins": ["https://WWW.example.com/"]})
    assert made.status_code == 201
    id = made.json()["site"]
    assert made.json()["config"]["origins"] == ["https://www.example.com"]
    assert httpx.post(url, json={"name": "Shop"}).status_code == 409
    changed = httpx.patch(f"{url}/{id}", json={"theme": {"primary": "#ffee00"}, "locales": ["de"]})
    assert changed.json()["config"]["theme"]["on_primary"] == theme.BLACK
    assert changed.json()["config"]["locale"] == "de"
    assert changed.json()["config"]["origins"] == ["https://www.example.com"]
    assert id in [each["site"] for each in httpx.get(url).json()["sites"]]
    assert httpx.delete(f"{url}/{id}").status_code == 204
    assert httpx.get(f"{url}/{id}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"origins": ["http://www.example.com"]}, "https"),
        ({"origins": ["*"]}, "origin"),
        ({"origins": ["https://*"]}, "origin"),
        ({"origins": ["https://a.example/path"]}, "origin"),
        ({"origins": ["https://user@a.example"]}, "origin"),
        ({"origins": ["javascript:alert(1)"]}, "origin"),
        ({"origins": ["https://a.example; script-src *"]}, "origin"),
        ({"theme": {"primary": "#777777", "on_primary": "#888888"}}, "contrast"),
        ({"theme": {"primary": "red"}}, "#rrggbb"),
        ({"theme": {"logo": "http://a.example/logo.png"}}, "logo"),
        ({"theme": {"logo": "javascript:alert(1)"}}, "logo"),
        ({"theme": {"logo": "https://a.example; connect-src *"}}, "logo"),
        ({"theme": {"logo": "https://a.example,b.example/"}}, "logo"),
        ({"theme": {"logo": "https://bücher.example/logo.png"}}, "logo"),
        ({"consent": {"text": {"en": "x"}, "privacy_url": "javascript:alert(1)"}}, "link"),
        ({"locales": ["en"], "locale": "de"}, "de"),
        ({"hours": {"timezone": "Mars/Base", "week": {}}}, "time zone"),
        ({"hours": {"week": {"mon": [["17:00", "09:00"]]}}}, "before"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    here: World, fields: dict[str, Any], says: str
) -> None:
    refused = httpx.post(f"{here.url}/v1/sites", json={"name": "Refused", **fields})
    assert refused.status_code == 422
    assert says in refused.text
    with pytest.raises(InvalidInput, match=says.replace("#", ".")):
        config(**fields)


def test_nobody_may_embed_a_site_without_origins() -> None:
    assert not config(origins=[]).allows(SHOP)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example.com", True),
        ("https://a.b.example.com", True),
        ("https://example.com", False),
        ("http://a.example.com", False),
        ("https://evilexample.com", False),
        ("https://a.example.com.evil.net", False),
        ("https://a.example.com:8443", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_star_stands_for_subdomains(origin: str, allowed: bool) -> None:
    assert config(origins=["https://*.example.com"]).allows(origin) is allowed


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert check_origin("https://Example.COM:443/") == "https://example.com"
    assert check_origin("http://localhost:3000") == "http://localhost:3000"


@given(primary=HEX)
def test_whatever_the_colour_its_text_can_be_read(primary: str) -> None:
    made = config(theme={"primary": primary}).theme
    assert theme.contrast(made.on_primary, made.primary) >= theme.AA
    assert theme.contrast(made.on_primary_dark, made.primary_dark) >= theme.AA
    assert theme.contrast(made.primary_dark, "#14161b") >= theme.AA


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#0000ff", "#ffffff", 8.59)],
)
def test_contrast_is_wcag_s(one: str, other: str, ratio: float) -> None:
    assert theme.contrast(one, other) == pytest.approx(ratio, abs=0.01)


WEEK = {"mon": [("09:00", "12:00"), ("13:00", "17:00")], "sat": [("22:00", "24:00")]}


@pytest.mark.parametrize(
    ("at", "open", "opens"),
    [
        ("2026-11-30 10:00", True, None),
        ("2026-11-30 12:30", False, "2026-11-30 13:00"),
        ("2026-11-30 17:00", False, "2026-12-05 22:00"),
        ("2026-12-05 23:59", True, None),
        ("2026-12-06 00:00", False, "2026-12-12 22:00"),
    ],
)
def test_office_hours_are_the_site_s_own(at: str, open: bool, opens: str | None) -> None:
    hours = Hours.model_validate(
        {"timezone": "Europe/Berlin", "week": WEEK, "closed": ["2026-12-07"]}
    )
    office = hours.at(_moment(at))
    assert office.open is open
    assert office.opens_at == (None if opens is None else _moment(opens))


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_what_is_public_of_a_site_is_no_secret_of_it() -> None:
    told = config(daily_quota=7, retention_days=3, hours={"week": {}}).public("site_x", 4000)
    assert "origins" not in told
    assert {"daily_quota", "retention_days", "hours", "webview"}.isdisjoint(told)


@pytest.mark.heavy
def test_the_command_does_the_same(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path_factory.mktemp("home")))
    made = _run("add", "Shop", "--origin", SHOP, "--audience", "customer", "--json")
    site = json.loads(made)["site"]
    assert f"{site}  Shop  {SHOP}" in _run("list")
    assert f'/widget/loader.js?site={site}"></script>' in _run("show", "Shop")
    changed = json.loads(_run("edit", site, "--daily-quota", "9", "--primary", "#000", "--json"))
    assert changed["config"]["daily_quota"] == 9
    assert changed["config"]["theme"]["primary"] == "#000000"
    assert changed["config"]["identity"]["audiences"] == ["customer"]
    first = _run("secret", "Shop")
    assert _run("secret", "Shop") == first
    assert _run("secret", "Shop", "--rotate") != first
    refused = CliRunner().invoke(build(), ["site", "add", "Bad", "--origin", "ftp://x"])
    assert refused.exit_code == 2
    assert "`origins.0`" in refused.output
    _run("remove", "Shop", "--yes")
    assert "No sites" in _run("list")


@pytest.mark.heavy
def test_the_tag_comes_last_and_names_where_the_server_runs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TWOFOLD_HOME", str(home))
    path = "/widget/loader.js?site="
    said = _run("add", "Shop", "--origin", SHOP).splitlines()
    assert f'src="http://127.0.0.1:8080{path}' in said[-1]
    assert len(said) < 6
    with serving({"/healthz": {}}) as url:
        server_file.announce(home, url)
        assert f'src="{url}{path}' in _run("show", "Shop").splitlines()[-1]
        monkeypatch.setenv("TWOFOLD_WIDGET_URL", "https://help.example.com/")
        assert f'src="https://help.example.com{path}' in _run("show", "Shop").splitlines()[-1]


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(build(), ["site", *arguments])
    assert done.exit_code == 0, done.output
    return done.output
