"""Help centers that were made up for the matcher: pages, and what customers ask of them.

Each question comes with the literal pieces that answer it, or with the page that does not though it
looks like it.
"""

import json
from pathlib import Path
from typing import Any, Final

CENTERS: Final = Path(__file__).with_name("help_centers")
DEV_CENTERS: Final = (
    *("university-it", "gym-chain", "monitoring", "e-signature"),
    *("log-search", "identity-sso", "city-library", "open-source-cms"),
)
"""Those that nothing is trained on."""


def load_center(name: str) -> dict[str, Any]:
    """`pages`: slug -> Markdown; `questions`: `question`, `history` (the customer's turns before),
    `answers` ({`page`, `quote`}), and `near` where there are none."""
    center: dict[str, Any] = json.loads((CENTERS / f"{name}.json").read_text("utf-8"))
    return center


def names() -> list[str]:
    return sorted(path.stem for path in CENTERS.glob("*.json"))
