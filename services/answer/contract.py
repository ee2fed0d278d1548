"""What the steps hand each other, in the order of a question's way through `pipeline.answer`."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from twofold.index.contract import Chunk, Scope, SparseVector
from twofold.reply import Action, Citation, Escalation


class Turn(NamedTuple):
    """One earlier message of the conversation. What a message of ours did comes from its record;
    callers that keep their own history may name the record by `answer_id`."""

    role: Literal["user", "assistant"]
    text: str
    action: Action | None = None
    escalation: Escalation | None = None
    consent: str | None = None
    """The reason that consent was asked for."""
    failed: bool = False
    """Whether it left the question without an answer."""
    choices: tuple[str, ...] = ()
    """Titles that it asked to choose among."""
    answer_id: str | None = None
    standalone: str = ""
    """Of a user's: the message with what it leaned on; empty where nobody knows."""
    documents: frozenset[str] = frozenset()
    """What it cites; of a question of the same message, what was found for it first."""


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
    owner: str = ""
    """Whose conversation it is: the name of the key that asks; "" where none was needed."""
    owns_all: bool = True
    """Whether the asker may go on with conversations of other owners."""
    asked_at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Question:
    """A question in a known locale, at a known time.

    What it leans on is decided once, by the search: `standalone` is the message with the turns that
    it needs, `leans` whether there are any. Of a message that asks several things, `parts` are
    these, each a question of its own, which may lean on the one before.
    """

    asked: str
    standalone: str
    locale: str
    scope: Scope
    as_of: float | None
    history: tuple[Turn, ...] = ()
    leans: bool = False
    parts: tuple["Question", ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that retrieval found, the document version it is read at, and each stage's score."""

    chunk: Chunk
    version: int
    dense: float
    keywords: float
    fused: float
    score: float


NOTHING = -6.0
"""Log odds that an empty search answers."""


class Clues(NamedTuple):
    """What is seen of a search's candidates.

    `cosine`: best dense score; `cosine_margin`: over the mean of the next five. `fused`: best fused
    score (0..1.7). `passage`: share (0..1), by rarity, of what is searched for that the one passage
    holds which holds most. `likeness`: cosine of a passage times its share of the message's own
    terms, the best. `one_document`: share of the first six candidates that belong to the document
    of the first. `stranger`: 1 where the question holds a name that no candidate does. `code`: 1
    where it holds a code ("D-22", "bwp_", 429) that a candidate does. `matched`: cosine of the
    piece that comes nearest, as the matcher sees it, and `read`: log odds of the one that answers
    most likely, as the reader does; 0 where they saw none.
    """

    cosine: float = 0.0
    cosine_margin: float = 0.0
    fused: float = 0.0
    passage: float = 0.0
    likeness: float = 0.0
    one_document: float = 0.0
    stranger: float = 0.0
    code: float = 0.0
    matched: float = 0.0
    read: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether the sources answer the question, and what says so; kept in the record.

    Log odds, where both are as frequent: that the sources answer, against that they do not; and
    that a question they do not answer is `foreign` to them, against that it is about their subject.
    What is known of a house's questions beforehand comes on top.
    """

    answerable: float = NOTHING
    foreign: float = 0.0
    clues: Clues = field(default_factory=Clues)
    unknown: tuple[str, ...] = ()
    """Names of products that are asked for and stand in nothing that was found."""

    @property
    def p_answerable(self) -> float:
        """Where as many questions have an answer as have none."""
        return 1 / (1 + math.exp(-self.answerable))


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
    unanswered: tuple[str, ...] = ()
    """Of several questions in one message, those that nothing in the sources seems to answer."""
    dated: tuple[str, ...] = ()
    """Words in `text` that say of when a page is: no page's."""
    doubtful: tuple[str, ...] = ()
    """Questions of which what is said, and all that was found, is held for an answer less likely
    than for none."""
    profile: str = "none"
    release: str = ""
    """Name of the model or adapter that wrote it; empty for the composer."""
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
    """What the reply does, and why. `signals` is what took part, for the record: people and
    diagnosis read it, no decision does."""

    action: Action
    escalation: Escalation | None
    why: str
    signals: Mapping[str, Any]
    consent: str | None = None
    """CLARIFY: the reason for a person that the customer is asked to agree to; ANSWER: the same,
    for what it leaves unanswered, or may have."""
    courtesy: bool = False
    """CLARIFY: nothing was asked."""
    thanks: bool = False
    """CLARIFY: nothing was asked, and it is more than a greeting."""
    about: bool = False
    """CLARIFY: what was asked is who or what answers here."""
    choices: tuple[str, ...] = ()
    """CLARIFY: titles of pages, one of which may be meant."""
    topic: str = ""
    """ESCALATE: what was looked for in the sources, and is not there."""
    searched: bool = True
    """False where the sources could not be searched."""

    @property
    def failed(self) -> bool:
        """Whether it leaves the question without an answer: so many in a row call a person."""
        if self.action == "CLARIFY":
            return not (self.consent or self.courtesy or self.about)
        return self.action == "ESCALATE" and bool(self.topic) and self.searched
