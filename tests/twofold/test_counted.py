"""Numbers and what they count agree."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.counted import counted

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingestion", "models", "services", "twofold")
LIMIT = re.compile(r"[A-Z_]+$|.*\b(max|most|longest|rate|redirects|split)")
"""Names of what is never one, or no number."""

VERBS = ("answers", "pass")
"""Words that need no number before them."""


@pytest.mark.parametrize(
    ("n", "said"), [(0, "0 cases fail"), (1, "1 case fails"), (1200, "1,200 cases fail")]
)
def test_a_number_agrees_with_what_it_counts(n: int, said: str) -> None:
    assert counted(n, "case fails", "cases fail") == said
    assert counted(n, "case") == " ".join(said.split()[:2])


def test_nothing_that_is_counted_elsewhere_is_counted_by_hand() -> None:
    trees = {
        path: ast.parse(path.read_text())
        for name in PACKAGES
        for path in sorted((ROOT / name).rglob("*.py"))
    }
    plurals = {plural for tree in trees.values() for plural in _plurals(tree)}
    assert {"cases", "documents", "queries", "handoffs"} <= plurals
    by_hand = re.compile(rf" (?:{'|'.join(sorted(plurals))})\b")
    stray = [
        f"{path.relative_to(ROOT)}:{value.lineno}: {ast.unparse(value.value)}{text}"
        for path, tree in trees.items()
        for value, text in _numbers(tree)
        if by_hand.match(text) and not LIMIT.match(ast.unparse(value.value))
    ]
    assert not stray


def _plurals(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "counted":
            words = [str(each.value) for each in call.args[1:] if isinstance(each, ast.Constant)]
            if words:
                plural = words[1].split()[0] if len(words) > 1 else f"{words[0].split()[-1]}s"
                if plural.endswith("s") and plural not in VERBS:
                    yield plural


def _numbers(tree: ast.AST) -> Iterator[tuple[ast.FormattedValue, str]]:
    """Yields each value of an f-string that text follows; not one with decimals or a percentage."""
    for string in ast.walk(tree):
        if isinstance(string, ast.JoinedStr):
            for value, text in zip(string.values, string.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    spec = ast.unparse(value.format_spec) if value.format_spec else ""
                    if value.conversion == -1 and "." not in spec:
                        yield value, str(text.value)
