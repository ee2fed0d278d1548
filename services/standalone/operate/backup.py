"""Backups: the ledger whole, and with it the index where a Qdrant server holds it.

The ledger is the truth, and every text of a document is in it: an index that is missing or older
is brought to it when it is opened. A snapshot of the index only makes that quick.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import func, select
from sqlalchemy.engine import URL, make_url

from ingestion.upkeep.rebuild import open_current
from twofold import server_file
from twofold.counted import counted
from twofold.errors import Conflict, InvalidInput, NotFound, SetupError, UpstreamError
from twofold.index.stores import open_stores
from twofold.ledger import HEAD, Ledger
from twofold.ledger.models import Document
from twofold.settings import Settings

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

FORMAT = 1
MANIFEST, SQLITE, DUMP, SNAPSHOT = "backup.json", "ledger.db", "ledger.dump", "index.snapshot"
SNAPSHOT_S = 3600.0


def write(settings: Settings, folder: Path, *, index_only: bool = False) -> Iterator[str]:
    """Backs up into `folder` and yields what was done. Raises InvalidInput where files are in it
    that are none of a backup's, SetupError where a tool is missing."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    strangers = {path.name for path in folder.iterdir()} - ({DUMP} if index_only else set())
    if strangers:
        raise InvalidInput(f"{folder} is not empty ({min(strangers)}). Name a new folder.")
    url = make_url(settings.ledger)
    # The index first: what is indexed meanwhile is in the ledger, and comes to the index from it.
    digest = _snapshot(settings, folder) if settings.qdrant_url else ""
    yield f"index: {digest} as {SNAPSHOT}" if digest else "index: is built from the ledger"
    if not index_only:
        yield f"ledger: {_dump(url, folder)}"
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    manifest = {
        "format": FORMAT, "twofold": version("twofold"), "revision": HEAD, "at": time.time(),
        "index": digest, "files": files,
    }  # fmt: skip
    draft = folder / f".{MANIFEST}"
    draft.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    draft.replace(folder / MANIFEST)
    yield f"{sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB in {folder}"


def read(
    settings: Settings, folder: Path, *, index_only: bool = False, replace: bool = False
) -> Iterator[str]:
    """Brings the installation to what `folder` holds. Raises NotFound or InvalidInput on a
    backup that is not whole, Conflict where a server runs or the ledger holds documents."""
    manifest = _checked(folder, index_only=index_only)
    if running := server_file.find(settings.home):
        raise Conflict(f"A server runs at {running.url}. Stop it, and every worker, first.")
    if not index_only:
        _refuse_to_lose(settings, replace=replace)
        yield f"ledger: {_load(make_url(settings.ledger), folder)}"
    if settings.qdrant_url and manifest["index"]:
        _recover(settings, folder, str(manifest["index"]))
        yield f"index: {manifest['index']} from {SNAPSHOT}"
    elif not settings.qdrant_url:
        # What it holds may be newer than the ledger that it has to follow from here.
        shutil.rmtree(settings.home / "index", ignore_errors=True)
    lines: list[str] = []
    with open_current(settings, lines.append, None) as stack:
        yield from lines
        yield f"ready: {counted(stack.index.count(), 'passage')}; twofold doctor looks at the rest"


def _checked(folder: Path, *, index_only: bool) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    except OSError:
        raise NotFound(f"{folder} holds no backup: {MANIFEST} is missing.") from None
    except ValueError:
        raise InvalidInput(f"{folder / MANIFEST} is damaged. Take another backup.") from None
    if manifest.get("format") != FORMAT:
        raise InvalidInput(f"{folder} was written by another Twofold ({manifest.get('twofold')}).")
    for name, wanted in manifest["files"].items():
        if index_only and name in (DUMP, SQLITE):
            continue
        path = folder / Path(name).name
        if not path.is_file() or _sha256(path) != wanted:
            raise InvalidInput(f"{path} is missing or damaged. Take another backup.")
    return manifest


def _refuse_to_lose(settings: Settings, *, replace: bool) -> None:
    url = make_url(settings.ledger)
    if replace or (url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()):
        return
    ledger = Ledger(settings.ledger)
    try:
        with ledger.session() as session:
            held = session.scalar(select(func.count()).select_from(Document)) or 0
    finally:
        ledger.close()
    if held:
        raise Conflict(
            f"The ledger holds {counted(held, 'document')}. Back it up, then say"
            " --replace to overwrite it."
        )


def _dump(url: URL, folder: Path) -> str:
    if url.get_backend_name() == "sqlite":
        source, target = sqlite3.connect(str(url.database)), sqlite3.connect(folder / SQLITE)
        try:
            # Page by page beside whoever writes; the copy is of one moment.
            source.backup(target)
        finally:
            target.close()
            source.close()
        return SQLITE
    _tool("pg_dump", url, "--format=custom", f"--file={folder / DUMP}", str(url.database))
    return DUMP


def _load(url: URL, folder: Path) -> str:
    if url.get_backend_name() == "sqlite":
        if not (folder / SQLITE).is_file():
            raise InvalidInput(f"{folder} holds a PostgreSQL dump: set TWOFOLD_LEDGER_URL to one.")
        path = Path(str(url.database))
        path.parent.mkdir(parents=True, exist_ok=True)
        for trace in ("-wal", "-shm"):
            path.with_name(path.name + trace).unlink(missing_ok=True)
        draft = path.with_suffix(".restored")
        shutil.copyfile(folder / SQLITE, draft)
        draft.replace(path)
        return str(path)
    if not (folder / DUMP).is_file():
        raise InvalidInput(f"{folder} holds a SQLite ledger: it cannot go into PostgreSQL.")
    _tool(
        "pg_restore", url, "--clean", "--if-exists", "--no-owner", "--single-transaction",
        f"--dbname={url.database}", str(folder / DUMP),
    )  # fmt: skip
    return url.render_as_string()


def _tool(name: str, url: URL, *options: str) -> None:
    """Runs one of PostgreSQL's programs; the password goes by a variable, never the command
    line."""
    program = shutil.which(name)
    if program is None:
        raise SetupError(
            f"{name} is not installed. Install PostgreSQL's client, or dump and restore where the"
            " database runs, and use --index-only here (docs/operations/backup.md)."
        )
    place = {
        "PGHOST": url.host,
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
    }
    given = {key: str(value) for key, value in place.items() if value is not None}
    done = subprocess.run(  # noqa: S603
        [program, *options],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise UpstreamError(f"{name} failed: {last[0]}")


def _client(settings: Settings) -> "QdrantClient":
    from qdrant_client import QdrantClient

    return QdrantClient(
        url=settings.qdrant_url,
        api_key=settings.qdrant_key.get_secret_value() or None,
        timeout=int(SNAPSHOT_S),
    )


def _http(settings: Settings) -> httpx.Client:
    key = settings.qdrant_key.get_secret_value()
    return httpx.Client(
        base_url=settings.qdrant_url, timeout=SNAPSHOT_S, headers={"api-key": key} if key else {}
    )


def _collection(settings: Settings, digest: str) -> str:
    return f"twofold-{settings.qdrant_name}-{digest}"


def _snapshot(settings: Settings, folder: Path) -> str:
    """Returns the digest of the live store, now in `folder`; "" where none is live. Of a cluster
    the node that answers keeps only its own shards: there a restore goes by the ledger."""
    digest = open_stores(settings).live()
    if digest is None:
        return ""
    name, client = _collection(settings, digest), _client(settings)
    try:
        made = client.create_snapshot(name, wait=True)
        if made is None:
            raise UpstreamError("Qdrant made no snapshot. Its log says why.")
        where = f"/collections/{name}/snapshots/{made.name}"
        with _http(settings) as http, http.stream("GET", where) as response:
            response.raise_for_status()
            with (folder / SNAPSHOT).open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
        client.delete_snapshot(name, made.name, wait=True)
    finally:
        client.close()
    return digest


def _recover(settings: Settings, folder: Path, digest: str) -> None:
    name = _collection(settings, digest)
    try:
        with _http(settings) as http, (folder / SNAPSHOT).open("rb") as file:
            http.post(
                f"/collections/{name}/snapshots/upload",
                params={"priority": "snapshot", "wait": "true"},
                files={"snapshot": file},
            ).raise_for_status()
    except httpx.HTTPError as error:
        raise UpstreamError(
            f"Qdrant did not take the snapshot ({type(error).__name__}). The ledger is restored:"
            " twofold knowledge rebuild makes the index from it."
        ) from error
    open_stores(settings).flip(digest)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
