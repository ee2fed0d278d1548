"""OpenAI's shapes, as far as they mean something here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.answer.access.keys import Caller
from services.answer.contract import Ask, Turn
from services.answer.schemas import (
    MAX_CUSTOMER,
    MAX_HISTORY,
    MAX_HISTORY_CHARS,
    MAX_TURN_CHARS,
    ChatAnswer,
    Id,
    Plain,
    QuestionFields,
)
from twofold.characters import tidy

MODEL = "twofold"
MOST_MESSAGES = 500


class Part(BaseModel):
    """A piece of a message; only text is read."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str = ""


class Message(BaseModel):
    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow")

    include_usage: bool = False


class Extras(QuestionFields):
    """What only we know: sent under `twofold`, `extra_body` of OpenAI's own client."""

    conversation_id: Id | None = None


class CompletionRequest(BaseModel):
    """Options of sampling and tools are accepted and change nothing: the house decides.

    System messages are not followed either. The last message has to be the user's.
    """

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = 1
    user: Annotated[Plain, Field(max_length=MAX_CUSTOMER)] | None = None
    twofold: Extras = Field(default_factory=Extras)

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(cls, messages: list[Message]) -> list[Message]:
        if messages[-1].role != "user":
            raise ValueError("the last message has to be the user's")
        return messages

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def ask(self, caller: Caller) -> Ask:
        spoken = [m for m in self.messages if m.role in ("user", "assistant") and m.text]
        before = spoken[:-1] if spoken and spoken[-1] is self.messages[-1] else spoken
        return Ask(
            message=self.messages[-1].text,
            workspace=caller.workspace,
            owner=caller.owner,
            owns_all=caller.owns_all,
            audiences=self.twofold.audiences,
            locale=self.twofold.locale,
            conversation_id=self.twofold.conversation_id,
            customer=self.user or None,
            as_of=self.twofold.moment,
            history=_latest(before),
        )


def _latest(spoken: list[Message]) -> tuple[Turn, ...]:
    """Returns the last turns: as many, and as long, as are read."""
    turns: list[Turn] = []
    left = MAX_HISTORY_CHARS
    for message in reversed(spoken[-MAX_HISTORY:]):
        text = tidy(message.text[:MAX_TURN_CHARS])
        left -= len(text)
        if left < 0:
            break
        turns.append(Turn("user" if message.role == "user" else "assistant", text))
    return tuple(reversed(turns))


class Model(BaseModel):
    id: str = MODEL
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "twofold"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Usage(BaseModel):
    """As the model server counted; zeros where no model wrote."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Choice(BaseModel):
    index: int
    message: dict[str, Any]
    logprobs: None
    finish_reason: Literal["stop"]


class Completion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    twofold: ChatAnswer


class OpenAIErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    error: OpenAIErrorBody
