"""What goes over HTTP of approved answers."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self

from pydantic import BaseModel, Field

from services.answer.approved.store import Approval, Approved, State
from services.answer.handoffs.schemas import MAX_REPLY, DocumentKey
from services.answer.schemas import Audience, CitationOut, Id, Locale, Request, Written
from services.answer.search.guard import clean
from twofold.reply import Citation

MAX_QUESTION = 500


class ApproveRequest(Request):
    """One of `answer_id`, `handoff_id` and `text` says what is approved."""

    question: Annotated[Written, Field(max_length=MAX_QUESTION)] = Field(
        default="", description="What it answers; that of the record when left out."
    )
    answer_id: Id | None = Field(default=None, description="An answer that was given.")
    handoff_id: Id | None = Field(
        default=None, description="The latest reply of a person that is kept of this hand-over."
    )
    text: Annotated[str, Field(max_length=MAX_REPLY)] = Field(
        default="", description="Markdown; `[n]` means the n-th of `documents`."
    )
    documents: Annotated[list[DocumentKey], Field(max_length=20)] = Field(
        default_factory=list, description="What `text` cites, as `source/external_id`."
    )
    audience: Annotated[list[Audience], Field(max_length=16)] | None = Field(
        default=None, description="Who alone gets it, beyond `public`; as on record if left out."
    )
    locale: Locale = Field(default="", description="Language of the question.")
    valid_from: date | None = Field(default=None, description="First day (UTC); today at once.")
    valid_until: date | None = Field(default=None, description="Last day (UTC); no end if none.")

    def approval(self) -> Approval:
        return Approval(
            question=self.question,
            answer_id=self.answer_id,
            handoff_id=self.handoff_id,
            text=clean(self.text, MAX_REPLY) if self.text else "",
            documents=tuple(self.documents),
            audience=None if self.audience is None else frozenset(self.audience),
            locale=self.locale,
            valid_from=_midnight(self.valid_from) if self.valid_from else None,
            valid_until=_midnight(self.valid_until + timedelta(days=1))
            if self.valid_until
            else None,
        )


class ChangeOut(BaseModel):
    """What became of a cited document since."""

    document: str
    approved: int = Field(description="The version that the answer cites.")
    live: int | None = Field(description="The one that answers now; null where there is none.")
    difference: str = Field(description="Of their texts, as a unified diff.")


class ApprovedOut(BaseModel):
    """An approved answer. Suspended, it is not said until it is approved anew."""

    id: str
    question: str
    locale: str
    audience: list[str]
    text: str = Field(description="Markdown; `[n]` refers to the citation with that `n`.")
    citations: list[CitationOut]
    state: State
    changes: list[ChangeOut] = Field(description="Why it is suspended.")
    valid_from: float = Field(description="Epoch seconds.")
    valid_until: float | None = Field(description="Epoch seconds; null: no end.")
    approved_by: str = Field(description="Name of the key; empty where none was needed.")
    created_at: float = Field(description="Epoch seconds.")

    @classmethod
    def of(cls, found: Approved) -> Self:
        own = ("id", "question", "locale", "audience", "text", "valid_from", "valid_until")
        row = {name: getattr(found.row, name) for name in (*own, "approved_by", "created_at")}
        return cls.model_validate(
            {
                **row,
                "citations": [CitationOut.of(Citation(**each)) for each in found.row.citations],
                "state": found.state,
                "changes": [change._asdict() for change in found.changes],
            }
        )


class ApprovedsOut(BaseModel):
    answers: list[ApprovedOut] = Field(description="Newest first.")


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
