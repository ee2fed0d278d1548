"""Every error that Twofold raises on purpose.

    TwofoldError
    ├── InvalidInput        the caller can mend it: a bad path, an empty question
    ├── NotFound            the thing named does not exist (or is not yours to see)
    ├── Conflict            somebody else holds it: a running sync, a store opened twice
    ├── TooLarge            over a stated limit
    ├── TooSlow             the request did not arrive in time
    ├── Unauthorized        no key, or none that is known
    ├── Forbidden           the key does not carry the scope or the audience
    ├── Overloaded          try again later; `retry_after` seconds
    ├── Unavailable         the ledger does not answer: nothing can be kept or promised; the same
    ├── UpstreamError       a model server, an index or a source failed or answered nonsense
    └── SetupError          the installation is incomplete
        └── Outdated        the index was made by something else; it can be built again

The message is one sentence that names the thing and says what to do; it may be shown to the caller
as it is, so it never holds a secret.
"""

from typing import ClassVar


class TwofoldError(Exception):
    """Base of all errors raised on purpose. `status` is the HTTP status, `slug` names the
    problem type (RFC 9457)."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(TwofoldError):
    status = 422
    slug = "invalid-input"


class NotFound(TwofoldError):
    status = 404
    slug = "not-found"


class Conflict(TwofoldError):
    status = 409
    slug = "conflict"


class TooLarge(TwofoldError):
    status = 413
    slug = "too-large"


class TooSlow(TwofoldError):
    status = 408
    slug = "too-slow"


class Unauthorized(TwofoldError):
    status = 401
    slug = "unauthorized"


class Forbidden(TwofoldError):
    status = 403
    slug = "forbidden"


class Overloaded(TwofoldError):
    status = 429
    slug = "overloaded"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(TwofoldError):
    status = 503
    slug = "unavailable"

    def __init__(self, message: str, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamError(TwofoldError):
    status = 502
    slug = "upstream"


class SetupError(TwofoldError):
    status = 503
    slug = "setup"


class Outdated(SetupError):
    """Raised where the live store has another fingerprint than this program's."""
