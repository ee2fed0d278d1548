"""A folder under a name, given by its path alone: the rest is as it was said the last time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ingestion.sources import NO_META, OURS, Source, check_name, open_source
from twofold.ledger import Ledger
from twofold.ledger.models import Source as Row
from twofold.settings import Settings


def open_folder(
    settings: Settings,
    ledger: Ledger,
    workspace: str,
    name: str,
    path: Path,
    given: Mapping[str, Any] = NO_META,
) -> Source:
    """`given` is what its config says beside the path, such as `audience`; what it does not name
    stays: files that only staff may read must not turn public because somebody left it out.

    Raises InvalidInput where there is no such folder, or the config is wrong.
    """
    open_source(settings, "folder", check_name(name), {**given, "path": str(path)})
    with ledger.session() as session:
        said: Mapping[str, Any] | None = session.scalar(
            select(Row.config).where(
                Row.workspace == workspace, Row.name == name, Row.kind == "folder"
            )
        )
    kept = {key: value for key, value in (said or {}).items() if key not in OURS}
    return open_source(settings, "folder", name, {**kept, **given, "path": str(path)})
