"""Template languages in Markdown (Liquid, GitBook, Hugo's shortcodes) to what they show."""

import re
from collections.abc import Callable
from html import escape

from ingestion.extract.dialects.gaps import left_open
from ingestion.extract.dialects.jsx import BREAK
from ingestion.extract.dialects.names import CALLOUTS, FOLDED, GROUPS, TEXTS, TITLED, VALUES, label

_TAG = re.compile(
    r"(?<!\{)\{%-?\s{0,20}(/?[\w.-]{1,60})([^{}%]{0,2000}(?:[{}%][^{}%]{1,500}){0,20}?)-?%\}"
)
_SHORTCODE = re.compile(
    r"\{\{[<%]\s{0,20}(/?)\s{0,20}([\w./-]{1,60})([^<>{}]{0,2000}?)/?\s{0,20}[>%]\}\}"
)
_SHOWN_SHORTCODE = re.compile(r"\{\{([<%])/\*([^{}]{0,2000}?)\*/([>%])\}\}")
_OUTPUT = re.compile(r"\{\{-?([^{}]{0,500})-?\}\}")
_COMMENT = re.compile(r"\{#[^{}]{0,5000}?#\}")
_ATTRIBUTE = re.compile(
    r"([\w-]{1,40})\s{0,3}=\s{0,3}(?:\"([^\"]{0,2000})\"|'([^']{0,2000})'|([^\s\"'>%]{1,500}))"
)
_POSITIONAL = re.compile(r"\"([^\"]{0,500})\"|'([^']{0,500})'|([^\s\"'=]{1,200})")
_VARIABLE = re.compile(
    r"^(?:(?:site|page|include|layout|book|config|paginator|content|post|collections?|env"
    r"|vars?|variables|theme|frontmatter|meta|global|data|urls?|params)\b\s*(?:[.\[|]|$)|[.$][A-Za-z])"
)
_LINK_TARGET = re.compile(r"\]\(\s{0,5}(?:\{\{[^{}]{0,500}\}\}|\{%[^{}]{0,500}%\})[^()\n]{0,500}\)")
_HIDDEN = re.compile(r"\{%-?\s*comment\s*-?%\}|\{::comment\}", re.IGNORECASE)
_UNHIDDEN = re.compile(r"\{%-?\s*endcomment\s*-?%\}|\{:/comment\}|\{:/\}", re.IGNORECASE)
_RAW = re.compile(r"\{%-?\s*(end)?(?:raw|verbatim)\s*-?%\}")


def has_any(text: str) -> bool:
    return "{%" in text or "{{" in text or "{#" in text or "{::" in text


def plain(text: str, page: "Callable[[str], str]") -> str:
    """Returns the text with its template tags resolved. `page` returns what the front matter
    says under a name, "" where it says nothing."""
    if not has_any(text):
        return text
    templated = "{%" in text or "{{<" in text or "{{%" in text
    text = _between(text, _HIDDEN, _UNHIDDEN)
    parts: list[str] = []
    at, raw = 0, False
    for match in _RAW.finditer(text):
        part = text[at : match.start()]
        parts.append(part if raw else _plain(part, page, templated=templated))
        at, raw = match.end(), not match[1]
    rest = text[at:]
    parts.append(rest if raw else _plain(rest, page, templated=templated))
    return "".join(parts)


def _between(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """Returns the text without what stands between the two; its lines stay."""
    parts: list[str] = []
    at = 0
    while start := opening.search(text, at):
        end = closing.search(text, start.end())
        if end is None:
            break
        parts += [text[at : start.start()], "\n" * text.count("\n", start.start(), end.end())]
        at = end.end()
    return "".join([*parts, text[at:]])


def _plain(text: str, page: Callable[[str], str], *, templated: bool) -> str:
    text = _LINK_TARGET.sub("]", text)
    text = _COMMENT.sub("", text)
    text = _TAG.sub(_tag, text)
    text = _SHOWN_SHORTCODE.sub(lambda m: f"\0{m[1]}{m[2]}{m[3]}\0", text)
    text = _SHORTCODE.sub(_shortcode, text)
    text = _OUTPUT.sub(lambda m: _output(m, page, templated=templated), text)
    return re.sub("\0([^\0]*)\0", r"{{\1}}", text)


def _output(match: re.Match[str], page: Callable[[str], str], *, templated: bool) -> str:
    said = match[1].strip(" -")
    if string := re.fullmatch(r"[\"']([^\"']*)[\"'](?:\s*\|.*)?", said):
        return string[1]
    if not templated and not _VARIABLE.match(said):
        return match[0]  # a placeholder that readers are told of
    name = said.partition("|")[0].strip().removeprefix(".")
    known = page(re.sub(r"^(?:page|frontmatter|meta|Params)\.", "", name))
    return known or left_open(match.string, *match.span())


def _tag(match: re.Match[str]) -> str:
    name, said = match[1].lower(), match[2]
    lines = "\n" * match[0].count("\n")
    return _made(name.removeprefix("end").lstrip("/"), said, name.startswith(("end", "/"))) + lines


def _shortcode(match: re.Match[str]) -> str:
    lines = "\n" * match[0].count("\n")
    return _made(match[2].lower().rpartition("/")[2], match[3], bool(match[1])) + lines


def _made(name: str, said: str, closing: bool) -> str:
    """Returns what a block's opening or end comes to. Unknown ones say the texts they are given."""
    attributes = {
        each[1].lower(): escape(each[2] or each[3] or each[4] or "", quote=False)
        for each in _ATTRIBUTE.finditer(said)
    }
    bare = [a or b or c for a, b, c in _POSITIONAL.findall(_ATTRIBUTE.sub("", said))]
    if name in ("highlight", "code-block") and not attributes.get("title"):
        return f"{BREAK}```{BREAK}" if closing else f"{BREAK}```{bare[0] if bare else ''}{BREAK}"
    title = next((attributes[key] for key in VALUES if attributes.get(key)), "")
    texts = " ".join(attributes[key] for key in TEXTS if attributes.get(key))
    if (
        name in ("hint", "callout", "alert", "notice", "admonition", "block", "note-box")
        or name in CALLOUTS
    ):
        return (
            BREAK
            if closing
            else f"{BREAK}{_callout(name, attributes, bare, title)} {texts}".rstrip() + " "
        )
    if name in FOLDED:
        summary = title or " ".join(bare)
        return (
            f"{BREAK}</details>{BREAK}"
            if closing
            else f"{BREAK}<details><summary>{escape(summary, quote=False)}</summary>{BREAK}{texts}"
        )
    if closing:
        return BREAK if name in TITLED | GROUPS else ""
    if name in TITLED:
        title = title or " ".join(bare)
        return f"{BREAK}**{title}**{BREAK}" if title else BREAK
    if name == "embed" and attributes.get("url"):
        return f"{BREAK}{attributes['url']}{BREAK}"
    if name in ("figure", "img", "image"):
        return attributes.get("caption") or attributes.get("alt") or title
    if name in (
        "if",
        "unless",
        "for",
        "case",
        "when",
        "assign",
        "elsif",
        "capture",
        "ref",
        "relref",
    ):
        return ""
    return (
        f"**{title}** {texts}".rstrip()
        if title and texts
        else texts or (BREAK if name in GROUPS else "")
    )


def _callout(name: str, attributes: dict[str, str], bare: list[str], title: str) -> str:
    named = [
        attributes.get(key, "") for key in ("style", "type", "color", "kind", "context", "class")
    ]
    kind = next((each for each in (*named, *bare) if each and each.lower() in CALLOUTS), name)
    rest = [each for each in bare if each.lower() not in CALLOUTS]
    return label(
        "alert"
        if kind in ("hint", "notice", "block") and kind == name and name != "hint"
        else kind,
        title or " ".join(rest),
    )
