"""Handoffs as they go over HTTP."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from services.answer.guard import clean
from services.answer.handoffs import Listed, Wish
from services.answer.schemas import MAX_CUSTOMER, Locale, Request

HandoffState = Literal["pending", "delivered", "kept", "failed"]


class HandoffRequest(Request):
    """Somebody wants a person."""

    conversation_id: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Left out where nothing was said before."
    )
    message: str = Field(default="", description="What they wrote along with it.")
    customer: Annotated[str, Field(min_length=1, max_length=MAX_CUSTOMER)] | None = None
    locale: Locale = ""
    team: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="A team of the house policy; by default it decides."
    )

    def wish(self, workspace: str, key: str | None, most: int) -> Wish:
        return Wish(
            workspace=workspace,
            conversation_id=self.conversation_id,
            message=clean(self.message, most) if self.message.strip() else "",
            customer=self.customer,
            locale=self.locale,
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
    state: HandoffState
    created_at: float = Field(description="Epoch seconds.")
    deliveries: list[DeliveryOut]
    packet: dict[str, Any] = Field(description="All that a person needs to go on.")

    @classmethod
    def of(cls, found: Listed) -> Self:
        names = cls.model_fields.keys() - {"deliveries", "packet"}
        return cls.model_validate(
            {name: getattr(found.handoff, name) for name in names}
            | {
                "deliveries": [
                    {name: getattr(each, name) for name in DeliveryOut.model_fields}
                    for each in found.deliveries
                ],
                "packet": found.packet,
            }
        )


class HandoffsOut(BaseModel):
    handoffs: list[HandoffOut] = Field(description="Newest first.")
