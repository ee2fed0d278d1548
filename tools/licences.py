"""Writes `docs/licences.md`: what Twofold ships and installs, and under which licences.

Packages as the image's lock names them, read from the environment that is installed; models from
`requirements/model-assets.yaml`; the widget's packages from its lock. A licence that is on no list
here ends it with an error: somebody has to look.
"""

import argparse
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "licences.md"
WIDGET = ROOT / "services/widget/frontend/package-lock.json"
ALLOWED = re.compile(
    r"(MIT|MIT-0|MIT-CMU|Apache-2\.0|BSD-[23]-Clause|0BSD|ISC|PSF-2\.0|Python-2\.0|MPL-2\.0|Unlicense"
    r"|Zlib|CC0-1\.0|LGPL-3\.0-only|LGPL-3\.0-or-later|GPL-3\.0-or-later WITH GCC-exception-3\.1"
    r"|BlueOak-1\.0\.0|CC-BY-4\.0)"
)
"""LGPL: psycopg, which is used as it comes. MPL: certifi and others, unchanged."""
BY_CLASSIFIER = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "The Unlicense (Unlicense)": "Unlicense",
}
BY_WORDS = {
    "apache": "Apache-2.0", "mit": "MIT", "bsd": "BSD-3-Clause", "lgpl": "LGPL-3.0-only",
    "mozilla": "MPL-2.0", "psf": "PSF-2.0", "python software": "PSF-2.0", "isc": "ISC",
}  # fmt: skip


def licence_of(name: str) -> str:
    """An SPDX expression; "" where the package does not say one that is known."""
    about = importlib.metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return str(expression)
    for classifier in about.get_all("Classifier") or ():
        last = classifier.rpartition(" :: ")[2]
        if classifier.startswith("License ::") and last in BY_CLASSIFIER:
            return BY_CLASSIFIER[last]
    words = str(about.get("License") or "").strip()
    if ALLOWED.fullmatch(words):
        return words
    first = words[:60].lower()
    return next((spdx for word, spdx in BY_WORDS.items() if re.search(rf"\b{word}\b", first)), "")


def allowed(expression: str) -> bool:
    """Whether every part of an `AND`, and one part of an `OR`, is on the list."""
    bare = expression.replace("(", " ").replace(")", " ")
    return all(
        any(ALLOWED.fullmatch(part.strip()) for part in re.split(r"\sOR\s", each))
        for each in re.split(r"\sAND\s", bare)
    )


def packages() -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of what the image's lock installs."""
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)==([\w.+]+)",
        (ROOT / "requirements/image.txt").read_text(),
        re.MULTILINE,
    ):
        try:
            yield name, version, licence_of(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform or Python


def widget_packages() -> Iterator[tuple[str, str, str]]:
    """What the widget's build takes; none of it but Preact is in what browsers load."""
    if not WIDGET.is_file():
        return
    for path, about in sorted(json.loads(WIDGET.read_text())["packages"].items()):
        if path:
            name = path.rpartition("node_modules/")[2]
            yield name, about["version"], about.get("license", "")


def page() -> str:
    """The whole page. Exits where a licence is unknown or not allowed."""
    lines = [
        "# Licences",
        "",
        "Made by `python -m tools.licences`. Twofold itself is under Apache-2.0.",
        "",
        "## Python packages of the image",
        "",
        "| package | version | licence |",
        "|---|---|---|",
    ]
    unknown = []
    for name, version, licence in packages():
        lines.append(f"| {name} | {version} | {licence} |")
        if not licence or not allowed(licence):
            unknown.append(f"{name} ({licence or 'none told'})")
    lines += ["", "## Models", "", "| model | use | licence | origin |", "|---|---|---|---|"]
    for asset in yaml.safe_load((ROOT / "requirements/model-assets.yaml").read_text()):
        lines.append(
            f"| {asset['name']} | {asset['use']} | {asset['licence']} | {asset['origin']} |"
        )
    found = list(widget_packages())
    if found:
        lines += ["", "## Packages of the widget's build", "", "| package | version | licence |"]
        lines.append("|---|---|---|")
    for name, version, licence in found:
        lines.append(f"| {name} | {version} | {licence} |")
        if not licence or not allowed(licence):
            unknown.append(f"{name} ({licence or 'none told'})")
    if unknown:
        sys.exit(
            f"Look at these licences, then allow them in tools/licences.py: {', '.join(unknown)}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where it differs")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made)
    elif not PAGE.is_file() or PAGE.read_text() != made:
        sys.exit("docs/licences.md is old. Run: python -m tools.licences")


if __name__ == "__main__":
    main()
