"""Every pattern takes time linear to its text: one message must not hold a process."""

import ast
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.answer.decide.rules import amounts, only_courteous
from twofold.house_file import NEUTRAL, load_house
from twofold.text.pumping import WORST_RATIO, Machine, superlinear, worst

ROOT = Path(__file__).parents[1]
PACKAGES = ("twofold", "services", "ingestion", "models")


def compiled() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Patterns that our modules hold, by the name that holds them."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        ):
            if module.name.endswith("__main__") or ".migrations" in module.name:
                continue
            try:
                held = vars(importlib.import_module(module.name))
            except ModuleNotFoundError:
                continue  # an extra that is not installed here
            for name, value in held.items():
                for pattern in _within(value):
                    yield f"{module.name}.{name}", pattern


def written_in_calls() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Patterns that stand in a call of `re`, as text."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if _calls_re(node) and isinstance(node.args[0], ast.Constant):
                    flags = re.IGNORECASE if "IGNORECASE" in ast.unparse(node) else 0
                    flags |= re.MULTILINE if "MULTILINE" in ast.unparse(node) else 0
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield where, re.compile(node.args[0].value, flags)


def of_the_house() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for path in (ROOT / "examples" / "brackwater" / "house.yaml", NEUTRAL):
        house = load_house(path)
        for name, reason in house.reasons.items():
            for pattern in (*reason.patterns, *reason.unless):
                yield f"{path.name}: {name}", re.compile(pattern, re.IGNORECASE)
        for pattern in house.style.promises:
            yield f"{path.name}: promises", re.compile(pattern, re.IGNORECASE)


def of_the_widget() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """What reads Markdown in browsers, in Python's way of writing: a page may be made to hold the
    tab of whoever looks at it."""
    path = ROOT / "services/widget/frontend/src/shared/markdown.tsx"
    text = path.read_text()
    literal = r"/((?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/([a-z]*)"
    for start in (r"^const [A-Z_]+ = ", r"\.replace\("):
        for written, flags in re.findall(start + literal, text, re.MULTILINE):
            multiline = re.MULTILINE if "m" in flags else 0
            yield f"{path.name}: {written}", re.compile(written, multiline)
    parts = re.search(r"const INLINE = new RegExp\(\s*\[(.*?)\n  \]", text, re.DOTALL)
    assert parts is not None
    for part in json.loads(f"[{parts[1].strip().rstrip(',')}]"):
        named = re.sub(r"\(\?<(?=[a-z])", "(?P<", part)
        yield f"{path.name}: {part}", re.compile(re.sub(r"\\k<(\w+)>", r"(?P=\1)", named))


def _within(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)) and depth < 4:
        for each in value:
            yield from _within(each, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        yield from _within(tuple(value.values()), depth + 1)


def _calls_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and bool(node.args)
    )


ALL = {
    (pattern.pattern, pattern.flags): (where, pattern)
    for found in (compiled(), written_in_calls(), of_the_house(), of_the_widget())
    for where, pattern in found
}


def test_there_are_patterns_to_look_at() -> None:
    assert len(ALL) > 200


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("where", "pattern"), ALL.values(), ids=[where for where, _ in ALL.values()]
)
def test_a_pattern_takes_steps_in_proportion_to_its_text(
    where: str, pattern: re.Pattern[Any]
) -> None:
    ratio, recipe = worst(pattern)
    assert ratio <= WORST_RATIO, f"{where}: {recipe}"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "bad", [r"(a+)+b", r"(a|a)*b", r"\s*x", r"a*a*b", r"<!--.*?-->", r"(?: \w+){0,2}(?: for the)*!"]
)
def test_the_measure_finds_what_backtracks(bad: str) -> None:
    assert worst(re.compile(bad))[0] > WORST_RATIO


@pytest.mark.heavy
@pytest.mark.parametrize("bad", [r"(a+)+b", r"(a|a){0,30}b", r"(a?){30}b", r"\s*x", "a" * 2001])
def test_a_house_learns_of_a_pattern_that_backtracks(bad: str) -> None:
    assert superlinear(re.compile(bad, re.IGNORECASE)) is not None


@pytest.mark.parametrize("good", [r"\bmy (own )?key\b[^.?!]{0,40}\bgone\b", r"\bmelde\w*\b"])
def test_a_house_may_use_what_takes_its_time(good: str) -> None:
    assert superlinear(re.compile(good, re.IGNORECASE)) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a|b)+?c", "ababc"),
        (r"(?<!x)y{2,}+z", "xyyz yyz"),
        (r"^\s*(?P<q>['\"]).*?(?P=q)$", " 'quoted'\n"),
        (r"(?>a|ab)c|abd", "abd"),
        (r"\b[A-Z]\w*\b(?! x)", "a Big x Bird"),
    ],
)
def test_the_measure_matches_as_re_does(pattern: str, text: str) -> None:
    flags = re.MULTILINE
    machine = Machine(re.compile(pattern, flags))
    machine.search(text)
    found = re.compile(pattern, flags).search(text)
    assert found is not None
    assert machine.found == found.span()


# --- the messages that once stopped a process ---------------------------------------------------


def test_thanks_for_the_for_the_is_read_at_once() -> None:
    from services.answer.contract import Question
    from twofold.index.contract import Scope

    def courteous(text: str) -> bool:
        scope = Scope("default", 0, frozenset())
        return only_courteous(Question(text, text, "en", scope, None))

    assert not courteous("thanks" + " for the" * 500 + " qq qq qq?")
    for text in (
        "thanks for the quick help!", "Thank you so much", "thanks for the help, good morning",
        "Danke schön für die Hilfe", "dankeschön", "ok, got it. have a nice day", "Hi there",
        "thanks for that, bye", "tschüss und danke",
    ):  # fmt: skip
        assert courteous(text), text
    for text in ("thanks, but how do I roll a secret?", "hi, my key is gone", "thanks for nothing"):
        assert not courteous(text), text


def test_ten_thousand_digits_are_one_number() -> None:
    assert amounts("1" * 12_000) == []
    assert amounts("9," * 6_000 + "9") == []
    assert amounts("$1,140 and 2.490 € or 2.5k USD") == [1140.0, 2490.0, 2500.0]
