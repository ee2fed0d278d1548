"""The tools of operation, as `make .venv-ops/.ready` installs them."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPS = ROOT / ".venv-ops" / "bin"


def need(path: Path) -> Path:
    """`path`; where it is missing the test is skipped, or fails where CI insists."""
    if not path.exists():
        message = f"{path.name} is missing: make .venv-ops/.ready"
        if os.environ.get("TWOFOLD_REQUIRE_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path


def run(
    *command: str | Path, env: dict[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **(env or {})}, input=stdin,
    )  # fmt: skip


@cache
def helm() -> Path:
    need(OPS / "python")
    done = run(sys.executable, "tools/kubetools.py", "--from", OPS.parent)
    assert done.returncode == 0, done.stderr
    return need(OPS / "helm")
