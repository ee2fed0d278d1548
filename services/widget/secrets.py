"""One secret of the installation, and the keys that are made of it."""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from twofold.errors import SetupError
from twofold.home import make_private
from twofold.settings import Settings

NAME: Final = "widget.secret"
SHORTEST: Final = 32


def open_secret(settings: Settings) -> bytes:
    """Returns the configured secret, or the one kept under `home`, made at the first need.

    Raises SetupError for one that could be guessed.
    """
    if given := settings.widget_secret.get_secret_value():
        if len(given) < SHORTEST:
            raise SetupError(f"TWOFOLD_WIDGET_SECRET needs {SHORTEST} characters or more.")
        return given.encode()
    path = settings.home / NAME
    make_private(settings.home)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48))
    try:
        os.link(draft, path)  # two processes that start at once keep the same one
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read(path)


def derived(secret: bytes, *purpose: str) -> str:
    """Returns a key for one purpose alone: who has it knows nothing of the others."""
    mac = hmac.new(secret, "\n".join(("twofold", *purpose)).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _read(path: Path) -> bytes:
    found = path.read_text().strip()
    if len(found) < SHORTEST:
        raise SetupError(f"{path} does not hold a secret. Remove it, and a new one is made.")
    return found.encode()
