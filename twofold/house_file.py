"""A house policy from its file: filled in from the neutral one, every mistake with its line."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from twofold.errors import InvalidInput, NotFound
from twofold.policy import HousePolicy, PolicyProblems, open_ends
from twofold.text.pumping import superlinear

NEUTRAL = Path(__file__).with_name("neutral.yaml")
EXTENDS = "extends"
BASE_TEAM = "support"
"""Its reasons and its words stand in where a house has no such team or no words for one."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGED = frozenset({"reasons", "templates", "limits", "hours", "style"})
"""What a house changes piece by piece; everything else it replaces whole."""


class HouseProblem(NamedTuple):
    """`line` counts from 1."""

    line: int
    where: str
    what: str


def load_house(path: Path | None, *, thorough: bool = False) -> HousePolicy:
    """Returns the house policy at `path`; the neutral one where there is none.

    Its patterns are looked at for a moment; `thorough`, for seconds, finds more of those that one
    message could hold a process with.
    Raises NotFound, or InvalidInput that names every mistake with its line.
    """
    if path is None:
        return _validated(NEUTRAL, _read(NEUTRAL), thorough)
    own = _read(path)
    if EXTENDS in own.data:
        return _validated(path, own._replace(data=_extended(path, own)), thorough)
    return _validated(path, own, thorough)


def schema() -> dict[str, Any]:
    """Returns JSON Schema of a house.yaml, for editors. Nothing is required: `extends` fills the
    rest."""
    found = HousePolicy.model_json_schema()
    for part in (found, *found["$defs"].values()):
        part.pop("required", None)
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "Twofold house policy"
    found["properties"][EXTENDS] = {
        "const": "neutral",
        "description": "Start from the neutral house policy, and say only what is different.",
    }
    return found


class _File(NamedTuple):
    data: dict[str, Any]
    root: yaml.Node


def _read(path: Path) -> _File:
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        data = None if root is None else loader.construct_document(root)
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(
            f"There is no house policy at {path}. Set TWOFOLD_HOUSE to yours, or make one with:"
            " twofold init"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid YAML: {error}") from error
    if root is None or not isinstance(data, dict):
        raise InvalidInput(f"{path}: write keys and values, such as `company: Example`.")
    return _File(data, root)


def _extended(path: Path, own: _File) -> dict[str, Any]:
    data = dict(own.data)
    if (base := data.pop(EXTENDS)) != "neutral":
        line = _line(own.root, (EXTENDS,))
        raise InvalidInput(f"{path}:{line}: {EXTENDS}: there is 'neutral', and not {base!r}.")
    merged = _merge(_read(NEUTRAL).data, data)
    _fit_teams(merged, data)
    return merged


def _merge(base: Mapping[str, Any], own: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        inside = depth > 0 or key in _MERGED
        if value is None and depth > 0:
            merged.pop(key, None)
        elif inside and isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            merged[key] = _merge(base[key], value, depth + 1)
        else:
            merged[key] = value
    return merged


def _fit_teams(merged: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Moves neutral reasons of a team that the house lacks to its first team; every team gets
    its words."""
    teams, reasons, templates = (merged[key] for key in ("teams", "reasons", "templates"))
    if not (teams and all(isinstance(part, dict) for part in (teams, reasons, templates))):
        return  # the schema says what is wrong
    first = next(iter(teams))
    said = own.get("reasons") or {}
    for name, reason in reasons.items():
        chosen = isinstance(said.get(name), Mapping) and "team" in said[name]
        if isinstance(reason, dict) and reason.get("team") not in teams and not chosen:
            reason["team"] = first
    for words in templates.values():
        if isinstance(words, dict) and isinstance(named := words.get("teams"), dict):
            words["teams"] = {team: named.get(team, named.get(BASE_TEAM, team)) for team in teams}


def _validated(path: Path, file: _File, thorough: bool) -> HousePolicy:
    try:
        house = HousePolicy.model_validate(file.data)
    except ValidationError as error:
        raise _refused(path, _problems(error, file)) from error
    if slow := list(_slow(house, file, thorough)):
        raise _refused(path, slow)
    return house


def _refused(path: Path, problems: Iterable[HouseProblem]) -> InvalidInput:
    lines = [f"{path}:{p.line}: {p.where}: {p.what}" for p in sorted(set(problems))]
    return InvalidInput("\n".join(lines))


def _slow(house: HousePolicy, file: _File, thorough: bool) -> Iterator[HouseProblem]:
    """Patterns that are no regular expression, or that one message could hold a process with. A
    test judges those of the neutral policy."""
    known = set(_patterns(_read(NEUTRAL).data).values())
    for where, pattern in _patterns(house.model_dump()).items():
        if pattern in known:
            continue
        try:
            what = superlinear(re.compile(pattern, re.IGNORECASE), thorough=thorough)
        except re.error as error:
            what = f"{pattern!r} is no regular expression: {error}"
        if what is not None:
            yield HouseProblem(_line(file.root, where), ".".join(where), what)


def _patterns(data: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    """Returns every pattern of a policy, by its place."""
    found = {
        ("reasons", name, key, str(n)): pattern
        for name, reason in data["reasons"].items()
        for key in ("patterns", "unless")
        for n, pattern in enumerate(reason.get(key, ()))
    }
    promises = enumerate(data["style"].get("promises", ()))
    return found | {("style", "promises", str(n)): each for n, each in promises}


def _problems(error: ValidationError, file: _File) -> Iterator[HouseProblem]:
    for found in error.errors():
        if isinstance(found.get("ctx", {}).get("error"), PolicyProblems):
            continue
        where = tuple(str(part) for part in found["loc"] if part != "[key]")
        what = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            what = "there is no such key; check its spelling"
        yield HouseProblem(_line(file.root, where), ".".join(where), what)
    for where, what in open_ends(file.data):
        yield HouseProblem(_line(file.root, where), ".".join(where), what)


def _line(node: yaml.Node, where: tuple[str, ...]) -> int:
    """Returns the line of the deepest part of `where` that the file holds."""
    if not where:
        return int(node.start_mark.line) + 1
    head, *rest = where
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == head:
                inner = _line(value, tuple(rest)) if rest else 0
                own = int(key.start_mark.line) + 1
                return inner if rest and inner > own else own
    elif isinstance(node, yaml.SequenceNode) and head.isdigit() and int(head) < len(node.value):
        return _line(node.value[int(head)], tuple(rest))
    return int(node.start_mark.line) + 1
