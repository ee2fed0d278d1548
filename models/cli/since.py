"""`--since 7d`: how far back a command looks."""

import re
import time
from datetime import UTC, datetime

from twofold.errors import InvalidInput

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since(text: str, now: float | None = None) -> float:
    """Returns that moment in epoch seconds: so long ago, or that day (UTC). Raises InvalidInput."""
    now = time.time() if now is None else now
    if found := re.fullmatch(r"(\d{1,4})([mhdw])", text.strip()):
        return now - int(found[1]) * _SECONDS[found[2]]
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no time to look back: say 30m, 12h, 7d, 4w, or a day such as 2026-11-01."
        ) from None
