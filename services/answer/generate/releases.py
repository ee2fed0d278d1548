"""Which release answers a conversation: the canary for its share of them, else the live one.

The ledger says which these are. It is read again every REFRESH_S, so that a promotion or roll-back
takes effect in every process within seconds, and never on the event loop.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.answer.generate import Lane
from services.answer.generate.model import ModelMaker
from twofold.ledger import Ledger
from twofold.ledger.releases import Release, misfit, served
from twofold.policy import HousePolicy

REFRESH_S: Final = 2.0
WAIT_S: Final = 0.5
"""A ledger that is slower decides nothing now: what was known holds until it has answered."""

_log = structlog.get_logger("twofold.releases")


@dataclass(frozen=True, slots=True)
class Serving:
    """The reply makers in service at one moment. `share` (0..1) of the conversations are the
    canary's."""

    live: ModelMaker | None = None
    canary: ModelMaker | None = None
    share: float = 0.0

    def makers(self, conversation: str) -> tuple[ModelMaker, ...]:
        """Returns the makers to ask, in order. A conversation keeps its lane for as long as the
        canary runs."""
        canary = self.canary
        if canary is not None and not in_share(canary.model.model, conversation, self.share):
            canary = None
        return tuple(maker for maker in (canary, self.live) if maker is not None)


class Releases:
    """What the registry has in service, known to within REFRESH_S."""

    def __init__(
        self, ledger: Ledger, house: HousePolicy, make: Callable[[str, Lane], ModelMaker]
    ) -> None:
        """Reads the ledger at once. `make` returns the maker of a release by its name."""
        self._ledger = ledger
        self._house = house
        self._make = make
        self._known = Serving()
        self._unfit: dict[str, str] = {}
        self._one = threading.Lock()
        self._read()

    async def makers(self, conversation: str) -> tuple[ModelMaker, ...]:
        """Returns the makers to ask in this conversation, in order; none where nothing is in
        service."""
        if time.monotonic() - self._read_at >= REFRESH_S:
            try:
                async with asyncio.timeout(WAIT_S):
                    await asyncio.to_thread(self._read)
            except TimeoutError:
                _log.warning("the ledger is slow to say which releases serve")
        return self._known.makers(conversation)

    def _read(self) -> None:
        if not self._one.acquire(blocking=False):
            return  # somebody reads already
        try:
            with self._ledger.session() as session:
                rows = served(session)
            self._known = self._serving(rows)
        except SQLAlchemyError as error:
            failed = type(error).__name__  # whoever writes to it next tells the whole story
            _log.warning("the ledger does not say which releases serve", error=failed)
        finally:
            self._read_at = time.monotonic()
            self._one.release()

    def _serving(self, rows: Sequence[Release]) -> Serving:
        unfit = {row.name: why for row in rows if (why := misfit(row, self._house))}
        for name in unfit.keys() - self._unfit.keys():
            _log.warning("a release is not asked", release=name, why=unfit[name])
        self._unfit = unfit
        in_state = {row.state: row for row in rows if row.name not in unfit}
        live, canary = in_state.get("live"), in_state.get("canary")
        return Serving(
            self._make(live.name, "live") if live else None,
            self._make(canary.name, "canary") if canary else None,
            canary.share if canary else 0.0,
        )


def in_share(release: str, conversation: str, share: float) -> bool:
    """Returns whether a conversation is among the first `share` (0..1) in an order that is the
    release's own: as the share grows, those that were in it stay."""
    place = hashlib.sha256(f"{release}\n{conversation}".encode()).digest()[:8]
    return int.from_bytes(place) < share * 2**64
