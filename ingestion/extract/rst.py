"""reStructuredText to blocks: docutils makes HTML, and that is read as any HTML.

What Sphinx adds to the language is known by its shape: a directive's title and body are text, a
role's text stands without its target.

Runs in the confined process only: what it reads may have been made to harm.
"""

import re
from typing import Any

from docutils import nodes
from docutils.core import publish_parts
from docutils.parsers.rst import Directive, directives, roles
from docutils.parsers.rst.languages import en

from ingestion.extract.dialects.names import CALLOUTS, label
from ingestion.extract.document import Parsed
from ingestion.extract.html import parse_html
from twofold.errors import InvalidInput

_UNKNOWN = re.compile(r"^[ \t]*\.\. ([A-Za-z][\w:+-]{0,60})::", re.MULTILINE)
_ROLES = re.compile(r":([a-z][\w:+-]{0,60}):`")
_UNSEEN = frozenset(("toctree", "index", "highlight", "currentmodule", "only", "ifconfig"))
_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 5,
    "_disable_config": True,
    "doctitle_xform": False,
    "initial_header_level": 1,
    "embed_stylesheet": False,
    "smart_quotes": False,
    "syntax_highlight": "none",
    "line_length_limit": 1_000_000,
}


def parse_rst(text: str, *, skipped: int = 0) -> Parsed:
    """Raises InvalidInput where docutils cannot read it."""
    _know(text)
    try:
        made = publish_parts(text, writer="html5", settings_overrides=_SETTINGS)
    except (RecursionError, MemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            f"The reStructuredText cannot be read ({type(error).__name__}). Mend it, or save it"
            " as Markdown."
        ) from error
    parsed = parse_html(f"<body>{made['body']}</body>", skipped=skipped)
    return parsed._replace(title="")


class _Block(Directive):  # type: ignore[misc]
    """A directive of Sphinx: its title, then its body."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = None  # what stands behind the colons stays content

    def run(self) -> list[nodes.Node]:
        name = self.name.rpartition(":")[2].lower()
        if name in _UNSEEN:
            return []
        title, _, rest = (self.arguments[0] if self.arguments else "").partition("\n")
        lead = label(name, title) if name in CALLOUTS else title
        made: list[nodes.Node] = []
        if lead:
            paragraph = nodes.paragraph()
            paragraph += nodes.strong("", lead.replace("*", "").strip())
            made.append(paragraph)
        if rest:
            made.append(nodes.paragraph("", rest))
        holder = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, holder)
        return [*made, *holder.children]


def _role(
    _name: str, _raw: str, text: str, *_: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    before, opening, _rest = text.partition("<")
    shown = before.strip() if opening and before.strip() else text.lstrip("~!")
    return [nodes.inline("", shown)], []


def _know(text: str) -> None:
    """Registers every directive and role of the text that docutils does not know: they are
    Sphinx's."""
    for name in {each.lower() for each in _UNKNOWN.findall(text)} - set(en.directives):
        directives.register_directive(name, _Block)
    for name in {each.lower() for each in _ROLES.findall(text)} - set(en.roles):
        roles.register_local_role(name, _role)
