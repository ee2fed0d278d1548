"""In which language a text is, by its script and its smallest words; and how long it is.

Enough to choose a tokenizer, the number's marks and the sentences of a reply. A text of a few words
may show no language: then what is expected holds.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from twofold.characters import UNSPACED

ENGLISH = "en"

FUNCTION_WORDS = {
    language: frozenset(word for word in words.split() if len(word) > 1 or word in "ai")
    for language, words in {
        "en": """the a an is are was do does did how what when where why who which can could
            would should my your our i we you it to of in on for with not no and or if there this
            that from at be thanks thank""",
        "de": """der die das ein eine einen ist sind war wie was wann wo warum wer welche welcher
            kann können könnte mein meine unser ich wir sie es zu von im in auf für mit nicht kein
            keine und oder wenn dass aus bei mir uns man wird werden habe hat danke hallo""",
        "fr": """le la les un une des est sont comment quoi quand où pourquoi qui mon ma mes je nous
            vous il elle de du dans sur pour avec ne pas et ou si que ce cette combien au aux en
            peut puis merci bonjour""",
        "es": """el la los las un una es son cómo qué cuándo dónde por quién mi mis yo nosotros
            usted de del en para con no y o si que este esta hay puedo gracias hola""",
        "pt": """o os as um uma é são como qual quando onde quem por meu minha eu você nós de do da
            em no na para com não e ou se que este esta posso faço há vocês quanto ao dos das
            obrigado obrigada olá""",
        "it": """il lo gli un una è sono come quando dove chi perché mio mia io noi di del della in
            per con non e o se che questo questa posso grazie buongiorno""",
        "nl": """de het een is zijn hoe wat wanneer waar wie waarom mijn ik wij je van in op voor
            met niet en of als dat dit kan bedankt dank""",
        "pl": """jest są jak co kiedy gdzie kto dlaczego mój moja moje ja my nie i lub czy że w na z
            do dla mogę się od za po ile mam można gdy oraz""",
        "tr": """bir ve ile nasıl ne zaman nerede kim neden benim bu mi mı mu için değil var yok
            miyim kadar sonra her en olarak içinde kaç""",
    }.items()
}
_SCRIPTS = {
    "CJK": ("zh", "ja"),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
    "HANGUL": ("ko",),
    "THAI": ("th",),
    "LAO": ("lo",),
    "KHMER": ("km",),
    "MYANMAR": ("my",),
    "ARABIC": ("ar", "fa", "ur"),
    "HEBREW": ("he", "yi"),
    "CYRILLIC": ("ru", "uk", "bg", "sr", "mk", "be", "kk"),
    "DEVANAGARI": ("hi", "mr", "ne"),
    "BENGALI": ("bn",),
    "TAMIL": ("ta",),
    "TELUGU": ("te",),
    "GEORGIAN": ("ka",),
    "ARMENIAN": ("hy",),
    "GREEK": ("el",),
}
"""How Unicode names a script's letters, and the languages that are written in it, the one with most
readers first."""
_OTHERS = {"uk": "іїєґ", "be": "ў", "fa": "پچژگ", "ur": "ٹڈڑں"}
"""Letters that tell a language from the first of its script."""
_LETTERS = {
    language: frozenset(letters)
    for language, letters in (
        ("de", "ßä"), ("es", "ñ¿¡"), ("fr", "œêù"), ("pl", "łżźćńśąę"), ("pt", "ãõ"), ("tr", "ğış"),
    )
}  # fmt: skip
_NONE: frozenset[str] = frozenset()
"""Letters of one of the languages above alone: a word with one counts as a small word."""
_SHARE = 0.3
"""Of a text's letters, above which another script than Latin makes its language."""
_CLEAR = 2
"""Small words of a language that nobody expects, before a text is taken for it."""
_READ = 4000
"""Characters that are looked at."""
CHARACTERS_PER_WORD = 2
"""Of scripts that put no space between words: what a word of a few letters takes elsewhere."""


def base(locale: str) -> str:
    """Returns the language of a tag: `pt` of `pt-BR` and `pt_BR`."""
    return locale.replace("_", "-").partition("-")[0].lower()


def is_latin(locale: str) -> bool:
    """Returns whether a language is written in Latin letters, as far as we know."""
    return not any(base(locale) in languages for languages in _SCRIPTS.values())


def language_of(text: str, expected: Sequence[str] = ()) -> str:
    """Returns the language of a text, as one of the tags `expected` where it is one of theirs;
    "" where none shows. The first of `expected` wins over others that it may be as well."""
    text = text[:_READ].lower()
    letters = [letter for letter in text if letter.isalpha()]
    scripts = Counter(filter(None, map(_script, letters)))
    if sum(scripts.values()) > _SHARE * max(1, len(letters)):
        return _written_in(scripts, text, expected)
    words = Counter("".join(c if c.isalpha() else " " for c in text).split())
    seen = {
        name: sum(
            count
            for word, count in words.items()
            if word in said or not _LETTERS.get(name, _NONE).isdisjoint(word)
        )
        for name, said in FUNCTION_WORDS.items()
    }
    ours = max(expected, key=lambda tag: seen.get(base(tag), 0), default="")
    least = max(_CLEAR, seen.get(base(ours), 0) + 1)
    other = max(seen, key=lambda name: seen[name])
    if seen[other] >= least:
        return other
    return ours if seen.get(base(ours), 0) else ""


def may_be(text: str, languages: Sequence[str]) -> bool:
    """Returns whether a text may be in one of the languages: it shows no other."""
    found = language_of(text, languages)
    return not found or base(found) in map(base, languages)


def words_in(text: str) -> int:
    """Returns how many words a text has, or what would be about as many where words are not
    parted."""
    unspaced = sum(map(len, UNSPACED.findall(text)))
    rest = len(UNSPACED.sub(" ", text).split()) if unspaced else len(text.split())
    return rest + -(-unspaced // CHARACTERS_PER_WORD)


def _written_in(scripts: Counter[str], text: str, expected: Sequence[str]) -> str:
    found = scripts.most_common(1)[0][0]
    if found == "CJK" and scripts["HIRAGANA"] + scripts["KATAKANA"]:
        found = "HIRAGANA"
    languages = _SCRIPTS[found]
    spoken = {base(tag): tag for tag in reversed(expected)}
    if known := next((spoken[name] for name in languages if name in spoken), ""):
        return known
    telling = (name for name in languages if any(c in text for c in _OTHERS.get(name, "")))
    return next(telling, languages[0])


@lru_cache(4096)
def _script(letter: str) -> str:
    """Returns its script's name; "" of Latin and others."""
    if letter.isascii():
        return ""
    name = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return name if name in _SCRIPTS else ""
