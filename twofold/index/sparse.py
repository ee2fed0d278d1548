"""Keyword vectors: BM25 term weights, the same that a Qdrant server's own `qdrant/bm25` gives.

Scripts that put no space between words are read by neighbouring characters, as search engines read
them: what cuts such a text into words has to guess its language, and a question of two characters
gives it nothing to go by.
"""

import re
import unicodedata

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType

from twofold.index.contract import SparseVector
from twofold.remembered import remembered

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
REMEMBERED = 4096
"""Texts whose terms are kept: some 10 MB."""
LONGEST = 2000
"""Characters of such a text: chunks have fewer, questions may have more."""
_PAIRS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
"""Chinese characters, kana, and Hangul, whose words come with their endings: two at a time."""
_TRIPLES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
"""Thai, Lao, Burmese, Khmer: alphabets, three letters at a time."""


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
        self.name = f"bm25-2:k{k:g}:b{b:g}:n{average_length:g}"
        self._numbers = (k, b, average_length)
        self._models: dict[str, Bm25] = {}
        self.terms = remembered(REMEMBERED, LONGEST)(self._terms)
        """Distinct terms of a text (and locale "en"): what questions find, they find again."""

    def document(self, text: str, locale: str = "en") -> SparseVector:
        """Returns weights of an indexed text; both lists are empty where no term is left."""
        vector = self._model(locale).embed_document(spaced(text))
        return SparseVector(vector.indices, vector.values)

    def query(self, text: str, locale: str = "en") -> SparseVector:
        """Returns 1 for each distinct term of a question; both lists are empty where none is
        left."""
        vector = self._model(locale).embed_query(spaced(text))
        return SparseVector(vector.indices, vector.values)

    def _terms(self, text: str, locale: str = "en") -> frozenset[int]:
        return frozenset(self.document(text, locale).indices)

    def _model(self, locale: str) -> Bm25:
        """Returns the encoder of a locale such as `en`, `de-AT` or `pt_BR`; an unknown one stems
        nothing and drops no word."""
        code = locale.replace("_", "-").partition("-")[0].lower()
        language = _LANGUAGES.get(code, "unknown")
        model = self._models.get(language)
        if model is None:
            model = self._models.setdefault(language, self._make(language))
        return model

    def _make(self, language: str) -> Bm25:
        k, b, average_length = self._numbers
        if language in _LANGUAGES.values():
            return Bm25(Bm25Config(k=k, b=b, avg_len=average_length, language=language))
        return Bm25(
            Bm25Config(
                k=k,
                b=b,
                avg_len=average_length,
                tokenizer=TokenizerType.Word,
                stemmer=DisabledStemmer(),
                stopwords=StopwordsSet(),
            )
        )


def spaced(text: str) -> str:
    """Returns the text with what stands between spaces where it has none, and full-width figures
    narrow."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    text = _PAIRS.sub(lambda run: _grams(run[0], 2), text)
    return _TRIPLES.sub(lambda run: _grams("".join(filter(str.isalnum, run[0])), 3), text)


def _grams(run: str, size: int) -> str:
    grams = [run[at : at + size] for at in range(max(1, len(run) - size + 1))]
    return f" {' '.join(grams)} "
