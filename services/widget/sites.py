"""Sites in the ledger: made, shown, changed and removed; and read again quickly."""

import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from services.widget.site import SiteConfig
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.ledger import Ledger
from twofold.ledger.widget import Site

TTL_S: Final = 2.0
"""A change of a site is known to every process after this."""
PREFIX: Final = "site_"
_LETTERS: Final = string.ascii_lowercase + string.digits


class Placed(NamedTuple):
    """A site as requests need it."""

    id: str
    config: SiteConfig
    generation: int
    created_at: float
    changed_at: float


class Sites:
    """The sites of one workspace."""

    def __init__(
        self, ledger: Ledger, workspace: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self.workspace = workspace
        self._known = _Known(clock)

    def add(self, config: SiteConfig) -> Placed:
        """Raises Conflict where the name is taken."""
        now = time.time()
        id = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(14))
        row = Site(
            id=id,
            workspace=self.workspace,
            name=config.name,
            config=config.model_dump(mode="json"),
            generation=1,
            created_at=now,
            changed_at=now,
        )
        try:
            with self._ledger.session() as session:
                session.add(row)
        except IntegrityError as error:
            raise Conflict(
                f"There is a site {config.name!r} already. Choose another name."
            ) from error
        return _placed(row)

    def all(self) -> list[Placed]:
        with self._ledger.session() as session:
            query = select(Site).where(Site.workspace == self.workspace).order_by(Site.created_at)
            return [_placed(row) for row in session.scalars(query)]

    def get(self, id_or_name: str) -> Placed:
        """Raises NotFound."""
        with self._ledger.session() as session:
            named = (Site.id == id_or_name) | (Site.name == id_or_name)
            row = session.scalar(select(Site).where(Site.workspace == self.workspace, named))
        if row is None:
            raise NotFound(f"There is no site {id_or_name!r}. See `twofold site list`.")
        return _placed(row)

    def recent(self, id: str) -> Placed | None:
        """Returns the site as it was within the last two seconds, where somebody looked; never
        waits."""
        return self._known.get(id)

    def known(self, id: str) -> Placed:
        """Returns the site of that id, at most two seconds old. Raises NotFound."""
        found = self._known.get(id)
        if found is None:
            found = self.get(id)
            if found.id != id:
                raise NotFound(f"There is no site {id!r}.")
            self._known.put(found)
        return found

    def edit(self, id_or_name: str, changes: dict[str, Any]) -> Placed:
        """Changes top-level fields; parts such as `theme` field by field, None takes one away.

        Raises NotFound, InvalidInput, or Conflict where the new name is taken.
        """
        id = self.get(id_or_name).id
        try:
            with self._ledger.session() as session:
                row = session.get_one(Site, id, with_for_update=True)
                config = read_config(_merged(row.config, changes))
                row.config = config.model_dump(mode="json")
                row.name, row.changed_at = config.name, time.time()
        except IntegrityError as error:
            raise Conflict(f"There is a site {changes['name']!r} already.") from error
        self._known.drop(id)
        return _placed(row)

    def rotate(self, id_or_name: str) -> Placed:
        """Returns a new identity secret; the one before it still counts, until the next
        rotation."""
        id = self.get(id_or_name).id
        with self._ledger.session() as session:
            row = session.get_one(Site, id, with_for_update=True)
            row.generation, row.changed_at = row.generation + 1, time.time()
        self._known.drop(id)
        return _placed(row)

    def remove(self, id_or_name: str) -> str:
        """Deletes the site with its visitors, sessions and threads, and returns its id. Raises
        NotFound."""
        id = self.get(id_or_name).id
        with self._ledger.session() as session:
            session.delete(session.get_one(Site, id))
        self._known.drop(id)
        return id


def read_config(values: dict[str, Any]) -> SiteConfig:
    """Raises InvalidInput, naming the first field that is wrong and why."""
    try:
        return SiteConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "site"
        says = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"`{where}`: {says}.") from error


def _merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Colours that were computed are computed again where the one they rest on changes."""
    merged = dict(before)
    for name, value in changes.items():
        old = before.get(name)
        parts = name in ("theme", "position", "handoff", "identity")
        if parts and isinstance(old, dict) and isinstance(value, dict):
            rest = {} if name == "theme" and "primary" in value else old
            kept = {k: old[k] for k in ("radius", "scheme", "logo") if k in old and not rest}
            merged[name] = {**rest, **kept, **value}
        else:
            merged[name] = value
    if "locales" in changes and "locale" not in changes:
        merged = {name: value for name, value in merged.items() if name != "locale"}
        if before["locale"] in changes["locales"]:
            merged["locale"] = before["locale"]
    return merged


def _placed(row: Site) -> Placed:
    config = SiteConfig.model_validate(row.config)
    return Placed(row.id, config, row.generation, row.created_at, row.changed_at)


@dataclass(slots=True)
class _Known:
    clock: Callable[[], float]
    _sites: dict[str, tuple[float, Placed]] = field(default_factory=dict)

    def get(self, id: str) -> Placed | None:
        found = self._sites.get(id)
        return found[1] if found and self.clock() - found[0] < TTL_S else None

    def put(self, site: Placed) -> None:
        self._sites[site.id] = (self.clock(), site)

    def drop(self, id: str) -> None:
        self._sites.pop(id, None)
