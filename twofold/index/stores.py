"""The stores of one index: one is live, others stand beside it, each of one fingerprint."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twofold.errors import Conflict, NotFound, SetupError
from twofold.index import edge
from twofold.index.contract import Fingerprint, Index
from twofold.settings import Settings

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


class Store(NamedTuple):
    """`made_by` is the fingerprint's fields and `dimension`. `retired_at` (epoch seconds) is when
    it stopped being live; `rejected` that somebody rolled back from it."""

    digest: str
    made_by: Mapping[str, Any]
    live: bool
    retired_at: float | None = None
    rejected: bool = False

    @property
    def fingerprint(self) -> Fingerprint:
        names = Fingerprint.__dataclass_fields__
        return Fingerprint(**{name: str(self.made_by.get(name, "")) for name in names})


class Stores(Protocol):
    def open(self, fingerprint: Fingerprint, dimension: int, *, beside: bool = False) -> Index:
        """Opens a store as `EdgeIndex.open` and `QdrantIndex.open` describe it."""
        ...

    def live(self) -> str | None:
        """Returns the digest of the store that readers use."""
        ...

    def all(self) -> list[Store]:
        """Returns finished and half-made stores; at most one is live."""
        ...

    def flip(self, digest: str, *, rejecting: bool = False) -> None:
        """Makes a store the live one; the one before is retired, `rejecting` says why."""
        ...

    def drop(self, digest: str) -> None:
        """Deletes a store that is not live. Raises Conflict where it is, or is open elsewhere."""
        ...


def require_live(settings: Settings, fingerprint: Fingerprint) -> None:
    """Raises Conflict where another store went live since this process opened its own."""
    live = open_stores(settings).live()
    if live not in (None, fingerprint.digest):
        raise Conflict(
            f"The index was built anew (it is {live} now, and this process writes to"
            f" {fingerprint.digest}). Restart this process, with the settings of the new one."
        )


def open_stores(settings: Settings) -> Stores:
    """Returns the stores of a server, where `qdrant_url` names one, else those under `home`."""
    if settings.qdrant_url:
        return QdrantStores(
            lambda: _connect(settings),
            settings.qdrant_name,
            quantized=settings.qdrant_quantized,
            shards=settings.qdrant_shards,
            replicas=settings.qdrant_replicas,
        )
    return EdgeStores(settings.home / "index")


def _connect(settings: Settings) -> "QdrantClient":
    try:
        from qdrant_client import QdrantClient
    except ModuleNotFoundError as error:
        raise SetupError(
            "TWOFOLD_QDRANT_URL is set, but the client is not installed: pip install"
            " 'twofold[server]'."
        ) from error
    return QdrantClient(
        url=settings.qdrant_url,
        api_key=settings.qdrant_key.get_secret_value() or None,
        timeout=settings.qdrant_timeout_s,
    )


class EdgeStores:
    """Stores in folders: `folder/<digest>/retired.json` beside what `twofold.index.edge` keeps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, fingerprint: Fingerprint, dimension: int, *, beside: bool = False) -> Index:
        return edge.EdgeIndex.open(self._folder, fingerprint, dimension, beside=beside)

    def live(self) -> str | None:
        return edge.live(self._folder)

    def all(self) -> list[Store]:
        if not self._folder.is_dir():
            return []
        current = edge.live(self._folder)
        homes = sorted(home for home in self._folder.iterdir() if home.is_dir())
        return [self._store(home, current) for home in homes]

    def flip(self, digest: str, *, rejecting: bool = False) -> None:
        before = edge.live(self._folder)
        if before and before != digest:
            mark = json.dumps({"at": time.time(), "rejected": rejecting})
            edge.replace_file(self._mark(before), mark)
        edge.flip(self._folder, digest)
        self._mark(digest).unlink(missing_ok=True)

    def drop(self, digest: str) -> None:
        if digest == edge.live(self._folder):
            raise Conflict(f"The index {digest} is live and stays.")
        with edge.owned(self._folder / digest):
            shutil.rmtree(self._folder / digest)

    def _mark(self, digest: str) -> Path:
        return self._folder / digest / "retired.json"

    def _store(self, home: Path, current: str | None) -> Store:
        made_by = edge.manifest_of(home) or {}
        if home.name == current:
            return Store(home.name, made_by, live=True)
        try:
            mark = json.loads(self._mark(home.name).read_bytes())
        except (OSError, ValueError):
            return Store(home.name, made_by, live=False)
        return Store(home.name, made_by, False, mark["at"], mark["rejected"])


class QdrantStores:
    """Stores in a Qdrant server: collections `twofold-<name>-<digest>`, with the time of
    retirement in their metadata."""

    def __init__(
        self,
        connect: "Callable[[], QdrantClient]",
        name: str,
        *,
        quantized: bool = False,
        shards: int = 1,
        replicas: int = 1,
    ) -> None:
        """`connect` returns a client that the caller closes; the rest is of collections that are
        made from here, as `QdrantIndex.open` says."""
        self._connect = connect
        self._name = name
        self._quantized, self._shards, self._replicas = quantized, shards, replicas

    def open(self, fingerprint: Fingerprint, dimension: int, *, beside: bool = False) -> Index:
        from twofold.index.qdrant import QdrantIndex

        client = self._connect()
        try:
            return QdrantIndex.open(
                client,
                self._name,
                fingerprint,
                dimension,
                beside=beside,
                quantized=self._quantized,
                shard_number=self._shards,
                replication_factor=self._replicas,
            )
        except BaseException:
            client.close()
            raise

    def live(self) -> str | None:
        from twofold.index import qdrant

        client = self._connect()
        try:
            return qdrant.live(client, self._name)
        finally:
            client.close()

    def all(self) -> list[Store]:
        from twofold.index import qdrant

        client = self._connect()
        try:
            current = qdrant.live(client, self._name)
            found = qdrant.metadata(client, self._name)
        finally:
            client.close()
        return [
            Store(
                digest,
                {k: v for k, v in about.items() if k in _MADE_BY},
                digest == current,
                about.get("retired_at") if digest != current else None,
                bool(about.get("rejected")) and digest != current,
            )
            for digest, about in sorted(found.items())
        ]

    def flip(self, digest: str, *, rejecting: bool = False) -> None:
        from twofold.index import qdrant

        client = self._connect()
        try:
            before = qdrant.live(client, self._name)
            if before and before != digest:
                mark = {"retired_at": time.time(), "rejected": rejecting}
                qdrant.mark(client, self._name, before, mark)
            qdrant.flip(client, self._name, digest)
        finally:
            client.close()

    def drop(self, digest: str) -> None:
        from twofold.index import qdrant

        client = self._connect()
        try:
            if digest == qdrant.live(client, self._name):
                raise Conflict(f"The index {digest} is live and stays.")
            qdrant.drop(client, self._name, digest)
        finally:
            client.close()


_MADE_BY = {*asdict(Fingerprint("", "", "", "")), "dimension"}


def find(stores: Stores, digest: str) -> Store:
    """Raises NotFound, naming those that there are."""
    found = stores.all()
    for store in found:
        if store.digest.startswith(digest):
            return store
    names = ", ".join(store.digest for store in found) or "none"
    raise NotFound(f"There is no index store {digest!r}; there are: {names}.")
