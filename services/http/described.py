"""What parameters and fields of the API mean, put into its OpenAPI document."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

GLOSSARY = Path(__file__).with_name("glossary.yaml")


@cache
def glossary() -> Mapping[str, Mapping[str, str]]:
    """Returns what names mean: `everywhere`, and `of` one schema or path."""
    found: dict[str, dict[str, str]] = yaml.safe_load(GLOSSARY.read_text(encoding="utf-8"))
    return found


def describe(document: dict[str, Any]) -> None:
    """Describes each parameter and field of an OpenAPI document that does not describe itself."""
    for names, described in named(document):
        meaning = next(filter(None, map(_meaning, names)), "")
        if meaning and not described.get("description"):
            described["description"] = meaning


def named(document: Mapping[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yields each parameter and each field of a schema, with the names it has in the glossary, the
    closest first."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                name = parameter["name"]
                yield [*(f"{place}.{name}" for place in _above(path)), name], parameter
    for schema, described in document["components"]["schemas"].items():
        for name, field in described.get("properties", {}).items():
            yield [f"{schema.rpartition('__')[2]}.{name}", name], field


def _above(path: str) -> Iterator[str]:
    """Yields the path and those above it, the longest first."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _meaning(name: str) -> str | None:
    known = glossary()
    return known["of"].get(name) or known["everywhere"].get(name)
