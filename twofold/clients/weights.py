"""Files of models that come as packages."""

import hashlib
import importlib.util
from pathlib import Path

from twofold.errors import SetupError


def verified(package: str, name: str, sha256: str, remedy: str) -> Path:
    """Returns the path of `name` in the installed `package`, whose code is not run. Raises
    SetupError, with `remedy` as what to do, where the file is missing or has another hash."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(f"The embedding model ({package}) is not installed: {remedy}.")
    path = Path(spec.submodule_search_locations[0]) / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise SetupError(f"{path} cannot be read: {remedy}.") from None
    if found != sha256:
        raise SetupError(
            f"{path} is damaged or not the expected release (SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…): {remedy}."
        )
    return path
