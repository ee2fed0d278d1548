"""Guard: a message becomes clean text in a known language, or a clear refusal."""

import unicodedata
from collections.abc import Iterable, Sequence

from twofold.errors import InvalidInput, TooLarge
from twofold.redact import without_secrets
from twofold.text.languages import language_of


def clean(message: str, max_chars: int) -> str:
    """Returns the message in NFC without control characters, its card numbers and secrets
    masked: no later step needs them, and they must not be stored. Raises InvalidInput if empty,
    TooLarge if too long."""
    if len(message) > max_chars:
        raise TooLarge(
            f"The question has {len(message):,} characters; at most {max_chars:,} are read."
            " Shorten it, and keep the part that asks."
        )
    text = unicodedata.normalize("NFC", message)
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C").strip()
    if not text:
        raise InvalidInput("The question is empty. Send some text in `message`.")
    return without_secrets(text)


def detect_locale(text: str, locales: Sequence[str], before: Iterable[str] = ()) -> str:
    """Returns the language of `text`, one of the house's where possible. A text that shows none
    ("ok, super") has that of the first one `before` it that does, else the house's first."""
    seen = (language_of(each, locales) for each in (text, *before))
    return next(filter(None, seen), locales[0])
