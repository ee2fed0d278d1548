"""What goes over HTTP: the requests, the answer, and its record."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from services.answer.access.keys import Caller
from services.answer.contract import Ask, Candidate, Turn
from services.answer.events import Answered
from twofold.characters import is_plain, tidy
from twofold.index.contract import Kind
from twofold.ledger import models
from twofold.ledger.service import Diagnosed
from twofold.reply import Action, Citation, Escalation

MAX_HISTORY = 50
MAX_TURN_CHARS = 8000
MAX_HISTORY_CHARS = 40_000
"""Of all earlier turns together."""
MAX_COMMENT = 2000
MAX_CUSTOMER = 200
Audience = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError("control characters and line ends do not belong here")
    return text


Written = Annotated[str, AfterValidator(tidy)]
"""What a person wrote: characters that nobody sees are left out."""
Plain = Annotated[str, AfterValidator(_plain)]
"""A name or an id."""
Id = Annotated[str, Field(max_length=64), AfterValidator(_plain)]
CustomerId = Annotated[str, Field(min_length=1, max_length=MAX_CUSTOMER), AfterValidator(_plain)]
Locale = Annotated[str, Field(pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$", max_length=35)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HistoryTurn(Request):
    """An earlier message, for callers that keep their own history."""

    role: Literal["user", "assistant"]
    text: Annotated[Written, Field(max_length=MAX_TURN_CHARS)]
    answer_id: Id | None = Field(
        default=None, description="Of an assistant's turn: the answer that it was."
    )


class QuestionFields(Request):
    """What a question and a search have in common."""

    audience: Audience | Annotated[list[Audience], Field(max_length=16)] = Field(
        default_factory=list, description="Who asks, beyond `public`: one audience or several."
    )
    locale: Locale = Field(
        default="", description="Language of the question; detected when left out."
    )
    as_of: date | None = Field(
        default=None, description="Ask about the rules of that day (UTC); today when left out."
    )

    @field_validator("as_of")
    @classmethod
    def _not_to_come(cls, as_of: date | None) -> date | None:
        # A day more than UTC's: where the question is asked, tomorrow may have begun.
        if as_of is not None and as_of > datetime.now(UTC).date() + timedelta(days=1):
            raise ValueError("that day is still to come: what will hold then is told then")
        return as_of

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset([self.audience] if isinstance(self.audience, str) else self.audience)

    @property
    def moment(self) -> float | None:
        """Epoch seconds of the last second of `as_of`: what took effect that day counts."""
        if self.as_of is None:
            return None
        return datetime.combine(self.as_of, time(23, 59, 59), UTC).timestamp()


class ChatRequest(QuestionFields):
    message: str = Field(description="The question, as the person typed it.")
    conversation_id: Id | None = Field(
        default=None, description="From an earlier answer; a new conversation when left out."
    )
    customer: CustomerId | None = Field(
        default=None, description="Who asks, by your own id: exports and deletions go by it."
    )
    history: Annotated[list[HistoryTurn], Field(max_length=MAX_HISTORY)] = Field(
        default_factory=list, description="Earlier turns, where no `conversation_id` is sent."
    )
    stream: bool = Field(default=False, description="Answer as server-sent events.")
    evaluation: bool = Field(
        default=False,
        description="Nobody waits for the answer: what it hands over is recorded, not delivered.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if sum(len(turn.text) for turn in self.history) > MAX_HISTORY_CHARS:
            raise ValueError(f"history: at most {MAX_HISTORY_CHARS:,} characters are read")
        return self

    def ask(self, caller: Caller) -> Ask:
        return Ask(
            message=self.message,
            workspace=caller.workspace,
            owner=caller.owner,
            owns_all=caller.owns_all,
            audiences=self.audiences,
            locale=self.locale,
            conversation_id=self.conversation_id,
            customer=self.customer,
            as_of=self.moment,
            history=tuple(
                Turn(turn.role, turn.text, answer_id=turn.answer_id) for turn in self.history
            ),
            evaluation=self.evaluation,
        )


class SearchRequest(QuestionFields):
    query: str = Field(description="What to look for.")
    limit: Annotated[int, Field(ge=1, le=50)] = 10


Rating = Literal["up", "down"]


def _says_rating(rating: str) -> str:
    if rating not in ("up", "down"):
        raise ValueError("a rating is `up` or `down`")
    return rating


class FeedbackRequest(Request):
    answer_id: Id
    rating: Annotated[
        str, AfterValidator(_says_rating), Field(json_schema_extra={"enum": ["up", "down"]})
    ]
    comment: Annotated[Written, Field(max_length=MAX_COMMENT)] = ""


class CitationOut(BaseModel):
    """Mark `[n]` of the text: where it stands, and the words it rests on."""

    n: int
    title: str
    url: str
    document: str
    version: int
    quote: str

    @classmethod
    def of(cls, citation: Citation | models.Citation) -> Self:
        return cls(
            n=citation.n,
            title=citation.title,
            url=citation.url,
            document=citation.document,
            version=citation.version,
            quote=citation.quote,
        )


class EscalationOut(BaseModel):
    team: str
    reason: str

    @classmethod
    def of(cls, escalation: Escalation | None) -> Self | None:
        return cls(team=escalation.team, reason=escalation.reason) if escalation else None


class ChatAnswer(BaseModel):
    """The answer to one question."""

    answer_id: str
    conversation_id: str
    action: Action
    text: str = Field(description="Markdown; `[n]` refers to the citation with that `n`.")
    citations: list[CitationOut]
    escalation: EscalationOut | None
    served_by: str = Field(description="Which step of the ladder wrote the text.")

    @classmethod
    def of(cls, answered: Answered) -> Self:
        return cls(
            answer_id=answered.answer_id,
            conversation_id=answered.conversation_id,
            action=answered.action,
            text=answered.text,
            citations=citations_out(answered.citations),
            escalation=EscalationOut.of(answered.escalation),
            served_by=answered.served_by,
        )

    @classmethod
    def of_row(cls, row: models.Answer) -> Self:
        escalation = Escalation(row.team, row.reason) if row.team and row.reason else None
        return cls.model_validate(
            {
                "answer_id": row.id,
                "conversation_id": row.conversation_id,
                "action": row.action,
                "text": row.text,
                "citations": citations_out(row.citations),
                "escalation": EscalationOut.of(escalation),
                "served_by": row.served_by,
            }
        )


def citations_out(citations: Iterable[Citation | models.Citation]) -> list[CitationOut]:
    return [CitationOut.of(citation) for citation in citations]


class DiagnosedOut(BaseModel):
    """Why an answer was looked into, and what was found."""

    signal: str
    state: str = Field(description="`waiting`, `done`, or `failed` after three attempts.")
    queued_at: float
    done_at: float | None
    verdict: dict[str, Any] | None = Field(
        description="Layer, cause, evidence and the counterfactual that showed it; null where"
        " nothing was found wrong, or not yet."
    )
    error: str

    @classmethod
    def of(cls, row: Diagnosed) -> Self:
        values = {name: getattr(row, name) for name in cls.model_fields}
        return cls.model_validate(values | {"verdict": row.verdict or None})


class Aftermath(BaseModel):
    """What came of an answer."""

    rating: str | None = Field(description="The latest: `up` or `down`.")
    comment: str
    diagnosed: DiagnosedOut | None

    @classmethod
    def seen(cls, feedback: models.Feedback | None, diagnosed: Diagnosed | None) -> dict[str, Any]:
        """Returns its fields."""
        return {
            "rating": feedback.rating if feedback else None,
            "comment": feedback.comment if feedback else "",
            "diagnosed": DiagnosedOut.of(diagnosed) if diagnosed else None,
        }


class AnswerRecord(Aftermath):
    """Everything that took part in an answer: what diagnosis reads; and what came of it."""

    answer: ChatAnswer
    created_at: float = Field(description="Epoch seconds.")
    question: str
    standalone: str
    audience: list[str]
    locale: str
    as_of: float
    profile: str
    prompt_tokens: int
    completion_tokens: int
    fingerprint: str
    retrieved: list[dict[str, Any]]
    packed: list[str]
    verdicts: list[dict[str, Any]]
    signals: dict[str, Any]
    timings: dict[str, float] = Field(description="Milliseconds by step.")

    @classmethod
    def of(
        cls,
        row: models.Answer,
        feedback: models.Feedback | None = None,
        diagnosed: Diagnosed | None = None,
    ) -> Self:
        same = cls.model_fields.keys() - Aftermath.model_fields.keys() - {"answer"}
        values = {name: getattr(row, name) for name in same}
        came_of_it = Aftermath.seen(feedback, diagnosed)
        return cls(answer=ChatAnswer.of_row(row), **values, **came_of_it)


class PassageOut(BaseModel):
    """A passage that the reply maker saw; `[n]` of what it wrote means it."""

    n: int
    chunk: str
    document: str
    version: int
    title: str
    heading_path: list[str]
    kind: Kind
    text: str


class PackedOut(BaseModel):
    """What an answer was made from, as far as it is still there and may still be seen."""

    answer_id: str
    packed: int = Field(description="How many passages there were.")
    passages: list[PassageOut]


class SectionOut(BaseModel):
    heading_path: list[str] = []
    text: str


class VersionOut(BaseModel):
    """What a document said in one of its versions."""

    document: str
    version: int
    live: bool = Field(description="Whether it is the version that answers now.")
    title: str
    url: str
    sections: list[SectionOut]


class TurnOut(BaseModel):
    """A question of a conversation, its answer, and how the person rated it last."""

    question: str
    created_at: float = Field(description="Epoch seconds.")
    answer: ChatAnswer
    rating: str | None


class ConversationOut(BaseModel):
    conversation_id: str
    turns: list[TurnOut] = Field(description="Oldest first.")


class FeedbackOut(BaseModel):
    answer_id: str
    rating: str


class RatedOut(BaseModel):
    id: int
    answer_id: str
    rating: Rating
    comment: str
    created_at: float = Field(description="Epoch seconds.")

    @classmethod
    def of(cls, row: models.Feedback) -> Self:
        return cls.model_validate({name: getattr(row, name) for name in cls.model_fields})


class RatingsOut(BaseModel):
    ratings: list[RatedOut]


class CustomerExport(BaseModel):
    customer: str
    conversations: list[dict[str, Any]] = Field(description="Oldest first.")


class CandidateOut(BaseModel):
    """A passage, and its score in each stage of retrieval."""

    chunk: str
    document: str
    version: int
    title: str
    url: str
    kind: Kind
    locale: str
    heading_path: list[str]
    text: str
    dense: float = Field(description="Cosine.")
    keywords: float = Field(description="BM25.")
    fused: float
    score: float = Field(description="Fused, with the priors: the final order.")

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        chunk = candidate.chunk
        return cls(
            chunk=chunk.id,
            document=chunk.key,
            version=candidate.version,
            title=chunk.title,
            url=chunk.url,
            kind=chunk.kind,
            locale=chunk.locale,
            heading_path=list(chunk.heading_path),
            text=chunk.text,
            dense=candidate.dense,
            keywords=candidate.keywords,
            fused=candidate.fused,
            score=candidate.score,
        )


class SearchOut(BaseModel):
    query: str
    standalone: str
    candidates: list[CandidateOut] = Field(description="Best first.")


class Ready(BaseModel):
    status: Literal["ready"]
    chunks: int


class Alive(BaseModel):
    status: Literal["ok"]
