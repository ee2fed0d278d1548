"""What retrieval's findings say of a question's kind: whether the sources hold an answer to it."""

import math
import re
from collections.abc import Mapping, Sequence

from services.answer.contract import Evidence, Found, Question
from services.answer.costs import ANSWERABLE, GAP
from services.answer.intent import OFF_TOPIC, VAGUE

CLUES = ("cosine", "fused", "keywords", "coverage", "passage", "agreement", "stranger", "code")
# What the clues say of each kind of question against a gap, as log odds where all kinds are as
# frequent: weights of CLUES, then a bias. Made by benchmarks/fit_evidence.py.
WEIGHTS: Mapping[str, tuple[float, ...]] = {
    ANSWERABLE: (4.05, 1.38, 0.46, 0.40, -0.15, 0.88, -2.24, 2.35, -5.56),
    OFF_TOPIC: (-5.99, -1.18, 0.38, -2.03, 0.21, 0.10, 0.46, -0.63, 3.39),
    VAGUE: (-6.49, -0.04, 0.40, -0.67, 3.36, 0.52, -2.76, -1.84, 0.36),
}
NAMED = 3
"""Topics that a customer is asked to choose among."""

_NAME = re.compile(r"\b\w*[a-z][A-Z]\w*")
_NAME_OR_CAPITAL = re.compile(r"(?<=[\w,;] )[A-Z]\w*[a-z]{2}\w*|\b\w*[a-z][A-Z]\w*")
_CODE = re.compile(r"\b[A-Za-z]{1,6}-\d+\b|\b\w*[a-z]_\w*|\b[1-5]\d\d\b(?![.,]?\d)")
_CALENDAR = re.compile(
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|christmas|easter)",
    re.IGNORECASE,
)


def clues(question: Question, found: Found, evidence: Evidence) -> tuple[float, ...]:
    """The numbers named in CLUES: the evidence, and what names and codes the question holds.

    A stranger is a name ("Kafka", "iPhone") that no candidate holds. German capitalises every
    noun, so there only an inner capital makes a name; acronyms are no names, product or not. A code
    ("D-22", "bwp_", 429) counts where a candidate holds it.
    """
    text = "\n".join(candidate.chunk.embedded_text for candidate in found.candidates).lower()
    pattern = _NAME if question.locale == "de" else _NAME_OR_CAPITAL
    names = [match.group() for match in pattern.finditer(question.asked)]
    stranger = any(not _CALENDAR.fullmatch(name) and name.lower() not in text for name in names)
    return (
        evidence.cosine,
        evidence.fused,
        evidence.keywords,
        evidence.coverage,
        evidence.passage,
        float(evidence.agreement),
        float(stranger),
        float(any(code.lower() in text for code in _CODE.findall(question.asked))),
    )


def likelihoods(seen: Sequence[float]) -> dict[str, float]:
    """How well `seen` (CLUES) fits each kind of question; the fits of all kinds sum to 1."""
    logits = {GAP: 0.0}
    for kind, (*weights, bias) in WEIGHTS.items():
        logits[kind] = bias + sum(w * x for w, x in zip(weights, seen, strict=True))
    fits = {kind: math.exp(logit) for kind, logit in logits.items()}
    total = sum(fits.values())
    return {kind: fit / total for kind, fit in fits.items()}


def between(found: Found, evidence: Evidence) -> list[str]:
    """Titles to choose among, where the few words asked do stand in the sources."""
    if evidence.passage < 0.5:
        return []
    titles = dict.fromkeys(candidate.chunk.title for candidate in found.candidates[: 2 * NAMED])
    return list(titles)[:NAMED]
