"""What docs/widget.md tells a host to sign is taken."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.widget.visiting import World

DOCS = Path(__file__).parents[3] / "docs" / "widget.md"


def block(language: str) -> str:
    """The document's only block of code in that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return str(found)


def in_python(secret: str, site: str) -> str:
    names: dict[str, Callable[..., str]] = {}
    exec(block("python"), names)
    return names["support_token"](secret, site, "customer-9")


def in_node(secret: str, site: str) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = f"{block('javascript')}\nconsole.log(supportToken(...process.argv.slice(1)))"
    done = subprocess.run(
        [node, "-e", script, secret, site, "customer-9"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("sign", [in_python, in_node])
def test_the_documented_way_to_sign_is_taken(here: World, sign: Callable[[str, str], str]) -> None:
    site = here.site(identity={"audiences": ["customer"]})
    secret = here.widget.tokens.identity_secret(site.id, site.generation)
    visitor = here.visitor(site, identity=sign(secret, site.id))
    assert visitor.session["visitor"]["kind"] == "identified"
