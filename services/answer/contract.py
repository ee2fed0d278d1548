"""What the steps hand each other, in the order of a question's way through `pipeline.answer`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from twofold.index import Chunk, Scope, SparseVector
from twofold.reply import Action, Citation, Escalation


class Turn(NamedTuple):
    """One earlier message of the conversation."""

    role: Literal["user", "assistant"]
    text: str
    action: Action | None = None
    escalation: Escalation | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A question as it arrived, and on whose behalf.

    `audiences` is what the caller may see beyond `public`; `as_of` (epoch seconds) asks about the
    rules of another day; None means now. `history` is given by callers that keep their own. For an
    `evaluation` nobody waits, so no person is called and no metric of answers moves.
    """

    message: str
    workspace: str
    audiences: frozenset[str] = frozenset()
    locale: str = ""
    conversation_id: str | None = None
    customer: str | None = None
    as_of: float | None = None
    history: tuple[Turn, ...] = ()
    evaluation: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """The question that retrieval understands: standalone, in a known locale, at a known time."""

    asked: str
    standalone: str
    locale: str
    scope: Scope
    as_of: float | None
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that retrieval found, the document version it is read at, and each stage's score."""

    chunk: Chunk
    version: int
    dense: float
    keywords: float
    fused: float
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well the sources seem to cover the question; inputs of the decision, kept in the record.

    `cosine`: best dense score. `fused`: the best candidate's fused score (0..1.7). `keywords`: best
    BM25 score per question term. `coverage`: share (0..1), weighted by rarity, of the question's
    content words that stand in the packed chunks together; `passage`: in the one chunk that holds
    most. `agreement`: dense and keyword search have the same best document.
    """

    cosine: float = 0.0
    fused: float = 0.0
    keywords: float = 0.0
    coverage: float = 0.0
    passage: float = 0.0
    agreement: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Retrieval's result, best first, with what was searched for: a vector (d,) of unit length, and
    the weight of each term."""

    candidates: tuple[Candidate, ...]
    vector: npt.NDArray[np.float32]
    keywords: SparseVector
    stale: int = 0
    """Hits refused because their version does not apply."""
    overruled: tuple[Candidate, ...] = ()
    """Candidates left out because another one says otherwise, and it holds."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reply maker wrote: `[n]` in `text` is `packed[n-1]`."""

    action: Action
    text: str
    served_by: str
    escalation: Escalation | None = None
    quotes: dict[int, str] = field(default_factory=dict)
    """Mark -> literal span of its chunk, where the reply maker knows it."""
    repairs: tuple[str, ...] = ()
    profile: str = "none"
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found of one sentence."""

    sentence: str
    ok: bool
    problem: str = ""
    """uncited | unsupported | garbled | number | contradicted | promise | banned"""


@dataclass(frozen=True, slots=True)
class Verified:
    text: str
    citations: tuple[Citation, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, and why: `signals` holds every number that took part."""

    action: Action
    escalation: Escalation | None
    why: str
    signals: dict[str, Any]


Packed = Sequence[Candidate]
