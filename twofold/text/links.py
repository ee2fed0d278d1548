"""What in a text leads somewhere, and whether it may: links are parsed, and denied by default.

Only http and https to a host that is on the list is a link. Whatever else a renderer might make one
of (other schemes, `//host`, `www.host`, HTML, reference definitions, images) loses its address and
keeps its words.
"""

import html
import re
import unicodedata
from collections.abc import Set
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("http", "https")
_SILENT_SCHEMES = "javascript|vbscript|livescript|data|file|blob|about|view-source|intent|chrome"
"""Schemes whose address says nothing to a reader."""
_SPOKEN_SCHEMES = "mailto|tel|sms|callto"
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_JOINERS = re.compile("(?<=[\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f])")
_DOTS = re.compile("[\u3002\uff0e\uff61]")
_CODE = re.compile(r"(```+|~~~+)[\s\S]*?(?:\1|\Z)|(?<!`)(`{1,2})(?!`)[^`\n]+\2(?!`)")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<[!?][^<>]*>", re.DOTALL)
_ELEMENTS = (
    "a|abbr|applet|area|article|audio|b|base|blink|blockquote|body|br|button|center|code|dd|del|"
    "details|div|dl|dt|em|embed|fieldset|font|footer|form|frame|frameset|h[1-6]|head|header|hr|"
    "html|i|iframe|image|img|input|ins|kbd|label|li|link|main|map|marquee|math|meta|nav|noscript|"
    "object|ol|option|p|param|picture|portal|pre|s|script|section|select|slot|small|source|span|"
    "strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|title|"
    "tr|track|tt|u|ul|var|video|wbr|xmp"
)
_TAG = re.compile(
    rf"<\s*+/?+\s*+(?:{_ELEMENTS})(?:[\s/][^<>]*)?(?:>|$)"
    r"|<\s*+/?[A-Za-z][^\s<>]*+\s(?:[^<>=]*+=[^<>]*+>|[^<>=\n]*+=[^<>\n]*+$)",
    re.IGNORECASE | re.MULTILINE,
)
_DESTINATION = (
    r"\(\s*+(<[^<>\n]*+>|[^\s()<>]*+(?:\([^\s()]*+\)[^\s()]*+)*+)"
    r"(?:\s++[\"'(][^\n()]*?[\"')])?\s*+\)"
)
_LABEL = r"\[((?:[^\[\]\\]|\\.)*+)\]"
_IMAGE = re.compile(rf"!{_LABEL}(?:{_DESTINATION}|\[[^\[\]]*\])", re.DOTALL)
_LINK = re.compile(rf"{_LABEL}{_DESTINATION}", re.DOTALL)
_BROKEN = re.compile(r"\](?=[(\[])")
"""What is left of links that are none: a space keeps every renderer from making one."""
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,30}:[^<>\s]*|[^<>\s@]{1,64}@[^<>\s]{1,255})>")
_DEFINITION = re.compile(r"^([ \t>]*\[[^\[\]\n]+\]):", re.MULTILINE)
_STOPS = r"\s<>\"'`“”«»\]|"
_ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9+.-])(?:[A-Za-z][A-Za-z0-9+.-]{{1,30}}\s?:[/\\]{{1,}}[^{_STOPS}]*"
    rf"|(?:{_SILENT_SCHEMES}|{_SPOKEN_SCHEMES}|https?)\s?:[^{_STOPS}]*)"
    rf"|(?<![\w:/\\])(?://|\\\\)(?=[\w\[])[^{_STOPS}]+"
    rf"|(?<![\w.@/-])www\.(?=\w)[^{_STOPS}]+",
    re.IGNORECASE,
)
_SPEAKS = re.compile(rf"(?:{_SPOKEN_SCHEMES})\s?:", re.IGNORECASE)
_SILENT = re.compile(rf"(?:{_SILENT_SCHEMES})\s?:", re.IGNORECASE)
_SCHEME = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*\s?:)?[/\\]*(?:www\.)?", re.IGNORECASE)
_ENDING = ".,;:!?*_)"
_TIMES = 3
"""Entities may stand within entities so many times; then their `&` is all that stays."""


def allowed(url: str, hosts: Set[str]) -> bool:
    """Returns whether `url` is an absolute http(s) address on one of `hosts`, and nothing in
    disguise."""
    if not url.isprintable() or any(sign in url for sign in "\\ \t\n<>\"'`"):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme.lower() not in SCHEMES or "@" in parts.netloc or not parts.hostname:
        return False
    return parts.hostname.rstrip(".") in hosts


def host_of(url: str) -> str:
    """Returns the host of an http(s) address, in small letters; empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    named = parts.scheme.lower() in SCHEMES and "@" not in parts.netloc
    return (parts.hostname or "").rstrip(".") if named else ""


def visible(text: str) -> str:
    """Returns the text without characters that nobody sees: controls, joiners within words of
    Latin letters, marks of direction."""
    return _JOINERS.sub("", _HIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def settled(text: str, hosts: Set[str]) -> str:
    """Returns Markdown whose links all lead to `hosts`; of others the words stay. Code stays as it
    is.

    Settling it again changes nothing. Takes time linear in the length of `text`.
    """
    pieces: list[str] = []
    at = 0
    text = visible(text)
    for code in _CODE.finditer(text):
        pieces += (_prose(text[at : code.start()], hosts), code[0])
        at = code.end()
    return "".join([*pieces, _prose(text[at:], hosts)])


def foreign(text: str, hosts: Set[str]) -> list[str]:
    """Returns addresses in prose that lead elsewhere than to `hosts`, as they stand."""
    prose = _CODE.sub(" ", visible(text))
    found = [match[2] or "" for match in _LINK.finditer(prose)]
    found += [match[0].rstrip(_ENDING) for match in _ADDRESS.finditer(_LINK.sub(r"\1", prose))]
    return [each for each in found if not allowed(_target(each), hosts)]


def _prose(text: str, hosts: Set[str]) -> str:
    if not text:
        return text
    text = _untagged(text)
    text = _DEFINITION.sub(r"\1 ", text)
    text = _IMAGE.sub(lambda match: match[1], text)
    kept: list[str] = []

    def link(match: re.Match[str]) -> str:
        if allowed(_target(match[2]), hosts) and not _ADDRESS.search(match[1]):
            kept.append(f"[{match[1]}]({_target(match[2])})")
            return f"\x00{len(kept) - 1}\x01"
        return match[1]

    text = _LINK.sub(link, text)
    text = _BROKEN.sub("] ", text)
    text = _ADDRESS.sub(lambda match: _address(match[0], hosts), text)
    return re.sub("\x00(\\d+)\x01", lambda match: kept[int(match[1])], text)


def _untagged(text: str) -> str:
    """Returns the text without HTML, however its signs are written."""
    for _ in range(_TIMES):
        if not _ENTITY.search(text):
            break
        text = visible(_ENTITY.sub(lambda match: html.unescape(match[0]), text))
    else:
        text = text.replace("&", "＆") if _ENTITY.search(text) else text
    folded = _DOTS.sub(".", text)
    if not folded.isascii() and _ADDRESS.search(unicodedata.normalize("NFKC", folded)):
        text = unicodedata.normalize("NFKC", folded)
    bare = _TAG.sub("", _COMMENT.sub("", _AUTOLINK.sub(r"\1", text)))
    return bare.replace("<", "‹") if _TAG.search(bare) or "<!" in bare else bare


def _target(written: str) -> str:
    """Returns a link's destination as a renderer reads it."""
    return html.unescape(written.strip().strip("<>")).strip()


def _address(written: str, hosts: Set[str]) -> str:
    """Returns an address that stands in the text where it may be a link, else its words."""
    url = written.rstrip(_ENDING)
    after = written[len(url) :]
    full = url if ":" in url.partition("/")[0] else f"https:{url}" if url[:2] == "//" else (
        f"https://{url}")  # fmt: skip
    if allowed(full, hosts):
        return written
    if _SILENT.match(url):
        return after
    if _SPEAKS.match(url):
        return url.partition(":")[2].strip().partition("?")[0] + after
    words = _SCHEME.sub("", url).rpartition("@")[2]
    words = re.split(r"[?#]", words)[0].rstrip("/\\")
    return (f"`{words}`" if words else "") + after
