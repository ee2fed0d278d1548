"""Everything an installation stands on, looked at from outside: nothing is opened for writing."""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from services.answer.access.keys import list_keys
from services.answer.handoffs.targets import open_targets
from services.standalone.operate import remote, stores
from services.standalone.operate.findings import CheckResult, failed, ok, run, warning
from twofold import server_file
from twofold.counted import counted
from twofold.house_file import load_house
from twofold.ledger import Ledger
from twofold.ledger.models import Failure, Source
from twofold.ledger.service import Delivery
from twofold.settings import Settings, secret, secrets_folder, unknown_variables

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DISK_MB, LOW_DISK_MB = 200, 2000


def examine(settings: Settings) -> list[CheckResult]:
    """Returns every finding, in the order in which one would mend them."""
    found = [
        *run("settings", partial(variables, settings), "See docs/configuration.md."),
        *run("packages", partial(packages, settings), "Install again: make setup"),
        *run("home", partial(home, settings), "Set TWOFOLD_HOME to a folder of this user's."),
        *run("secrets", partial(secrets, settings), "See docs/supply-chain.md and .env.example."),
        *run("house", partial(house, settings), "Mend the file TWOFOLD_HOUSE names."),
    ]
    found += _ledger(settings)
    if settings.redis_url:
        fix = "Start Redis, or set TWOFOLD_REDIS_URL; without it this process does its own jobs."
        found += run("queue", partial(stores.queue, settings), fix)
        found += run("workers", partial(stores.workers, settings), "Start a worker and beat.")
    for name, check, fix in remote.checks(settings):
        found += run(name, check, fix)
    return found


def _ledger(settings: Settings) -> Iterator[CheckResult]:
    file = make_url(settings.ledger).database if settings.ledger.startswith("sqlite") else None
    if file and not Path(file).exists():
        # Opening it would make it.
        yield warning("ledger", f"{file} is not there yet.", "twofold ingest PATH --source NAME")
        return
    opened = Ledger(settings.ledger, migrate=False)
    try:
        fix = "Start the database, or set TWOFOLD_LEDGER_URL."
        found = [*run("ledger", partial(stores.ledger, opened), fix)]
        yield from found
        if not any(each.state == "failed" for each in found):
            yield from _of_the_ledger(settings, opened)
    finally:
        opened.close()


def _of_the_ledger(settings: Settings, ledger: Ledger) -> Iterator[CheckResult]:
    yield from run("index", partial(stores.index, settings, ledger), "twofold knowledge rebuild")
    yield from run(
        "keys", partial(keys, settings, ledger), "twofold key create NAME --scope answer"
    )
    yield from run("hand-overs", partial(handoffs, settings, ledger), "twofold handoffs list")
    yield from run("sources", partial(sources, settings, ledger), "twofold knowledge status")
    yield from run("releases", partial(remote.releases, settings, ledger), "twofold model list")


def packages(settings: Settings) -> Iterator[CheckResult]:
    """Yields what is installed against what this release asks for, with what the settings need."""
    extras = {"server"} if settings.qdrant_url or "postgresql" in settings.ledger else set()
    extras |= {"ingestion"} if settings.redis_url else set()
    wrong = []
    for line in requires("twofold") or ():
        wanted = Requirement(line)
        if wanted.marker and not any(
            wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")
        ):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} is {found}, wanted {wanted.specifier}")
    if wrong:
        yield failed("packages", "; ".join(wrong) + ".", "Install from the locks: make setup")
    else:
        yield ok("packages", f"Twofold {version('twofold')} has what it needs.")


def variables(settings: Settings) -> Iterator[CheckResult]:
    unknown = unknown_variables(settings)
    for name, nearest in unknown.items():
        meant = f"Did you mean {nearest}? " if nearest else ""
        yield warning(
            "settings",
            f"{name} is no setting: nobody reads it.",
            f"{meant}docs/configuration.md lists them all.",
        )
    if not unknown:
        yield ok("settings", "every TWOFOLD_ variable is one.")


def home(settings: Settings) -> Iterator[CheckResult]:
    folder = settings.home
    place = next(each for each in (folder, *folder.resolve().parents) if each.exists())
    if not os.access(place, os.W_OK):
        yield failed("home", f"{place} cannot be written.", f"chown it to user {os.getuid()}.")
        return
    if folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o077 and _holds_data(folder):
        yield warning(
            "home", f"{folder} can be read by other users of this machine.", f"chmod 700 {folder}"
        )
    running = server_file.find(folder)
    served = f"served at {running.url}" if running else "no server runs on it"
    yield ok("home", f"{folder.resolve()}; {served}.")
    free = shutil.disk_usage(place).free / 1e6
    told = f"{free / 1000:.1f} GB are free."
    if free < DISK_MB:
        yield failed("disk", told, "Make room: below this, answers cannot be recorded.")
    elif free < LOW_DISK_MB:
        yield warning("disk", told, "Make room: a rebuild of the index needs its size again.")
    else:
        yield ok("disk", told)


def _holds_data(folder: Path) -> bool:
    return (folder / "ledger.db").exists() or (folder / "index").exists()


def secrets(settings: Settings) -> Iterator[CheckResult]:
    several = bool(settings.redis_url)
    for name in ("server_secret", "widget_secret"):
        if several and not getattr(settings, name).get_secret_value():
            yield warning(
                "secrets",
                f"TWOFOLD_{name.upper()} is not set: each process has another one.",
                f"Set TWOFOLD_{name.upper()} to 64 characters: openssl rand -hex 32",
            )
    folder = secrets_folder()
    if folder:
        open_ones = [
            path.name
            for path in folder.glob("*")
            if path.is_file() and path.stat().st_mode & stat.S_IROTH and ".." not in path.name
        ]
        if open_ones:
            yield warning(
                "secrets",
                f"Every user may read {', '.join(sorted(open_ones))} in {folder}.",
                "Mount secrets with mode 0440, or chmod o-r them.",
            )
    yield ok("secrets", f"read from {folder or 'the environment'}.")


def house(settings: Settings) -> Iterator[CheckResult]:
    found = load_house(settings.house_file, thorough=True)
    yield ok("house", f"{settings.house_file or 'the neutral policy'}: {found.company}.")


def keys(settings: Settings, ledger: Ledger) -> Iterator[CheckResult]:
    made = list_keys(ledger)
    live = sum(row.revoked_at is None for row in made)
    make_one = "Make one: twofold key create NAME --scope answer"
    if live:
        yield ok("keys", f"{live} in use: every request needs one.")
    elif settings.host not in LOOPBACK:
        yield failed(
            "keys",
            f"The server can be reached at {settings.host}, and no key lets anybody in.",
            make_one,
        )
    elif made:
        yield warning("keys", "Every request needs a key, and none is in use.", make_one)
    else:
        yield ok("keys", "none was ever made: requests from this machine need none.")


def handoffs(settings: Settings, ledger: Ledger) -> Iterator[CheckResult]:
    targets = open_targets(settings)
    for name, target in targets.items():
        for field in ("secret_env", "token_env", "url_env"):
            variable = getattr(target, field, "")
            if variable and not secret(variable):
                yield failed(
                    "hand-overs", f"The target {name!r} needs {variable}, which is not set.",
                    f"Set {variable}, or put a file of that name among the secrets.",
                )  # fmt: skip
    with ledger.session() as session:
        dead = session.scalar(select(func.count()).where(Delivery.state == "dead")) or 0
        oldest = session.scalar(
            select(func.min(Delivery.next_attempt_at)).where(Delivery.state == "pending")
        )
    if dead:
        yield failed(
            "hand-overs",
            f"{counted(dead, 'was', 'were')} given up: customers were promised a person.",
            "See why: twofold handoffs list --state failed; then: twofold handoffs retry",
        )  # fmt: skip
    elif oldest and time.time() - oldest > 600:
        yield warning(
            "hand-overs", f"One is due for {(time.time() - oldest) / 60:.0f} minutes.",
            "Is a server running? Serving processes deliver.",
        )  # fmt: skip
    elif not targets:
        yield warning(
            "hand-overs", "No target is set: they wait in `twofold handoffs list` alone.",
            "Set TWOFOLD_HANDOFF_TARGETS, or let people work in the desk.",
        )  # fmt: skip
    else:
        yield ok("hand-overs", f"go to {', '.join(targets)}; none waits.")


def sources(settings: Settings, ledger: Ledger) -> Iterator[CheckResult]:
    with ledger.session() as session:
        known = session.scalars(select(Source).where(Source.workspace == settings.workspace)).all()
        failing = session.scalar(select(func.count()).select_from(Failure)) or 0
    for source in known:
        variable = str(source.config.get("hook_secret") or "")
        if variable and not secret(variable):
            yield failed(
                "sources", f"{source.name!r} refuses its webhooks: {variable} is not set.",
                f"Set {variable} where the server runs.",
            )  # fmt: skip
        path = source.config.get("path") if source.kind == "folder" else None
        if path and not Path(str(path)).is_dir():
            yield warning(
                "sources", f"The folder of {source.name!r} is not there: {path}.",
                f"Mount it, or take the source away: twofold sources remove {source.name}",
            )  # fmt: skip
    if failing:
        yield warning(
            "sources",
            f"{counted(failing, 'document')} could not be read.",
            "twofold knowledge status",
        )
    yield ok("sources", f"{len(known)} in workspace {settings.workspace}.")
