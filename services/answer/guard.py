"""First step: a message becomes clean text in a known language, or a clear refusal."""

import unicodedata
from collections.abc import Sequence

from twofold.errors import InvalidInput, TooLarge

_FUNCTION_WORDS = {
    locale: frozenset(words.split())
    for locale, words in {
        "en": """the a an is are was do does did how what when where why who which can could
            would should my your our i we you it to of in on for with not no and or if there this
            that from at be""",
        "de": """der die das ein eine einen ist sind war wie was wann wo warum wer welche welcher
            kann können könnte mein meine unser ich wir sie es zu von im in auf für mit nicht kein
            keine und oder wenn dass aus bei mir uns man wird werden habe hat""",
        "fr": """le la les un une des est sont comment quoi quand où pourquoi qui mon ma mes je nous
            vous il elle de du dans sur pour avec ne pas et ou si que ce cette""",
        "es": """el la los las un una es son cómo qué cuándo dónde por quién mi mis yo nosotros
            usted de del en para con no y o si que este esta hay puedo""",
    }.items()
}


def clean(message: str, max_chars: int) -> str:
    """NFC text without control characters. Raises InvalidInput if empty, TooLarge if too long."""
    if len(message) > max_chars:
        raise TooLarge(
            f"The question has {len(message):,} characters; at most {max_chars:,} are read."
            " Shorten it, and keep the part that asks."
        )
    text = unicodedata.normalize("NFC", message)
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C").strip()
    if not text:
        raise InvalidInput("The question is empty. Send some text in `message`.")
    return text


def detect_locale(text: str, locales: Sequence[str]) -> str:
    """The house language whose function words `text` uses most; the first one when none shows."""
    words = text.lower().replace("?", " ").replace(",", " ").split()

    def seen(locale: str) -> int:
        return sum(word in _FUNCTION_WORDS.get(locale, ()) for word in words)

    return max(locales, key=seen)
