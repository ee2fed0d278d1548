"""What goes between the widget's frame, the desk and this service."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.widget.hours import Office
from services.widget.threads import State
from twofold.characters import tidy
from twofold.ledger.widget import Item, Thread

MAX_TEXT = 20_000
MAX_EMAIL = 254


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _email(value: str) -> str:
    name, at, host = value.strip().rpartition("@")
    if not (name and at and "." in host.strip(".")) or not value.isprintable() or " " in value:
        raise ValueError("that is no e-mail address")
    return value.strip()


Email = Annotated[str, Field(max_length=MAX_EMAIL), AfterValidator(_email)]
Written = Annotated[str, AfterValidator(tidy)]
"""What a person wrote: characters that nobody sees are left out."""
Name = Annotated[Written, Field(max_length=80)]
Words = Annotated[Written, Field(max_length=MAX_TEXT)]
MessageId = Annotated[UUID, Field(description="Made by the client; the same one twice is once.")]
Locale = Annotated[str, Field(pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$", max_length=35)]


class BeginRequest(Request):
    ticket: Annotated[str, Field(max_length=4096)] = Field(description="Of the frame's page.")
    origin: Annotated[str, Field(max_length=300)] = Field(description="Of the page around it.")
    renewal: Annotated[str, Field(max_length=200)] | None = None
    identity: Annotated[str, Field(max_length=8192)] | None = Field(
        default=None, description="A JWT that the host signed."
    )
    locale: Locale = ""


class RenewRequest(Request):
    renewal: Annotated[str, Field(max_length=200)]


class IdentityRequest(Request):
    identity: Annotated[str, Field(max_length=8192)]


class LocaleRequest(Request):
    locale: Locale


class OfficeOut(BaseModel):
    open: bool
    opens_at: float | None

    @classmethod
    def of(cls, office: Office) -> Self:
        return cls(open=office.open, opens_at=office.opens_at)


class VisitorOut(BaseModel):
    id: str
    kind: Literal["anonymous", "identified"]
    name: str
    email: str


class SessionOut(BaseModel):
    token: str
    expires_at: float
    renewal: str
    renewal_until: float
    resumed: bool
    visitor: VisitorOut
    locale: str
    consented: bool
    office: OfficeOut
    quota_left: int | None
    unread: int


class MessageRequest(Request):
    id: MessageId
    text: Words


class StopRequest(Request):
    chars: Annotated[int, Field(ge=0, le=1_000_000)]


class ReadRequest(Request):
    seq: Annotated[int, Field(ge=0, le=2**31)]


class ConsentRequest(Request):
    accepted: Literal[True]


class FeedbackRequest(Request):
    answer_id: Annotated[str, Field(max_length=64)]
    rating: Literal["up", "down"]
    comment: Annotated[Written, Field(max_length=2000)] = ""


class FeedbackOut(BaseModel):
    answer_id: str
    rating: str


class PersonRequest(Request):
    consent: Literal[True] = Field(description="The conversation is shown to a person.")
    message: Annotated[Written, Field(max_length=4000)] = ""
    email: Email | None = None
    name: Name = ""


class ContactRequest(Request):
    email: Email


class ReopenRequest(Request):
    message: Annotated[Written, Field(max_length=4000)] = ""


class TypingRequest(Request):
    typing: bool


class HandoffOut(BaseModel):
    id: str | None
    team: str
    reason: str
    agent: str | None
    email: str | None
    office: OfficeOut

    @classmethod
    def of(cls, thread: Thread, office: Office) -> Self | None:
        if thread.state == "assistant" or thread.handoff_id is None:
            return None
        return cls(
            id=thread.handoff_id,
            team=thread.team,
            reason=thread.reason,
            agent=thread.agent or None,
            email=thread.email or None,
            office=OfficeOut.of(office),
        )


class StateOut(BaseModel):
    state: State
    handoff: HandoffOut | None

    @classmethod
    def of(cls, thread: Thread, office: Office) -> Self:
        return cls.model_validate({"state": thread.state, "handoff": HandoffOut.of(thread, office)})


class ThreadOut(BaseModel):
    thread_id: str | None
    state: State
    handoff: HandoffOut | None
    items: list[dict[str, Any]]
    seq: int
    read: int
    unread: int


class SectionOut(BaseModel):
    heading: list[str]
    text: str
    marks: list[tuple[int, int]]


class SourceOut(BaseModel):
    n: int
    title: str
    url: str
    document: str
    version: int
    current: bool
    heading: list[str]
    quote: str
    sections: list[SectionOut]
    at: int


def item_out(item: Item, thread: Thread, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns an item as it is told; `answers` are whole answers by id, with their ratings."""
    told: dict[str, Any] = {"seq": item.seq, "at": item.at, "kind": item.kind}
    if item.kind == "question":
        answer = answers.get(item.answer_id or "")
        if answer is not None:
            answer = {**answer, "stopped": item.stopped}
        told |= {"id": item.message_id, "text": item.text, "status": item.status, "answer": answer}
    elif item.kind == "message":
        told |= {"id": item.message_id, "from": item.by, "name": item.name, "text": item.text}
    else:
        told |= {"state": item.state, "by": item.by, "name": item.name}
        told |= {"team": thread.team, "reason": thread.reason}
    return told
