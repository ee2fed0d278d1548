"""The registry of releases: which adapter may answer customers, which one does, and why.

    candidate -> canary -> live -> retired          refused: by the gate, or rolled back from

Every call may be made again, and by several at once: what is so already changes nothing.
"""

import getpass
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session, selectinload

from models.manifest import read_adapter
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.house_file import load_house
from twofold.ledger import Ledger
from twofold.ledger.releases import SERVED, Release, ReleaseEvent, misfit
from twofold.policy import HousePolicy
from twofold.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Registry:
    """Moves releases of a ledger from state to state, under the house policy that is running."""

    def __init__(
        self,
        ledger: Ledger,
        house: HousePolicy,
        who: str = "twofold",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.house = house
        self._ledger = ledger
        self._who = who
        self._clock = clock

    def all(self) -> Sequence[Release]:
        """Returns every release with its events, newest first."""
        with self._ledger.session() as session:
            return session.scalars(
                select(Release).options(selectinload(Release.events)).order_by(Release.id.desc())
            ).all()

    def get(self, name: str) -> Release:
        """Raises NotFound."""
        with self._ledger.session() as session:
            return _named(session, name)

    def wanted(self) -> Sequence[Release]:
        """Returns what a model server should hold: the live release, the canary, the one that a
        roll-back would bring back, and candidates; none that may not be asked under this house
        policy."""
        with self._ledger.session() as session:
            before = _before(session, _last_gone(session))
            return [
                release
                for release in session.scalars(select(Release).order_by(Release.id))
                if (release.state in ("candidate", *SERVED) or release is before)
                and not misfit(release, self.house)
            ]

    def register(self, folder: Path, name: str = "", note: str = "") -> Release:
        """Returns the release of an adapter folder, made unless it is there. Without a `name` it
        takes the adapter's, numbered where that was used.

        Raises NotFound or InvalidInput on a folder that is no whole adapter, and Conflict where
        the name was another adapter's, or the adapter has another name.
        """
        manifest = read_adapter(folder)
        with self._changing() as session:
            of = {
                "adapter_sha256": manifest.sha256,
                "profile": manifest.profile,
                "prompt": manifest.prompt,
                "house": manifest.house,
                "fingerprint": manifest.fingerprint,
            }
            known = session.scalar(select(Release).filter_by(**of))
            if known is not None:
                if name not in ("", known.name):
                    raise Conflict(
                        f"{folder} is released as {known.name!r} already; an adapter has one name."
                    )
                return known
            release = Release(
                name=_free_name(session, name, manifest.name, manifest.base.name),
                base=manifest.base.name,
                base_path=manifest.base.path,
                adapter_path=str(folder.resolve()),
                state="",
                note=note,
                **of,
            )
            release.created_at = self._clock()
            session.add(release)
            self._move(release, "candidate", note or f"published from {folder}")
            return release

    def gated(self, name: str, report: Mapping[str, Any]) -> Release:
        """Keeps the gate's report. One that failed refuses a candidate or a canary; one that passed
        makes a refused release a candidate again. What is live stays: roll it back.

        `report` holds `passed` (bool), the `adapter_sha256`, `prompt` and `house` that were
        judged, `reasons` (sentences) where it failed, and whatever else is worth keeping. Raises
        NotFound, InvalidInput on another shape, and Conflict where it judged something else.
        """
        missing = {"passed", "adapter_sha256", "prompt", "house"} - report.keys()
        if missing:
            raise InvalidInput(f"The gate's report lacks {', '.join(sorted(missing))}.")
        with self._changing() as session:
            release = _named(session, name)
            for key in ("adapter_sha256", "prompt", "house"):
                if report[key] != (own := getattr(release, key)):
                    raise Conflict(
                        f"The gate judged {key} {report[key]}, but {name!r} has {own}."
                        f" Run it again: {_gate(release)}"
                    )
            if release.gate == report:
                return release
            release.gate = dict(report)
            if report["passed"]:
                to = "candidate" if release.state == "refused" else release.state
                why = "the gate passed"
            else:
                to = "refused" if release.state in ("candidate", "canary") else release.state
                why = f"the gate failed: {_reasons(report)}"
            self._move(release, to, why)
            return release

    def canary(self, name: str, share: float, why: str = "") -> Release:
        """Gives a release this share (0..1) of the conversations. Raises Conflict with what to
        do where it may not serve, or another one is the canary."""
        if not 0 < share <= 1:
            raise InvalidInput(
                f"A canary's share lies above 0 and up to 1, not at {share:g}."
                f" To end one: twofold model retire {name}"
            )
        with self._changing() as session:
            release = _named(session, name)
            if release.state == "live":
                raise Conflict(f"{name!r} is live: it answers every conversation already.")
            other = _in_state(session, "canary")
            if other is not None and other is not release:
                raise Conflict(
                    f"{other.name!r} is the canary. Promote it first, or end it:"
                    f" twofold model retire {other.name}"
                )
            if release.state != "canary" or release.share != share:
                self._check_may_serve(release)
                release.share = share
                self._move(release, "canary", why or f"canary for {share:.0%} of conversations")
            return release

    def promote(self, name: str, why: str = "") -> Release:
        """Makes a release live in place of the one that is. Raises Conflict with what to do
        where it may not serve."""
        with self._changing() as session:
            release = _named(session, name)
            if release.state != "live":
                self._check_may_serve(release)
                self._retire_live(session, f"{name} takes its place")
                self._move(release, "live", why or "promoted")
            return release

    def rollback(self, why: str = "") -> Release:
        """Brings back the release that was live before, and refuse the one that is: the gate has to
        pass it again. A second call changes nothing: to go further back, promote by name.

        Raises Conflict where nothing was live before, or it may not serve any more.
        """
        with self._changing() as session:
            live, last = _in_state(session, "live"), _last_gone(session)
            if live is not None and last is not None and last.to_state == "refused":
                return live
            before = _before(session, last)
            if before is None:
                off = f" To take it off: twofold model retire {live.name}" if live else ""
                raise Conflict(f"There is no earlier release to roll back to.{off}")
            self._check_may_serve(before)
            if live is not None:
                self._move(live, "refused", why or f"rolled back to {before.name}")
                session.flush()
            self._move(before, "live", f"rolled back to it: {why}" if why else "rolled back to it")
            return before

    def retire(self, name: str, why: str = "") -> Release:
        """Takes a release out of service. Without a live one, the base model answers."""
        with self._changing() as session:
            release = _named(session, name)
            if release.state not in ("retired", "refused"):
                self._move(release, "retired", why or "retired")
            return release

    def _check_may_serve(self, release: Release) -> None:
        name = release.name
        unfit = misfit(release, self.house)
        if unfit:
            raise Conflict(
                f"{name!r} may not serve: {unfit}. Train on today's rows: twofold dataset build,"
                " then twofold train."
            )
        if release.state == "refused":
            raise Conflict(
                f"{name!r} was refused ({reason(release)}). Pass the gate again: {_gate(release)}"
            )
        if release.gate is None:
            raise Conflict(f"{name!r} has not been through the gate. Run: {_gate(release)}")
        if not release.gate["passed"]:
            raise Conflict(
                f"The gate did not pass {name!r} ({_reasons(release.gate)}). Run: {_gate(release)}"
            )

    def _retire_live(self, session: Session, why: str) -> None:
        live = _in_state(session, "live")
        if live is not None:
            self._move(live, "retired", why)
            session.flush()  # at most one is live, at every moment

    def _move(self, release: Release, to: str, why: str) -> None:
        now = self._clock()
        event = ReleaseEvent(
            at=now, from_state=release.state, to_state=to, why=why, who=self._who
        )  # fmt: skip
        release.events.append(event)
        if release.state != to:
            release.state, release.changed_at = to, now
        if to != "canary":
            release.share = 0.0

    @contextmanager
    def _changing(self) -> Iterator[Session]:
        """Opens a transaction beside which nobody else changes a release."""
        with self._ledger.session() as session:
            if self._ledger.engine.dialect.name == "postgresql":
                session.execute(text("LOCK TABLE releases IN SHARE ROW EXCLUSIVE MODE"))
            else:
                # SQLite takes its write lock with the first write, even one that changes no row.
                session.execute(text("UPDATE releases SET id = id WHERE 0"))
            yield session


def open_registry(settings: Settings, ledger: Ledger) -> Registry:
    """Returns the registry under the settings' house policy; changes are this user's."""
    return Registry(ledger, load_house(settings.house_file), f"{_user()}@{socket.gethostname()}")


def reason(release: Release) -> str:
    """Returns why a release, loaded with its events, is in its state."""
    return release.events[-1].why


def _named(session: Session, name: str) -> Release:
    release = session.scalar(
        select(Release).options(selectinload(Release.events)).where(Release.name == name)
    )
    if release is None:
        names = session.scalars(select(Release.name).order_by(Release.id.desc()).limit(5)).all()
        known = f"The latest are {', '.join(names)}." if names else "Nothing was published yet."
        raise NotFound(f"There is no release {name!r}. {known}")
    return release


def _in_state(session: Session, state: str) -> Release | None:
    return session.scalar(select(Release).where(Release.state == state))


def _last_gone(session: Session) -> ReleaseEvent | None:
    """Returns the event by which the last live release ceased to be live; None where none did."""
    return session.scalars(
        select(ReleaseEvent)
        .where(ReleaseEvent.from_state == "live", ReleaseEvent.to_state != "live")
        .order_by(ReleaseEvent.id.desc())
    ).first()


def _before(session: Session, gone: ReleaseEvent | None) -> Release | None:
    """Returns the release that a roll-back brings back."""
    release = session.get(Release, gone.release_id) if gone is not None else None
    return release if release is not None and release.state == "retired" else None


def _free_name(session: Session, wanted: str, adapter: str, base: str) -> str:
    used = {*session.scalars(select(Release.name)), base}
    name = wanted or adapter
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a release: letters, digits, '.', '_' and '-', at most 63."
            " Give one with --name."
        )
    if name not in used:
        return name
    if wanted:
        raise Conflict(
            f"{wanted!r} is taken. A name is never given twice: the model server may still hold"
            " what the other one computed. Take another --name."
        )
    number = 2
    while f"{name}-{number}" in used:
        number += 1
    return f"{name}-{number}"


def _reasons(report: Mapping[str, Any]) -> str:
    return "; ".join(report.get("reasons") or ["no reason given"])


def _gate(release: Release) -> str:
    return f"twofold gate {release.name}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"
