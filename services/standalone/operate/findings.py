"""What `twofold doctor` finds, and how a check that breaks becomes a finding of its own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from twofold.commands import EXTRAS, not_installed
from twofold.errors import TwofoldError

State = Literal["ok", "warning", "failed"]


class CheckResult(NamedTuple):
    """`found` is a sentence that holds no secret; `fix` says what to do, "" where all is well."""

    check: str
    state: State
    found: str
    fix: str = ""


Check = Callable[[], Iterable[CheckResult]]


def ok(check: str, found: str) -> CheckResult:
    return CheckResult(check, "ok", found)


def warning(check: str, found: str, fix: str) -> CheckResult:
    return CheckResult(check, "warning", found, fix)


def failed(check: str, found: str, fix: str) -> CheckResult:
    return CheckResult(check, "failed", found, fix)


def run(name: str, check: Check, fix: str) -> Iterator[CheckResult]:
    """Yields a check's findings; where it breaks, that it did, and `fix`."""
    try:
        yield from check()
    except TwofoldError as error:
        yield failed(name, error.message, fix)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            yield failed(name, not_installed(error.name), fix)
            return
        # Only the kind: what a driver says of itself may hold a password.
        yield failed(name, f"the check broke off ({type(error).__name__}).", fix)
