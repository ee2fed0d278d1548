"""What the widget's frames can tell apart, beyond the errors that all of Twofold has."""

from twofold.errors import Forbidden, Overloaded, Unauthorized


class TokenExpired(Unauthorized):
    """The token was good: it can be renewed."""

    slug = "token-expired"


class SessionEnded(Unauthorized):
    """A renewal that is unknown, used before or too old: a new session can be begun."""

    slug = "session-ended"


class TicketExpired(Unauthorized):
    """The frame was loaded too long ago to begin a session."""

    slug = "ticket-expired"


class IdentityRefused(Unauthorized):
    """What the host signed does not hold."""

    slug = "identity-refused"


class IdentityNeeded(Unauthorized):
    """The site takes signed-in visitors alone."""

    slug = "identity-needed"


class ConsentNeeded(Forbidden):
    slug = "consent-needed"


class QuotaExhausted(Overloaded):
    slug = "quota-exhausted"
