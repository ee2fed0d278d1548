"""A diagnosis as one page, in four forms: terminal, HTML, Markdown; its JSON is the diagnosis."""

from models.diagnosis.page.html import render_html
from models.diagnosis.page.markdown import render_markdown
from models.diagnosis.page.terminal import render_terminal

__all__ = ["render_html", "render_markdown", "render_terminal"]
