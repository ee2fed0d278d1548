"""The ledger, the index and the queue: there, of the right version, agreeing with each other."""

import time
from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from ingestion.sync.status import knowledge_status
from services.standalone.operate.findings import CheckResult, failed, ok, warning
from twofold.counted import counted
from twofold.index.sparse import Bm25Encoder
from twofold.index.stores import open_stores
from twofold.ledger import HEAD, Ledger
from twofold.settings import Settings
from twofold.stack import fingerprint_of, open_embedder

SKEW_S, BAD_SKEW_S = 2.0, 30.0
"""Signatures hold for minutes, leases and due times for seconds."""
POSTGRES = 140000
REDIS = (6, 2)
PING_S = 2.0


def ledger(opened: Ledger) -> Iterator[CheckResult]:
    place = make_url(opened.url).render_as_string()
    sqlite = opened.engine.dialect.name == "sqlite"
    try:
        revision = opened.revision()
    except SQLAlchemyError as error:
        yield failed(
            "ledger", f"{place} does not answer ({type(error).__name__}).",
            "Start the database, or set TWOFOLD_LEDGER_URL.",
        )  # fmt: skip
        return
    if revision is None:
        yield failed("ledger", f"{place} is empty.", "twofold migrate")
        return
    if revision != HEAD:
        yield failed(
            "ledger", f"{place} is at revision {revision}, this program at {HEAD}.",
            "twofold migrate; where the ledger is the newer one, run the newer Twofold.",
        )  # fmt: skip
        return
    yield ok("ledger", f"{place}, revision {revision}.")
    yield from _sqlite(opened) if sqlite else _postgres(opened)


def _sqlite(opened: Ledger) -> Iterator[CheckResult]:
    with opened.engine.connect() as connection:
        sound = connection.scalar(text("PRAGMA quick_check"))
    if sound == "ok":
        yield ok("ledger file", "sound.")
    else:
        yield failed("ledger file", f"{sound}.", "Restore the last backup: twofold restore FOLDER")


def _postgres(opened: Ledger) -> Iterator[CheckResult]:
    asked = time.time()
    with opened.engine.connect() as connection:
        theirs = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
        release = int(connection.scalar(text("SHOW server_version_num")) or 0)
        may = "SELECT has_table_privilege('answers', 'INSERT')"
        writable = connection.scalar(text(may))
        following = connection.scalar(text("SELECT pg_is_in_recovery()"))
    if release < POSTGRES:
        yield failed("PostgreSQL", f"version {release // 10_000}.", "Use PostgreSQL 14 or newer.")
    if following:
        yield failed("PostgreSQL", "is a replica.", "Point TWOFOLD_LEDGER_URL at the primary.")
    if not writable:
        yield failed("PostgreSQL", "This user may not write.", "GRANT ALL ON ALL TABLES to it.")
    yield _clock("PostgreSQL", theirs - (asked + time.time()) / 2)


def _clock(whose: str, skew: float) -> CheckResult:
    told = f"{whose}'s and this machine's differ by {abs(skew):.1f} s."
    fix = "Set both by NTP: leases, schedules and signatures go by them."
    if abs(skew) > BAD_SKEW_S:
        return failed("clock", told, fix)
    return warning("clock", told, fix) if abs(skew) > SKEW_S else ok("clock", told)


def index(settings: Settings, opened: Ledger) -> Iterator[CheckResult]:
    own = fingerprint_of(settings, open_embedder(settings), Bm25Encoder())
    yield ok("embedder", own.embedder)
    kept = open_stores(settings)
    live = next((store for store in kept.all() if store.live), None)
    documents = knowledge_status(opened, settings.workspace).documents
    where = settings.qdrant_url or str(settings.home / "index")
    if live is None:
        fix = "twofold knowledge rebuild" if documents else "twofold ingest PATH --source NAME"
        state = failed if documents else warning
        yield state(
            "index", f"{where} holds none; the ledger has {counted(documents, 'document')}.", fix
        )
    elif live.digest != own.digest:
        names = [each for each in own.__slots__ if getattr(own, each) != live.made_by.get(each)]
        yield failed(
            "index", f"{live.digest} was made with another {' and '.join(names)}.",
            "twofold knowledge rebuild; or go back to the settings it was made with.",
        )  # fmt: skip
    elif not documents:
        yield warning("index", f"{where} holds no document.", "twofold ingest PATH --source NAME")
    else:
        yield ok("index", f"{where}: {live.digest} is live, for {counted(documents, 'document')}.")
    if settings.qdrant_url:
        yield from _qdrant(settings, live.digest if live else "", opened)


def _qdrant(settings: Settings, digest: str, opened: Ledger) -> Iterator[CheckResult]:
    from importlib.metadata import version

    from qdrant_client import QdrantClient

    client = QdrantClient(
        url=settings.qdrant_url, api_key=settings.qdrant_key.get_secret_value() or None,
        timeout=settings.qdrant_timeout_s, check_compatibility=False,
    )  # fmt: skip
    try:
        server, ours = client.info().version, version("qdrant-client")
        apart = abs(int(server.split(".")[1]) - int(ours.split(".")[1]))
        if server.split(".")[0] != ours.split(".")[0] or apart > 1:
            yield warning(
                "Qdrant", f"version {server}; the client is {ours}.",
                "Keep them within one minor version of each other.",
            )  # fmt: skip
        else:
            yield ok("Qdrant", f"version {server}.")
        if digest:
            collection = f"twofold-{settings.qdrant_name}-{digest}"
            points = client.count(collection, exact=True).count
            chunks = knowledge_status(opened, settings.workspace).chunks
            if points < chunks:
                yield failed(
                    "Qdrant",
                    f"{counted(points, 'point')} for {counted(chunks, 'chunk')} of the ledger.",
                    "twofold knowledge reconcile",
                )  # fmt: skip
    finally:
        client.close()


def queue(settings: Settings) -> Iterator[CheckResult]:
    import redis

    with redis.Redis.from_url(settings.redis_url, socket_timeout=PING_S) as client:
        asked = time.time()
        info = client.info()
        theirs, micro = client.time()
        aof = bool(info.get("aof_enabled"))
        policy = info.get("maxmemory_policy")
    found = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if found < REDIS:
        yield warning("Redis", f"version {info['redis_version']}.", "Use Redis 6.2 or newer.")
    if not aof:
        yield warning(
            "Redis", "keeps nothing over a crash: hints are lost, and jobs wait for the next tick.",
            "Start it with --appendonly yes.",
        )  # fmt: skip
    if policy != "noeviction":
        yield failed(
            "Redis", f"throws messages away when memory is short ({policy}).",
            "Start it with --maxmemory-policy noeviction.",
        )  # fmt: skip
    yield ok("Redis", f"version {info['redis_version']}.")
    yield _clock("Redis", theirs + micro / 1e6 - (asked + time.time()) / 2)


def workers(settings: Settings) -> Iterator[CheckResult]:
    # Celery is an extra, which the embedded size does without.
    from ingestion.jobs.celery import make_app

    with make_app(settings) as app:
        answers = app.control.ping(timeout=PING_S)
    if answers:
        yield ok("workers", f"{counted(len(answers), 'answers', 'answer')}.")
    else:
        yield failed(
            "workers", "None answers: nothing is indexed.",
            "celery -A ingestion.jobs.celery worker, and ... beat",
        )  # fmt: skip
