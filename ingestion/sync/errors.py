"""Which step a document failed at, and the sentence that is kept of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from twofold.errors import TwofoldError


class StepFailed(Exception):
    """Raised with the step's name, for whoever records the failure; the cause is `__cause__`."""

    def __init__(self, step: str, cause: Exception) -> None:
        super().__init__(step)
        self.step = step
        self.cause = cause


@contextmanager
def step(name: str) -> Iterator[None]:
    """Names the step that an error inside the block came from. The innermost name stands."""
    try:
        yield
    except StepFailed:
        raise
    except Exception as error:
        raise StepFailed(name, error) from error


def reason(error: Exception) -> str:
    """Returns one sentence about an error, for people: ours as they are, others with their kind."""
    if isinstance(error, TwofoldError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}. Check that the file exists and can be read."
    detail = str(error).strip().split("\n")[0][:300].rstrip(".")
    return f"{type(error).__name__}: {detail}." if detail else f"{type(error).__name__}."
