"""The words of page builders: one table of what each of their blocks is to a reader."""

import re
from collections.abc import Mapping
from types import MappingProxyType

CALLOUTS = frozenset(
    re.findall(
        r"\S+",
        """admonition alert aside attention callout caution check danger error example failure fail
        fyi hint important info information notice note question quote success summary tip todo
        warn warning abstract bug seealso done help missing cite tldr remember deprecated""",
    )
)
"""Boxes that stand out: their kind is said before their text, because pages show it."""

FOLDED = frozenset(
    re.findall(
        r"\S+",
        """accordion accordionitem collapse collapsible details detail disclosure dropdown expand
        expandable expander faq faqitem folded question spoiler toggle""",
    )
)
"""What readers unfold by its title: an entry, such as a question with its answer."""

TITLED = frozenset(
    re.findall(
        r"\S+",
        """card tab tabitem tab-item step stepper column item linkcard update content-tab prereqs
        codegroup code-group codeblock panel section-card tile box grid-item frame""",
    )
)
"""Blocks whose title alone is text."""

GROUPS = frozenset(
    re.findall(
        r"\S+",
        """accordiongroup accordions cardgroup cards codetabs columns details-group fragment grid
        row stack steps tabs tab-set tabset tabbed typetable view wrapper div span section article
        center main figure header browseronly translate trans zoom""",
    )
)
"""Blocks that only place what they hold."""

FIELDS = frozenset(("paramfield", "responsefield", "property", "param", "apifield", "typefield"))
"""Components that name a parameter by their attributes."""

UNSEEN = frozenset(("head", "helmet", "seo", "script", "style", "template", "metadata", "comment"))

VALUES = ("title", "label", "summary", "header", "heading", "question", "caption", "name")
"""Attributes that name a block to its readers."""
TEXTS = ("content", "text", "message", "description", "body", "answer", "tip")
"""Attributes that hold text of the page."""

KNOWN_COMPONENTS = frozenset(
    name
    for name in CALLOUTS | FOLDED | TITLED | GROUPS | FIELDS
    if name not in ("div", "span", "section", "article", "center", "main", "figure", "header")
)

LABELS: Mapping[str, str] = MappingProxyType(
    {"seealso": "See also", "fyi": "FYI", "todo": "To do", "tldr": "TL;DR", "warn": "Warning"}
)
_PLAIN = frozenset(("admonition", "aside", "callout", "alert", "quote", "summary", "abstract"))
"""Boxes whose kind is no word to a reader."""


def label(kind: str, title: str = "") -> str:
    """Returns what a box says of itself before its text: `**Note:** title`, or its title alone."""
    kind, title = kind.lower(), title.strip().strip('"')
    if kind in _PLAIN:
        return f"**{title}**" if title else ""
    said = LABELS.get(kind) or kind.capitalize()
    return f"**{said}:** {title}".rstrip()
