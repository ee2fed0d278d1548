"""The widget on a page, in a real Chromium: what it adds, and how soon one can write.

    .venv/bin/python -m benchmarks.widget_load [--rounds 15]

A host page on another origin is loaded with and without the widget's script tag, turn by turn, each
time in a browser profile of its own, without a cache. Prints a table, and last one line of JSON:
milliseconds, medians, from the start of the navigation.
"""

import argparse
import shutil
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.table import Table

from benchmarks.harness import publish
from tests.e2e.widget.browsing import visiting
from tests.e2e.widget.conftest import FLAGS
from tests.e2e.widget.serving import Place, open_place

LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"
NOW = "() => performance.now()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        parser.error("chromium is not installed: apt-get install chromium")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_place(Path(folder)) as place,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        report(measure(browser, place, rounds))


def measure(browser: Browser, place: Place, rounds: int) -> dict[str, list[float]]:
    site = place.site(texts={"en": {"title": "Shop support"}})
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        with visiting(browser, frozenset()) as alone:
            alone.go(place.page())
            alone.page.wait_for_function(LOADED)
            took["page alone: loaded"].append(float(alone.page.evaluate(LOADED)))
            alone.foreign.clear()
        with visiting(browser, frozenset()) as visit:
            visit.go(place.page(site))
            visit.page.wait_for_function(LOADED)
            took["with the widget: loaded"].append(float(visit.page.evaluate(LOADED)))
            visit.button.wait_for()
            took["with the widget: button there"].append(float(visit.page.evaluate(NOW)))
            ours = [url for url in visit.foreign if url.startswith(place.our)]
            took["requests before it is opened"].append(float(len(ours)))
            pressed = float(visit.page.evaluate(NOW))
            visit.open()
            took["from pressing to writing"].append(float(visit.page.evaluate(NOW)) - pressed)
            visit.foreign.clear()
    return took


def report(took: dict[str, list[float]]) -> None:
    table = Table("what", "median", "slowest")
    for what, values in took.items():
        table.add_row(what, f"{statistics.median(values):.1f}", f"{max(values):.1f}")
    medians = {what: round(statistics.median(values), 1) for what, values in took.items()}
    publish("widget_load", medians, table)


if __name__ == "__main__":
    main()
