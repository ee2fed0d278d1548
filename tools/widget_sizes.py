"""How much a browser loads of the widget, compressed: `python -m tools.widget_sizes`."""

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

STATIC = Path(__file__).parents[1] / "services" / "widget" / "static"
LOADER_LIMIT = 3 * 1024
APP_LIMIT = 45 * 1024


class Sizes(NamedTuple):
    """Bytes after gzip. `app` is everything that a visitor loads who opens the chat: script, styles
    and the largest of the languages."""

    loader: int
    app: int
    desk: int


def sizes() -> Sizes:
    """Returns the sizes of the committed build."""
    manifest = json.loads((STATIC / "manifest.json").read_text())
    return Sizes(_packed("loader.js"), _entry(manifest, "app"), _entry(manifest, "desk"))


def _entry(manifest: dict[str, Any], name: str) -> int:
    entry = next(each for each in manifest.values() if each.get("isEntry") and each["name"] == name)
    chunks = [entry, *(manifest[key] for key in entry.get("imports", []))]
    always = sum(
        _packed(each) for chunk in chunks for each in (chunk["file"], *chunk.get("css", []))
    )
    return always + max(_packed(manifest[key]["file"]) for key in entry["dynamicImports"])


def _packed(path: str) -> int:
    return len(gzip.compress((STATIC / path).read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    found = sizes()
    print(f"loader   {found.loader:6,} bytes of {LOADER_LIMIT:,}")
    print(f"app      {found.app:6,} bytes of {APP_LIMIT:,} (with the largest language)")
    print(f"desk     {found.desk:6,} bytes")
    print(json.dumps(found._asdict()))
