"""What kind of question this is: a small classifier over the embedder's vectors and the manner of
asking, because a vector tells the subject ("hacked account") but hardly whose case it is ("what do
I do if an account is hacked?" against "my account was hacked").

Ridge regression onto the classes gives every example's leave-one-out score in closed form (Rifkin &
Lippert 2007, "Notes on Regularized Least Squares"), so the model is trained, calibrated and judged
in one go, in a fraction of a second on a house's few hundred examples.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import log_softmax

from twofold.clients.embedder import Embedder
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.text.languages import language_of

PLAIN = "plain"
OFF_TOPIC = "off_topic"
VAGUE = "vague"

RIDGE = 1.0
"""Penalty on unit vectors; .3 to 3 differ by less than a point of leave-one-out accuracy."""
BALANCE = 0.5
"""Weight of an example: its class's size to the power of minus this."""
MANNER_SCALE = 0.2
"""Of each trait beside a unit vector: leave-one-out accuracy of the example house .72 without, .77
with .15 to .2, .75 with .3."""
WORDS_SCALE = 0.5
"""Of the words of a text beside its unit vector: leave-one-out accuracy of the example house .76
without, .77 with .2, .79 with .5, .78 with .7."""
STEM = 5
"""Letters of a word that are looked at: "refund", "refunds", "refunded" are one."""
BLOCK = 2048

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating]


_MANNER = (
    re.compile(
        r"(^\W*|[.,?!] *)(how|what|where|which|when|why|who"
        r"|wie|was|wo|welche[rsn]?|wann|warum|wer)\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"^\W*(can|could|do|does|is|are|will|may|should|kann|können|gibt|ist|sind|darf|muss)\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bhow (do|can|to|does|long|many|much|should)\b|\bwie \w+ (ich|wir)\b", re.IGNORECASE
    ),
    re.compile(
        r"\b(i|we)( have|.ve)? (was|were|got|lost|found|see|saw|tried|asked|paid|discovered|did"
        r"|bought|noticed|want|need|request|demand|had|cancell?ed)\b"
        r"|\b(ich|wir) (habe|haben|wurde|wurden|bin|sind|will|wollen|möchten?|verlange)\b",
        re.IGNORECASE,
    ),
    re.compile(r"\b(you|your|sie|ihnen|ihre?|euch|euer|eure)\b", re.IGNORECASE),
    re.compile(r"\b(my|our|me|us|mein\w*|unser\w*|mir|uns)\b", re.IGNORECASE),
    re.compile(r"\b(someone|somebody|stranger|attacker|jemand)\b", re.IGNORECASE),
    re.compile(r"\b(if|when|in case|falls|wenn)\b", re.IGNORECASE),
    re.compile(r"\b(please|kindly|bitte)\b", re.IGNORECASE),
    re.compile(r"\b(not|no|never|none|nothing|nobody|nicht|nichts|kein\w*)\b|n't\b", re.IGNORECASE),
    re.compile(r"\b(und|ich|der|die|das|nicht|wir|ein|eine|wie)\b", re.IGNORECASE),
    re.compile(r"[$€]|\b(dollars?|usd|euros?|eur)\b", re.IGNORECASE),
    re.compile(r"\d"),
    re.compile(r"\?"),
    re.compile(r"!|\b[A-Z]{4,}\b"),
)
ENOUGH = 20
"""Examples of a language below which the classifier cannot read it."""
_WORD = re.compile(r"[^\W\d_]+")
LONG_WORDS = 30
SHORT_WORDS = 4


@dataclass(frozen=True, slots=True)
class IntentQuality:
    """How the model does on examples that it was not trained on, each left out in turn."""

    examples: int
    accuracy: float
    log_loss: float
    calibration_error: float
    """Mean gap between stated probability and share right, over ten bins (ECE)."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words that several examples have, rarer ones weighing more. A vector takes "our lawyers
    look for the terms" for what lawyers write; its words say that nobody threatens."""

    _rarity: Mapping[str, tuple[int, float]]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Words":
        held = Counter(stem for text in texts for stem in _stems(text))
        common = sorted(stem for stem, count in held.items() if count > 1)
        return cls({s: (i, math.log(len(texts) / held[s])) for i, s in enumerate(common)})

    def __len__(self) -> int:
        return len(self._rarity)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Returns (n, words) vectors, of unit length where a text has any of the words."""
        found = np.zeros((len(texts), len(self)), np.float32)
        for row, text in zip(found, texts, strict=True):
            for place, rarity in map(self._rarity.__getitem__, _stems(text) & self._rarity.keys()):
                row[place] = rarity
        lengths: Vectors = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.maximum(lengths, 1e-6)


@dataclass(frozen=True, slots=True)
class IntentModel:
    """Gives a message a probability for each of `classes`; made by `fit`."""

    classes: tuple[str, ...]
    judged: IntentQuality
    _weights: Floats
    _examples: Vectors
    """Class by class, in the order of `classes`."""
    _starts: npt.NDArray[np.intp]
    _mix: Floats
    _outside: int
    words: Words | None = None
    """What its vectors end with, where they do."""

    def probabilities(self, vectors: Vectors) -> Floats:
        """Returns calibrated probabilities (n, classes), rows summing to 1, for (n, d) unit
        vectors."""
        return np.concatenate(
            [_softmax(self._logits(vectors[i : i + BLOCK])) for i in range(0, len(vectors), BLOCK)]
        )

    def of(self, vector: Vectors) -> Mapping[str, float]:
        """Returns the probability of each class for one vector (d,)."""
        row = self.probabilities(vector[np.newaxis])[0]
        return dict(zip(self.classes, map(float, row), strict=True))

    def nearest(self, vector: Vectors) -> float:
        """Returns the likeness, about a cosine, of one vector (d,) to its most similar example, by
        meaning and manner."""
        meant = len(vector) - (len(self.words) if self.words is not None else 0)
        return float((self._examples[:, :meant] @ vector[:meant]).max())

    def _logits(self, vectors: Vectors) -> Floats:
        linear = _with_one(vectors) @ self._weights
        nearest = _nearest(vectors @ self._examples.T, self._starts)
        return _mixed(self._mix, linear, nearest, self._outside)


def fit(vectors: Vectors, labels: Sequence[str], outside: str = OFF_TOPIC) -> IntentModel:
    """Trains on (n, d) vectors of about unit length and their classes, two examples or more in
    each.

    A question unlike every example of the other classes leans to the class `outside`, where there
    is one. Four numbers weigh the parts (ridge score, likeness to the nearest example, novelty and
    a bias of `outside`); fitted on leave-one-out scores, they make the result calibrated.
    """
    classes, y = np.unique(np.asarray(labels), return_inverse=True)
    order = np.argsort(y, kind="stable")
    vectors, y = vectors[order], y[order]
    sizes = np.bincount(y)
    starts = np.cumsum(sizes) - sizes
    x = _with_one(vectors)
    share = sizes[y] ** -BALANCE
    share /= share.mean()
    penalty = np.full(x.shape[1], RIDGE)
    penalty[-1] = 1e-6
    hits = np.eye(len(classes))[y]
    factor = cho_factor((x * share[:, None]).T @ x + np.diag(penalty))
    weights = np.asarray(cho_solve(factor, (x * share[:, None]).T @ hits))
    leverage = share * np.einsum("nd,nd->n", x, np.asarray(cho_solve(factor, x.T)).T)
    left_out = (x @ weights - leverage[:, None] * hits) / (1 - leverage[:, None])

    nearest = np.empty((len(y), len(classes)))
    for i in range(0, len(y), BLOCK):
        cosines = vectors[i : i + BLOCK] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, rows + i] = -1.0
        nearest[i : i + BLOCK] = _nearest(cosines, starts)
    at = int(np.searchsorted(classes, outside)) if outside in classes else -1
    mix = _fit_mix(left_out, nearest, at, y)
    judged = _judge(_softmax(_mixed(mix, left_out, nearest, at)), y)
    return IntentModel(
        classes=tuple(str(name) for name in classes),
        judged=judged,
        _weights=weights,
        _examples=vectors,
        _starts=starts,
        _mix=mix,
        _outside=at,
    )


def house_examples(house: HousePolicy) -> list[tuple[str, str]]:
    """Returns every example of the house with its class.

    A question about the product that the sources do not answer is PLAIN: only the sources can tell.
    """
    kinds = {PLAIN: house.plain_examples, OFF_TOPIC: house.off_topic_examples}
    kinds[VAGUE] = house.vague_examples
    for name, reason in house.reasons.items():
        kind = PLAIN if name == NOT_IN_SOURCES else name
        kinds[kind] = (*kinds.get(kind, ()), *reason.examples)
    return [(text, kind) for kind, texts in kinds.items() for text in texts if len(texts) > 1]


def learned_languages(examples: Sequence[str]) -> tuple[str, ...]:
    """Returns the languages that the examples teach: each is that of ENOUGH of them at least."""
    counts = Counter(language_of(text) for text in examples)
    return tuple(name for name, count in counts.items() if name and count >= ENOUGH)


def fit_house(house: HousePolicy, embedder: Embedder) -> IntentModel | None:
    """Returns the house's classifier; None where its examples make fewer than two classes."""
    examples = house_examples(house)
    if len({kind for _, kind in examples}) < 2:
        return None
    texts = [text for text, _ in examples]
    words = Words.of(texts)
    seen = features(texts, embedder.embed(texts), words)
    return replace(fit(seen, [kind for _, kind in examples]), words=words)


def features(texts: Sequence[str], vectors: Vectors, words: Words | None = None) -> Vectors:
    """Returns (n, d) vectors of the texts, widened by features of how each is asked, in English
    and German, and by its `words`."""
    manner = np.array([_manner(text) for text in texts], dtype=vectors.dtype)
    seen = np.concatenate([vectors, MANNER_SCALE * manner], axis=1)
    if words is None:
        return seen
    return np.concatenate([seen, WORDS_SCALE * words.vectors(texts)], axis=1, dtype=vectors.dtype)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in _WORD.findall(text.lower())}


def _manner(text: str) -> list[float]:
    words = len(text.split())
    traits = [float(pattern.search(text) is not None) for pattern in _MANNER]
    return [*traits, min(words / LONG_WORDS, 1.0), float(words <= SHORT_WORDS)]


def _with_one(vectors: Vectors) -> Floats:
    return np.concatenate([vectors, np.ones((len(vectors), 1))], axis=1, dtype=np.float64)


def _nearest(cosines: Vectors, starts: npt.NDArray[np.intp]) -> Floats:
    """Returns the highest cosine of each class, (n, classes), of (n, examples) cosines sorted by
    class."""
    best: Floats = np.maximum.reduceat(cosines, starts, axis=1).astype(np.float64)
    return best


def _softmax(logits: Floats) -> Floats:
    """Returns the softmax of each row. scipy's spends 100 us on finding out which array library
    it was given."""
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    whole: Floats = likely / likely.sum(axis=1, keepdims=True)
    return whole


def _mixed(mix: Floats, linear: Floats, nearest: Floats, outside: int) -> Floats:
    logits: Floats = mix[0] * linear + mix[1] * nearest
    if outside >= 0:
        inside = np.delete(nearest, outside, axis=1).max(axis=1)
        logits[:, outside] += mix[2] * (1 - inside) + mix[3]
    return logits


def _fit_mix(linear: Floats, nearest: Floats, outside: int, y: npt.NDArray[np.intp]) -> Floats:
    rows = np.arange(len(y))

    def loss(mix: Floats) -> float:
        found = np.asarray(log_softmax(_mixed(mix, linear, nearest, outside), axis=1))
        return float(-found[rows, y].mean())

    start = np.array([10.0, 3.0, 0.0, 0.0])
    return np.asarray(minimize(loss, start, method="L-BFGS-B").x, dtype=np.float64)


def _judge(found: Floats, y: npt.NDArray[np.intp]) -> IntentQuality:
    right = found.argmax(axis=1) == y
    sure = found.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [
        (bins == b).mean() * abs(right[bins == b].mean() - sure[bins == b].mean())
        for b in np.unique(bins)
    ]
    return IntentQuality(
        examples=len(y),
        accuracy=float(right.mean()),
        log_loss=float(-np.log(np.maximum(found[np.arange(len(y)), y], 1e-12)).mean()),
        calibration_error=float(sum(gaps)),
    )
