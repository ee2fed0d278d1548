"""The folder of embedded data: its owner's alone."""

from contextlib import suppress
from pathlib import Path

from twofold.errors import SetupError


def make_private(home: Path) -> None:
    """Makes the home its owner's alone: what customers wrote lies there. Raises SetupError where
    no folder can be made."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError(
            f"TWOFOLD_HOME='{home}': no folder can be made there ({error.strerror})."
        ) from error
    with suppress(PermissionError):
        home.chmod(0o700)
