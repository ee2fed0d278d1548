"""Superscripts and subscripts: which are exponents, ordinals or cents, and which point to a note.

While a line is put together they stand between private marks, because what is before and behind
them decides.
"""

import re

OPENINGS = {"sup": "\ue000", "sub": "\ue001"}
NOTE, END = "\ue002", "\ue003"
"""Opens a superscript that is a link to a note; ends each."""

_RAISED = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎")
_SCRIPT = re.compile("([\ue000\ue001\ue002])([^\ue000-\ue003]*)\ue003")
_LEFT = re.compile("[\ue000-\ue003]")
_DIGITS = re.compile(r"[+\-−]?[0-9]{1,4}")
_SIGNED = re.compile(r"[+\-−][0-9]{1,4}|[+\-−]")
_NOTE = re.compile(
    r"[\[(]?(?:[0-9]{1,3}|[a-z]|[*†‡§¶#]{1,3})[\])]?(?:[,;\s]+(?:[0-9]{1,3}|[a-z]))*"
)
_BASE = re.compile(r"(?<![\d.,])(?:10|2)\Z")
_TIMES = re.compile(r"[×·*x]\s?\d+\Z")
_UNIT = re.compile(r"(?<![^\W\d_])(?:[kcmdnµ]?m|[kmcd]?[lg]|ft|in|yd|mi|s|km|[a-zA-Zα-ωΑ-Ω])\Z")
_PRICE = re.compile(r"[$€£¥]\s?\d[\d.,]*\Z")
_PRICED = re.compile(r"\s?(?:[€$£¥%]|EUR|USD|GBP|CHF|[Ee]uro|[Dd]ollar|per\b|/)")
_LONE = re.compile(r"(?<![^\W_])[^\W\d_]\Z")
"""One letter, such as x: what stands above it is a power."""
_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|ère|re|e|è|ème|nde?|º|ª|os|as)", re.IGNORECASE)
_FEMININE = {"o": "º", "a": "ª"}
_ONE_DIGIT = re.compile(r"(?<!\d)\d\Z")
_SIGNS = {"tm": "™", "sm": "℠", "®": "®", "©": "©", "™": "™", "℠": "℠", "r": "®", "o": "°"}


def settle(line: str) -> str:
    """Returns the line with every script written out: x², H2O, 10⁻³, 1st; a note's mark is left
    out, so that it never becomes a digit of the number before it."""
    if not _LEFT.search(line):
        return line
    parts: list[str] = []
    at = 0
    for match in _SCRIPT.finditer(line):
        parts.append(line[at : match.start()])
        at = match.end()
        before = "".join(parts[-3:])[-40:]
        said = match[2].strip()
        if said:
            parts.append(_written(match[1], said, before, line[at : at + 12]))
    parts.append(line[at:])
    return _LEFT.sub("", "".join(parts))


def _written(kind: str, said: str, before: str, behind: str) -> str:
    if kind == OPENINGS["sub"]:
        return _lowered(said, before, behind)
    if kind == NOTE or not before.strip():
        # At the start of a block it names the note that follows.
        return "" if before.strip() else said.translate(_RAISED) + " "
    last = before[-1]
    digit = last.isdigit()
    if _SIGNED.fullmatch(said):
        return said.translate(_RAISED)
    if _DIGITS.fullmatch(said):
        if _PRICE.search(before) and len(said) == 2:
            return f".{said}"
        return said.translate(_RAISED) if _is_power(before, behind) else ""
    if digit and _ORDINAL.fullmatch(said):
        return said
    if said in _FEMININE and _ONE_DIGIT.search(before) and not _PRICED.match(behind):
        return _FEMININE[said]
    if said.lower() in ("tm", "sm") or said in "®©™℠":
        return _SIGNS[said.lower()]
    if said == "n" and not digit:
        return "ⁿ"
    if _NOTE.fullmatch(said):
        return ""
    if last.isspace() or said[:1] in "$€£¥":
        return said
    return f"^{said}" if _LONE.search(before) else f" {said}"


def _is_power(before: str, behind: str) -> bool:
    """Returns whether a number raised is an exponent: of ten, of two, of a unit or of a
    variable."""
    if not before[-1].isdigit():
        return before[-1] in ")]" or bool(_UNIT.search(before))
    power = _TIMES.search(before) or (_BASE.search(before) and not _PRICED.match(behind))
    return bool(power)


def _lowered(said: str, before: str, behind: str) -> str:
    if not before.strip() or not _DIGITS.fullmatch(said):
        return said
    # Between two numbers a plain digit would join them.
    joins = before[-1].isdigit() or behind[:1].isdigit()
    return said.translate(_LOWERED) if joins else said
