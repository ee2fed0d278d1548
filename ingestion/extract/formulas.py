"""Formulas of MathML as a line of text: 10³, 1/2, √(2g). Numbers stay the numbers that they are."""

from selectolax.lexbor import LexborNode

from ingestion.extract.characters import squeezed

_RAISED = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_SILENT = frozenset(("annotation", "annotation-xml", "mphantom", "-comment"))
_UNSEEN_SIGNS = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064"))
"""Function application, times and plus that are not written."""


def formula(node: LexborNode) -> str:
    """Returns what the element `math`, or one within it, says; its source in TeX is not said
    again."""
    tag = node.tag or ""
    if tag in _SILENT:
        return ""
    parts = [_part(child) for child in node.iter(include_text=True)]
    said = [part for part in parts if part]
    if tag == "msup" and len(said) == 2:
        return said[0] + _raised(said[1])
    if tag == "msub" and len(said) == 2:
        return f"{said[0]}_{_grouped(said[1])}"
    if tag == "msubsup" and len(said) == 3:
        return f"{said[0]}_{_grouped(said[1])}{_raised(said[2])}"
    if tag == "mfrac" and len(said) == 2:
        return f"{_grouped(said[0])}/{_grouped(said[1])}"
    if tag == "mroot" and len(said) == 2:
        return f"{_raised(said[1])}√{_grouped(said[0])}"
    if tag == "msqrt":
        return f"√{_grouped(''.join(said))}"
    if tag in ("mtr", "mlabeledtr"):
        return ", ".join(said)
    if tag == "mtable":
        return "; ".join(said)
    return "".join(said)


def _part(child: LexborNode) -> str:
    if child.is_text_node:
        text = squeezed(child.text(deep=False)).translate(_UNSEEN_SIGNS)
        return text if text.strip() else ""
    return formula(child)


def _raised(text: str) -> str:
    raised = text.translate(_RAISED)
    plain = any(one == other and not one.isspace() for one, other in zip(text, raised, strict=True))
    return f"^{_grouped(text)}" if plain else raised


def _grouped(text: str) -> str:
    return text if text.replace(".", "").replace(",", "").isalnum() else f"({text})"
