"""Front matter, as sites write it: YAML, TOML or JSON at the top, or `Key: value` lines.

It says who may read a page, so what looks like front matter and cannot be read is refused, with
its line: never is it taken for text of a page that everybody may see.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from ingestion.extract.dialects.code import stretches
from ingestion.extract.visibility import SAYS_WHO, normal
from twofold.errors import InvalidInput

MAX_CHARS = 100_000
MAX_DEPTH = 30

_SKIPPED = re.compile(r"\s+|\ufeff|<!doctype[^<>]{0,300}>|<\?xml[^<>]{0,300}\?>", re.IGNORECASE)
_FENCED = re.compile(
    r"(?<![-+;])(-{3,}+|\+{3}|;{3})[ \t]*+(yaml|yml|toml|json)?+[ \t]*+(?:\n|\Z)", re.IGNORECASE
)
_KEY_LINE = re.compile(r"[\"']?[A-Za-z_][\w.-]{0,60}[\"']?[ \t]{0,20}[:=](?:\s|$)|#")
_HEADER_LINE = re.compile(r"([A-Za-z][\w -]{0,40}):(?:[ \t]+(.*))?$")
_MISPLACED = re.compile(
    r"^-{3,}[ \t]*\n(?:[ \t]*\n)*(?=[A-Za-z_][\w-]{0,60}[ \t]{0,9}:)", re.MULTILINE
)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NO_LINES: Mapping[str, int] = MappingProxyType({})


class FrontMatter(NamedTuple):
    """The keys, the text behind them, and how many lines of the file came before that text.

    `key_lines` says where each key of the outermost level stands.
    """

    values: dict[str, Any]
    body: str
    lines: int
    key_lines: Mapping[str, int] = NO_LINES


def read_front_matter(text: str) -> FrontMatter:
    """Cuts the front matter off a text. Raises InvalidInput naming the line that is broken."""
    start, comments = _start(text)
    for at, comment in comments:
        if said := _in_comment(comment):
            line = text.count("\n", 0, at) + 1
            return FrontMatter(
                said, text[start:], text.count("\n", 0, start), dict.fromkeys(said, line)
            )
    found = _fenced(text, start) or _json(text, start) or _header(text, start)
    if found is not None:
        return found
    _refuse_misplaced(text)
    return FrontMatter({}, text, 0)


def _start(text: str) -> tuple[int, list[tuple[int, str]]]:
    """Returns where the text begins behind blank lines and comments, and those comments."""
    at, comments = 0, []
    while at < len(text):
        if blank := _SKIPPED.match(text, at):
            at = blank.end()
            continue
        opening = next((each for each in ("<!--", "{/*") if text.startswith(each, at)), "")
        closing = {"<!--": "-->", "{/*": "*/}"}.get(opening, "")
        end = text.find(closing, at + len(opening)) if opening else -1
        if end < 0:
            break
        comments.append((at, text[at + len(opening) : end]))
        at = end + len(closing)
    # The text begins behind the last white space or comment.
    return at, comments


def _in_comment(comment: str) -> dict[str, Any]:
    """Returns the front matter of a comment where it says who may read; else nothing."""
    body = re.sub(r"^[ \t]*+-{3,}+[ \t]*$", "", comment[:MAX_CHARS], flags=re.MULTILINE).strip("\n")
    if not any(
        normal(line.partition(":")[0]) in SAYS_WHO for line in body.splitlines() if ":" in line
    ):
        return {}
    lines = [line for line in body.splitlines() if line.strip()]
    if not all(_HEADER_LINE.match(line.strip()) or line.startswith((" ", "-")) for line in lines):
        return {}
    return _yaml(body, 1)[0]


def _fenced(text: str, start: int) -> FrontMatter | None:
    opening = _FENCED.match(text, start)
    if opening is None or (start and text[start - 1] != "\n"):
        return None
    fence, line = opening[1], text.count("\n", 0, opening.start()) + 1
    closings = rf"(?:{re.escape(fence)}|\.\.\.)" if fence[0] == "-" else re.escape(fence)
    closing = re.compile(rf"^{closings}[ \t]*$", re.MULTILINE).search(text, opening.end())
    keys = _KEY_LINE.match(text, _first_word(text, opening.end()))
    if closing is None:
        if keys is None or fence[0] == ";":
            return None
        raise InvalidInput(
            f"The front matter opened on line {line} is never closed. Put a line of {fence} behind"
            " its keys."
        )
    if keys is None and line > 1:
        return None  # a rule between two parts of the text
    source = text[opening.end() : closing.start()]
    named = (opening[2] or {"+": "toml", ";": "json"}.get(fence[0]) or "yaml").lower()
    reader = {"toml": _toml, "json": _json_values}.get(named, _yaml)
    values, key_lines = reader(source, line + 1)
    body = text[closing.end() :].removeprefix("\n")
    return FrontMatter(values, body, text.count("\n", 0, closing.end()) + 1, key_lines)


def _first_word(text: str, at: int) -> int:
    word = re.compile(r"\S").search(text, at)
    return word.start() if word else at


def _json(text: str, start: int) -> FrontMatter | None:
    if not text.startswith("{", start) or not re.match(r"\{\s*[\"}]", text[start : start + 1000]):
        return None
    try:
        values, end = json.JSONDecoder().raw_decode(text[: start + MAX_CHARS], start)
    except (json.JSONDecodeError, RecursionError):
        if any(f'"{key}"' in text[start : start + 2000].lower() for key in SAYS_WHO):
            line = text.count("\n", 0, start) + 1
            raise InvalidInput(
                f"The front matter opened on line {line} is not valid JSON. Mend it."
            ) from None
        return None
    if not isinstance(values, dict) or text[end : end + 1] not in ("", "\n"):
        return None
    return FrontMatter(values, text[end:].removeprefix("\n"), text.count("\n", 0, end) + 1)


def _header(text: str, start: int) -> FrontMatter | None:
    """Returns front matter in MultiMarkdown's form, which MkDocs and Pelican know: the first
    lines are keys."""
    lines = text[start : start + MAX_CHARS].split("\n\n", 1)[0].split("\n")
    said = [_HEADER_LINE.match(line) for line in lines if line.strip()]
    if not said or not all(said):
        return None
    values = {each[1].strip(): (each[2] or "").strip() for each in said if each}
    if not any(normal(key) in SAYS_WHO for key in values):
        return None
    end = start + sum(len(line) + 1 for line in lines)
    before = text.count("\n", 0, start)
    key_lines = {key: before + at for at, key in enumerate(values, start=1)}
    return FrontMatter(dict(values), text[end:], before + len(lines), key_lines)


def _refuse_misplaced(text: str) -> None:
    """Raises InvalidInput where keys that say who may read are fenced like front matter in a
    place where nobody reads it."""
    if "---" not in text:
        return
    line = 1
    for code, part in stretches(text):
        if not code:
            for opening in _MISPLACED.finditer(part):
                closing = part.find("\n---", opening.end())
                block = part[opening.end() : closing] if closing >= 0 else ""
                if len(block) < 5000 and _names_readers(block):
                    at = line + part.count("\n", 0, opening.start())
                    raise InvalidInput(
                        f"The keys fenced by --- on line {at} look like front matter, but text"
                        " stands above them. Move them to the top of the file, or out of it."
                    )
        line += part.count("\n")


def _names_readers(block: str) -> bool:
    keys = [
        line.partition(":")[0] for line in block.splitlines() if line[:1] not in (" ", "-", "#")
    ]
    return any(normal(key) in SAYS_WHO for key in keys) and all(
        ":" in line for line in block.splitlines() if line.strip() and line[:1] not in " -#"
    )


def _yaml(source: str, first: int) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Returns values, and the line of each key; `first` is the file's line where the source
    begins."""
    _check_size(source)
    try:
        key_lines = _check_yaml(source, first)
        values = yaml.load(source, Loader=_Loader)  # noqa: S506  a safe loader, in C
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + first if mark else first
        raise InvalidInput(
            f"The front matter is broken on line {line}: {error.problem}. Mend the YAML there;"
            " a value that holds : or # must stand in quotes."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The front matter is not valid YAML: {error}. Mend it.") from error
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise InvalidInput(
            f"The front matter on line {first} does not hold `key: value` lines. Write keys, or"
            " remove the line of --- that opens the file."
        )
    return {str(key): value for key, value in values.items()}, key_lines


def _check_yaml(source: str, first: int) -> dict[str, int]:
    """Returns lines of the keys. Raises InvalidInput on aliases, which make much of little, on
    what is nested too deep, and on a key that is given twice: which of the two holds nobody can
    know."""
    depth = 0
    lines: dict[str, int] = {}
    seen: set[str] = set()
    expects_key = True
    for event in yaml.parse(source, Loader=_Loader):
        line = first + (event.start_mark.line if event.start_mark else 0)
        if isinstance(event, yaml.AliasEvent):
            raise InvalidInput(
                f"The front matter uses an alias (*{event.anchor}) on line {line}. Write the value"
                " out."
            )
        opens = isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent)
        if isinstance(event, yaml.ScalarEvent) and depth == 1 and expects_key:
            if normal(event.value) in seen:
                raise InvalidInput(
                    f"The front matter says {event.value} again on line {line}. Keep one of them."
                )
            seen.add(normal(event.value))
            lines[event.value] = line
        if depth == 1 and (opens or isinstance(event, yaml.ScalarEvent)):
            expects_key = not expects_key
        depth += opens
        depth -= isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidInput(f"The front matter is nested too deep on line {line}. Flatten it.")
    return lines


def _toml(source: str, first: int) -> tuple[dict[str, Any], Mapping[str, int]]:
    _check_size(source)
    try:
        values = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"The front matter from line {first} is not valid TOML: {error}. Mend it."
        ) from error
    return values, _assigned(source, first, "=")


def _json_values(source: str, first: int) -> tuple[dict[str, Any], Mapping[str, int]]:
    _check_size(source)
    text = source.strip()
    try:
        values = json.loads(text if text.startswith("{") else "{" + text + "}")
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"The front matter from line {first} is not valid JSON: {error}. Mend it."
        ) from error
    if not isinstance(values, dict):
        raise InvalidInput(f"The front matter on line {first} holds no keys. Mend it.")
    return values, _assigned(source, first, ":")


def _assigned(source: str, first: int, sign: str) -> dict[str, int]:
    lines = enumerate(source.split("\n"), start=first)
    return {line.partition(sign)[0].strip(" \"'\t"): at for at, line in lines if sign in line}


def _check_size(source: str) -> None:
    if len(source) > MAX_CHARS:
        raise InvalidInput(f"The front matter is over {MAX_CHARS} characters long. Shorten it.")
