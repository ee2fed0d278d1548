"""What is worth trying again, how often, and how long to wait before it."""

import random
from collections.abc import Iterator

import stamina
from sqlalchemy.exc import InterfaceError, OperationalError

from twofold.errors import Forbidden, InvalidInput, NotFound, TooLarge

MAX_ATTEMPTS = 5
"""After so many it is a dead letter, which only a person or the next sync tries again."""
FIRST_BACKOFF_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 900.0
LEDGER_SECONDS = 60.0
"""How long a worker waits for its ledger to come back before it gives its work up."""

_LASTING = (InvalidInput, NotFound, TooLarge, Forbidden)


def passing(error: BaseException) -> bool:
    """Returns whether the same thing may go well the next time, with nobody changing anything."""
    return isinstance(error, Exception) and not isinstance(error, _LASTING)


def backoff(attempts: int) -> float:
    """Returns seconds until the next attempt: 5, 15, 45, ... and up to half as much again, so
    that what failed together does not come back together."""
    wait = min(FIRST_BACKOFF_SECONDS * 3.0 ** (attempts - 1), MAX_BACKOFF_SECONDS)
    return wait * random.uniform(1.0, 1.5)  # noqa: S311  not a secret


def patiently(patient: bool = True, seconds: float = LEDGER_SECONDS) -> Iterator[stamina.Attempt]:
    """Attempts at one ledger transaction, over a restart of the database; else only one."""
    yield from stamina.retry_context(
        on=(OperationalError, InterfaceError),
        attempts=None if patient else 1,
        timeout=seconds,
        wait_initial=0.05,
        wait_max=2.0,
    )
