"""What browsers load: each page for whom it is meant, and a policy that lets nothing else run."""

import html
import re
from typing import Any

import httpx
import orjson
import pytest

from services.widget import pages
from tests.services.widget.visiting import SHOP, Visitor, World

OTHER = "https://evil.example.net"
pytestmark = pytest.mark.skipif(
    not (pages.STATIC / "manifest.json").exists(), reason="the frontend is not built: make widget"
)


def frame(here: World, site: str, origin: str = SHOP, **headers: str) -> httpx.Response:
    return httpx.get(
        f"{here.url}/widget/app/{site}",
        params={"origin": origin} if origin else {},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    """Directives of the page's Content-Security-Policy."""
    parts = (part.split() for part in answer.headers["content-security-policy"].split(";"))
    return {name: values for name, *values in parts}


def shell(answer: httpx.Response) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="twofold">(.*?)</script>', answer.text)
    assert found is not None
    data: dict[str, Any] = orjson.loads(found[1])
    return data


def test_the_frame_is_for_the_site_s_own_pages(here: World) -> None:
    site = here.site(origins=[SHOP, "https://*.example.org"])
    page = frame(here, site.id)
    assert page.status_code == 200
    assert policy(page)["frame-ancestors"] == [SHOP, "https://*.example.org"]
    for origin in (OTHER, "", "null", SHOP + ".evil.example"):
        assert frame(here, site.id, origin).status_code == 403, origin
    assert frame(here, here.site(origins=[]).id).status_code == 403
    assert frame(here, "site_of_nobody").status_code == 404


def test_a_page_that_lies_about_itself_is_told_by_its_browser(here: World) -> None:
    site = here.site()
    assert frame(here, site.id, referer=SHOP + "/").status_code == 200
    assert frame(here, site.id, referer=OTHER + "/").status_code == 403


def test_nothing_runs_in_a_page_of_ours_but_our_own_files(here: World) -> None:
    site = here.site()
    for page in (frame(here, site.id), httpx.get(f"{here.url}/desk")):
        rules = policy(page)
        assert "unsafe" not in page.headers["content-security-policy"]
        assert rules["default-src"] == ["'none'"]
        assert rules["script-src"] == ["'self'"]
        assert rules["require-trusted-types-for"] == ["'script'"]
        assert rules["trusted-types"] == ["'none'"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in page.headers
        for script in re.findall(r"<script[^>]*>", page.text):
            assert 'src="/widget/assets/' in script or 'type="application/json"' in script
        for path in re.findall(r'(?:src|href)="(/widget/assets/[^"]+)"', page.text):
            asset = httpx.get(f"{here.url}{path}")
            assert asset.status_code == 200
            assert "immutable" in asset.headers["cache-control"]
    assert policy(httpx.get(f"{here.url}/desk"))["frame-ancestors"] == ["'none'"]


def test_a_ticket_of_the_page_begins_a_session_and_no_other_site_s_does(here: World) -> None:
    site = here.site()
    told = shell(frame(here, site.id))
    assert (told["origin"], told["api"]) == (SHOP, f"/widget/v1/{site.id}")
    body = {"ticket": told["ticket"], "origin": SHOP}
    assert httpx.post(f"{here.url}{told['api']}/sessions", json=body).status_code == 201
    assert Visitor(here, here.site())("POST", "/sessions", body).status_code == 401


def test_what_a_site_s_owner_writes_ends_no_script(here: World) -> None:
    evil = "</script><script>alert(1)</script><!--\u2028"
    site = here.site(name="</title>" + evil[:40], texts={"en": {"greeting": evil}})
    page = frame(here, site.id)
    assert shell(page)["config"]["texts"]["en"]["greeting"] == evil
    assert "<script>alert" not in page.text
    assert f"<title>{html.escape(site.config.name)}</title>" in page.text
    loader = httpx.get(f"{here.url}/widget/loader.js", params={"site": site.id})
    assert "</script" not in loader.text
    assert "\u2028" not in loader.text


def test_the_loader_has_the_site_in_it_and_is_kept_until_that_changes(here: World) -> None:
    site = here.site(theme={"primary": "#0a7d34"})
    url = f"{here.url}/widget/loader.js"
    loader = httpx.get(url, params={"site": site.id})
    assert loader.headers["content-type"].startswith("text/javascript")
    assert pages.PLACE.decode() not in loader.text
    assert "#0a7d34" in loader.text
    assert SHOP not in loader.text, "who may embed it is nobody else's business"
    known = {"If-None-Match": loader.headers["etag"]}
    assert httpx.get(url, params={"site": site.id}, headers=known).status_code == 304
    here.widget.sites.edit(site.id, {"theme": {"primary": "#222222"}})
    assert httpx.get(url, params={"site": site.id}, headers=known).status_code == 200
    nobody = httpx.get(url, params={"site": '"+alert(1)+"'})
    assert nobody.text.startswith("console.warn(")
    assert '"+alert(1)+"' not in nobody.text


def test_an_app_may_open_it_by_itself_where_the_site_says_so(here: World) -> None:
    site = here.site(webview=True)
    url = f"{here.url}/widget/app"
    page = httpx.get(f"{url}/{site.id}", params={"mode": "webview"})
    assert policy(page)["frame-ancestors"] == ["'none'"]
    told = shell(page)
    visitor = Visitor(here, site, told["origin"])
    assert visitor("POST", "/sessions", {k: told[k] for k in ("ticket", "origin")}).is_success
    refused = httpx.get(f"{url}/{here.site().id}", params={"mode": "webview"})
    assert refused.status_code == 403


@pytest.mark.parametrize("name", ["../pages.py", "..%2fpages.py", "manifest.json", ".env", "x.js"])
def test_only_built_files_are_handed_out(here: World, name: str) -> None:
    assert httpx.get(f"{here.url}/widget/assets/{name}").status_code == 404


def test_a_logo_of_another_host_is_the_only_foreign_thing(here: World) -> None:
    site = here.site(theme={"logo": "https://cdn.example.com/logo.png"})
    rules = policy(frame(here, site.id))
    assert rules["img-src"] == ["'self'", "data:", "https://cdn.example.com"]
