"""Writes docs/configuration.md: every setting, from its declaration.

python -m tools.settings_table > docs/configuration.md
"""

import ast
import inspect
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from twofold.settings import Settings


def described() -> dict[str, str]:
    """Field -> the docstring below it."""
    tree = ast.parse(inspect.getsource(Settings))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for field, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = " ".join(str(after.value.value).split())
            found[field.target.id] = text
    return found


def table() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "Made from `twofold/settings.py` by `python -m tools.settings_table`. Each setting is a"
    yield "variable of the environment, or a line of `.env` in the folder a process starts in."
    yield "An empty one counts as not set, and `twofold doctor` names those that nobody reads."
    yield "The defaults are the embedded size: one process, all of it below `TWOFOLD_HOME`. How"
    yield "the assistant speaks, and when a person takes over, stands in `house.yaml`."
    yield ""
    yield "| variable | default | what |"
    yield "|---|---|---|"
    texts = described()
    for name, field in Settings.model_fields.items():
        default = "" if field.default is PydanticUndefined else field.default
        if isinstance(default, SecretStr):
            default = ""
        shown = f"`{default}`" if default not in ("", None, []) else ""
        what = texts[name].replace("|", "\\|")
        yield f"| `TWOFOLD_{name.upper()}` | {shown} | {what} |"


if __name__ == "__main__":
    print(table(), end="")
