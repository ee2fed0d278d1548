"""Opens a folder source by name and path; its other options stay as they are registered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ingestion.sources import NO_META, OURS, Source, check_name, open_source
from twofold.errors import InvalidInput
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
    """Opens a folder as a source. `given`: its config beside the path, such as `audience`; what it
    does not name stays, since files that only staff may read must not turn public because somebody
    left it out.

    Raises InvalidInput where there is no such folder, the config is wrong, or a source that
    reads another folder would come to read an empty one.
    """
    source = open_source(settings, "folder", check_name(name), {**given, "path": str(path)})
    with ledger.session() as session:
        said: Mapping[str, Any] | None = session.scalar(
            select(Row.config).where(
                Row.workspace == workspace, Row.name == name, Row.kind == "folder"
            )
        )
    if said is not None and not _same(said.get("path"), path) and _empty(source):
        raise InvalidInput(
            f"{path} holds no document that can be read, so source {name!r} goes on reading"
            f" {said.get('path')}. To take its documents away: twofold sources remove {name}."
        )
    kept = {key: value for key, value in (said or {}).items() if key not in OURS}
    return open_source(settings, "folder", name, {**kept, **given, "path": str(path)})


def _same(known: Any, path: Path) -> bool:
    return known is not None and Path(str(known)).resolve() == path.resolve()


def _empty(source: Source) -> bool:
    return next(iter(source.discover()), None) is None
