"""Keyword vectors: BM25 term weights, the same that a Qdrant server's own `qdrant/bm25` gives."""

import re
from functools import lru_cache

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType

from twofold.index import SparseVector

_LANGUAGES = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nb": "norwegian",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
_UNSPACED = frozenset({"ja", "km", "ko", "lo", "my", "th", "zh"})
"""Written without spaces between words (or, Korean, with endings glued on).

The word cutter guesses Chinese for a Japanese text without kana, so a bare `返金` finds nothing."""

TOPIC_WORDS = 6
REMEMBERED = 4096
"""Texts whose terms are kept: some 10 MB."""
_WORD = re.compile(r"[^\W_][\w'-]*")


class Bm25Encoder:
    """Term weights of BM25 without the IDF, which the index knows and applies (`Modifier.IDF`).

    A text and the questions about it must come with one locale, or their words do not meet.
    Safe to call from many threads.
    """

    def __init__(self, average_length: float = 60.0, k: float = 1.2, b: float = 0.75) -> None:
        """`average_length` of an indexed text, in terms left after stop words.

        Chunks of up to 200 tokens, never across a heading, hold 59 with their heading path and 48
        without (doc2dial, 2,532 chunks; a full chunk holds 86). It is fixed, not kept up to date,
        because a weight once written cannot follow it.
        """
        self.name = f"bm25-1:k{k:g}:b{b:g}:n{average_length:g}"
        self._numbers = (k, b, average_length)
        self._models: dict[str, Bm25] = {}
        self.terms = lru_cache(REMEMBERED)(self._terms)
        """Distinct terms of a text (and locale "en"): what questions find, they find again."""

    def document(self, text: str, locale: str = "en") -> SparseVector:
        """Weights of an indexed text; both lists are empty where no term is left."""
        vector = self._model(locale).embed_document(text)
        return SparseVector(vector.indices, vector.values)

    def query(self, text: str, locale: str = "en") -> SparseVector:
        """1 for each distinct term of a question; both lists are empty where none is left."""
        vector = self._model(locale).embed_query(text)
        return SparseVector(vector.indices, vector.values)

    def _terms(self, text: str, locale: str = "en") -> frozenset[int]:
        return frozenset(self.document(text, locale).indices)

    def topic(self, text: str, locale: str = "en") -> str:
        """The first words that carry a question, quoted; "…" where none does. Bare numbers are left
        out: they say little of what was looked for, and a model that misreads one states another.
        """
        words = [
            word
            for word in _WORD.findall(text)
            if not word.isdigit() and self.query(word, locale).indices
        ]
        return f"“{' '.join(words[:TOPIC_WORDS])}”" if words else "…"

    def _model(self, locale: str) -> Bm25:
        """The encoder of a locale such as `en`, `de-AT` or `pt_BR`; an unknown one stems nothing
        and drops no word."""
        code = locale.replace("_", "-").partition("-")[0].lower()
        language = _LANGUAGES.get(code, "unspaced" if code in _UNSPACED else "unknown")
        model = self._models.get(language)
        if model is None:
            model = self._models.setdefault(language, self._make(language))
        return model

    def _make(self, language: str) -> Bm25:
        k, b, average_length = self._numbers
        if language in _LANGUAGES.values():
            return Bm25(Bm25Config(k=k, b=b, avg_len=average_length, language=language))
        tokenizer = TokenizerType.Multilingual if language == "unspaced" else TokenizerType.Word
        return Bm25(
            Bm25Config(
                k=k,
                b=b,
                avg_len=average_length,
                tokenizer=tokenizer,
                stemmer=DisabledStemmer(),
                stopwords=StopwordsSet(),
            )
        )
