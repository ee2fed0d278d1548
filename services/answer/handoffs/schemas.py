"""Handoffs as they go over HTTP."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from services.answer.access.keys import Caller
from services.answer.handoffs.outbox import Listed, PersonRequest
from services.answer.handoffs.replies import KeptReply, Wrote
from services.answer.schemas import CustomerId, Id, Locale, Plain, Request
from services.answer.search.guard import clean
from twofold.reply import Action

HandoffState = Literal["pending", "delivered", "kept", "failed"]
MAX_REPLY = 20_000
DocumentKey = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}/[^\x00-\x1f]{1,400}$")]


class HandoffRequest(Request):
    """Somebody wants a person."""

    conversation_id: Id | None = Field(
        default=None, description="Left out where nothing was said before."
    )
    message: str = Field(
        default="",
        description="What they wrote along with it; needed where nothing was said before.",
    )
    customer: CustomerId | None = None
    locale: Locale = ""
    contact: Annotated[Plain, Field(max_length=254)] = Field(
        default="", description="Where to reach them: an e-mail address."
    )
    team: Id | None = Field(
        default=None, description="A team of the house policy; by default it decides."
    )

    def person_request(self, caller: Caller, key: str | None, most: int) -> PersonRequest:
        return PersonRequest(
            workspace=caller.workspace,
            owner=caller.owner,
            owns_all=caller.owns_all,
            conversation_id=self.conversation_id,
            message=clean(self.message, most) if self.message.strip() else "",
            customer=self.customer,
            locale=self.locale,
            contact=self.contact,
            team=self.team,
            key=key,
        )


class DeliveryOut(BaseModel):
    target: str
    state: Literal["pending", "delivered", "dead"]
    attempts: int
    next_attempt_at: float
    delivered_at: float | None
    receipt: str
    error: str


class HandoffOut(BaseModel):
    """`kept`: no target wants it, it is read here. `failed`: a target refused it too often."""

    id: str
    conversation_id: str
    answer_id: str | None
    team: str
    reason: str
    gravity: int = Field(
        description="How serious the reason is: 2 where the house policy calls it `grave`, 1 for a"
        " matter of its own, 0 where a person was asked for or no answer helped."
    )
    searched: bool = Field(
        description="False where that is that the sources could not be searched; not that they do"
        " not answer it."
    )
    replied: bool = Field(description="Whether what a person replied was kept.")
    closed: bool = Field(
        description="Whether it is settled: replied to, or closed here. What a visitor of the"
        " widget asked is settled at the desk, which this does not say."
    )
    state: HandoffState
    created_at: float = Field(description="Epoch seconds.")
    deliveries: list[DeliveryOut]
    packet: dict[str, Any] = Field(description="All that a person needs to go on.")

    @classmethod
    def of(cls, found: Listed) -> Self:
        names = cls.model_fields.keys() - {
            "gravity", "searched", "replied", "closed", "deliveries", "packet",
        }  # fmt: skip
        return cls.model_validate(
            {name: getattr(found.handoff, name) for name in names}
            | {
                "gravity": found.gravity,
                "searched": found.searched,
                "replied": found.replied,
                "closed": found.closed,
                "deliveries": [
                    {name: getattr(each, name) for name in DeliveryOut.model_fields}
                    for each in found.deliveries
                ],
                "packet": found.packet,
            }
        )


class HandoffsOut(BaseModel):
    handoffs: list[HandoffOut] = Field(description="Newest first.")


class ReplyRequest(Request):
    """What a person wrote to the customer, edited into what we should have replied."""

    text: Annotated[str, Field(max_length=MAX_REPLY)] = Field(
        description="Markdown; `[n]` means the n-th of `documents`."
    )
    documents: Annotated[list[DocumentKey], Field(max_length=20)] = Field(
        default_factory=list, description="What the text cites, as `source/external_id`."
    )
    action: Action = Field(default="ANSWER", description="What we should have done.")
    reason: Id | None = Field(
        default=None, description="With ESCALATE; the hand-over's own where it is left out."
    )

    def wrote(self) -> Wrote:
        return Wrote(clean(self.text, MAX_REPLY), tuple(self.documents), self.action, self.reason)


class ReplyOut(BaseModel):
    """A reply that was kept; the latest one of a hand-over counts."""

    id: int
    handoff_id: str
    answer_id: str | None = Field(description="The answer that was handed over.")
    action: Action
    team: str | None
    reason: str | None
    text: str
    documents: list[str]
    created_at: float = Field(description="Epoch seconds.")

    @classmethod
    def of(cls, found: KeptReply) -> Self:
        values = {
            name: getattr(found.reply, name) for name in cls.model_fields if name != "answer_id"
        }
        return cls.model_validate(values | {"answer_id": found.answer_id})


class RepliesOut(BaseModel):
    replies: list[ReplyOut] = Field(description="Oldest first.")
