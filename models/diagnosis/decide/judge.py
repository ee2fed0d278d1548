"""Whether an output is right, by its text, its facts or its JSON fields."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from models.diagnosis.decide.tasks import Wanted
from models.suite.facts import normal, says
from twofold.text.numbers import read

Kind = Literal["missing", "wrong", "form", "forbidden"]

_FENCED = re.compile(r"\A\s*+```[a-z]*+\n(?P<inner>.*?)\n?```\s*+\Z", re.DOTALL)
MOST = 200_000
"""Characters of an output that are read."""


class OutputProblem(NamedTuple):
    """`missing` and `wrong`: of its content. `form`: of how it is written."""

    kind: Kind
    text: str


def judge(wanted: Wanted, output: str) -> list[OutputProblem]:
    """Returns what is wrong with it; nothing where it is right."""
    output = output[:MOST]
    if not output.strip():
        return [OutputProblem("missing", "no output")]
    found = [OutputProblem("forbidden", f"says {each!r}") for each in wanted.forbidden
             if says(output, (each,))]  # fmt: skip
    if wanted.text is not None and normal(output) != normal(wanted.text):
        found.append(OutputProblem("wrong", "not the expected text"))
    found += [
        OutputProblem("missing", f"fact missing: {fact[0]!r}")
        for fact in wanted.spellings
        if not says(output, fact)
    ]
    if wanted.fields is not None:
        found += _fields(wanted.fields, output)
    return found


def holds(wanted: Wanted, context: Sequence[str]) -> bool | None:
    """Returns whether the context says what is wanted; None where it cannot be looked up there."""
    whole = "\n".join(context)
    if not whole.strip():
        return None
    if wanted.spellings:
        return all(says(whole, fact) for fact in wanted.spellings)
    if wanted.fields is not None:
        values = [v for v in _leaves(wanted.fields) if isinstance(v, (str, int, float))
                  and not isinstance(v, bool)]  # fmt: skip
        return all(says(whole, (str(value),)) for value in values) if values else None
    return None


def _fields(wanted: Mapping[str, Any], output: str) -> list[OutputProblem]:
    found: list[OutputProblem] = []
    value = _json(output)
    if value is None:
        inner = _FENCED.match(output)
        value = _json(inner["inner"]) if inner else None
        if value is None:
            value = _json(output[output.find("{") : output.rfind("}") + 1])
        found.append(
            OutputProblem(
                "form", "no JSON" if value is None else "words or a fence around the JSON"
            )
        )
    if value is None:
        return found
    if not isinstance(value, dict):
        return [*found, OutputProblem("form", "JSON, and not an object")]
    extra = sorted(value.keys() - wanted.keys())
    if extra:
        found.append(OutputProblem("form", f"keys that were not asked for: {', '.join(extra)}"))
    for key, expected in wanted.items():
        if key not in value:
            near = [name for name in extra if _letters(name) == _letters(key)]
            said = f"key {key!r} is missing"
            found.append(
                OutputProblem("form", f"{said}; it is called {near[0]!r}" if near else said)
            )
        elif _equal(expected, value[key]):
            continue
        elif not isinstance(expected, str) and _equal(_plain(expected), _loose(value[key])):
            found.append(OutputProblem("form", f"{key} is {value[key]!r}, and not {expected!r}"))
        else:
            found.append(OutputProblem("wrong", f"{key} is {value[key]!r} instead of {expected!r}"))
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    if isinstance(a, str) and isinstance(b, str):
        return normal(a) == normal(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(any(_equal(x, y) for y in b) for x in a)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return False


def _plain(expected: Any) -> Any:
    return float(expected) if type(expected) is int else expected


def _loose(value: Any) -> Any:
    """Returns a value as a person would take it: "30 days" is 30, "EUR 1,200" is 1200, "yes" is
    true."""
    if not isinstance(value, str):
        return value
    word = value.strip().casefold()
    if word in ("yes", "true", "no", "false"):
        return word in ("yes", "true")
    if word in ("", "none", "null", "n/a", "not specified"):
        return None
    found = list(read(value))
    if len(found) == 1 and found[0].is_quantity:
        return float(found[0].value)
    return value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
