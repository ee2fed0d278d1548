"""Every package that is shipped has a licence that somebody allowed, and stands in the docs."""

import re

import pytest

from tests.deploy.tools import ROOT
from tools.licences import allowed, packages, page


def test_every_licence_is_known_and_allowed() -> None:
    assert len(list(packages())) > 50
    assert page()


def test_the_page_lists_every_package() -> None:
    told = (ROOT / "docs/licences.md").read_text()
    missing = [name for name, _, _ in packages() if f"| {name} |" not in told]
    assert not missing, "python -m tools.licences"


@pytest.mark.parametrize(
    ("expression", "may"),
    [
        ("MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("AGPL-3.0-only", False),
        ("MIT AND SSPL-1.0", False),
        ("GPL-2.0-only OR MIT", True),
        ("", False),
    ],
)
def test_expressions_are_read_whole(expression: str, may: bool) -> None:
    assert allowed(expression) is may


def test_no_package_is_told_without_a_licence() -> None:
    told = (ROOT / "docs/licences.md").read_text()
    assert not re.search(r"^\| [\w.-]+ \| [\w.+]+ \|\s*\|$", told, re.MULTILINE)
