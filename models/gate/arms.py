"""Models side by side: each is asked the same rows with its own prompt, without constraints."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from models.asking import ask_each
from models.data.rows import Row
from twofold.clients.chat import ChatModel, Usage
from twofold.errors import UpstreamError
from twofold.policy import HousePolicy
from twofold.prompt import Message, Profile, instructions
from twofold.terminal import StepCallback

AT_ONCE = 4
REPLY_S = 300.0
"""On a busy machine a reply may take minutes: that is no fault of the release."""
TOKENS_PER_WORD = 3
"""As the service allows: room for languages that a tokenizer splits finely."""


class ArmReply(NamedTuple):
    """What a model wrote. Counts are its server's; `first_s`: seconds to its first token."""

    wire: str
    prompt_tokens: int
    completion_tokens: int
    first_s: float


@dataclass(frozen=True, slots=True)
class ModelArm:
    """Asks a model with its own prompt."""

    name: str
    model: ChatModel
    profile: Profile
    house: HousePolicy
    sample: int = 0
    """So many of the rows are asked, the same ones each time; 0: all. A model that was not trained
    rarely ends by itself, and on a CPU all its rows would take an hour."""
    most_tokens: int = 0
    """Where a reply is cut off; 0: where the service cuts it off."""
    shown: str = ""
    """Stands behind the instructions, the same in every call: whole examples."""

    @property
    def most(self) -> int:
        """Tokens that a reply may have."""
        return self.most_tokens or self.house.style.max_words * TOKENS_PER_WORD

    def among(self, rows: Sequence[Row]) -> list[Row]:
        """Returns the rows that this arm is asked, in their order."""
        if not self.sample:
            return list(rows)
        drawn = sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())
        kept = {row.id for row in drawn[: self.sample]}
        return [row for row in rows if row.id in kept]

    async def ask(self, rows: Sequence[Row], progress: StepCallback) -> list[ArmReply]:
        """Returns every row's reply, in order. Raises UpstreamError where the server fails."""
        said = partial(progress, f"Asking {self.name}")
        return await ask_each(lambda row: self._said(self.messages(row)), rows, AT_ONCE, said)

    async def instruction_tokens(self) -> int:
        """Returns tokens of this profile's instructions alone, as the server counts them."""
        whole = await self._said([Message("system", instructions(self.house, self.profile))])
        empty = await self._said([Message("system", "")])
        return whole.prompt_tokens - empty.prompt_tokens

    def messages(self, row: Row) -> list[Message]:
        """Returns the row's prompt as the service renders it with this arm's profile."""
        system, *turns = row.model_copy(update={"profile": self.profile}).rendered(self.house)
        told = instructions(self.house, self.profile)
        whole = system.content.replace(told, told + self.shown, 1)
        return [Message("system", whole), *(Message(turn.role, turn.content) for turn in turns)]

    async def _said(self, messages: Sequence[Message]) -> ArmReply:
        usage = Usage()
        deadline = time.monotonic() + REPLY_S
        try:
            stream = self.model.stream(
                messages, deadline=deadline, usage=usage, max_tokens=self.most
            )
            wire = "".join([piece async for piece in stream])
        except UpstreamError as error:
            raise UpstreamError(f"{self.name} could not be asked: {error.message}") from error
        return ArmReply(
            wire,
            usage.prompt_tokens,
            usage.completion_tokens or usage.pieces,
            usage.first_token_s or 0.0,
        )


def patient(model: ChatModel) -> ChatModel:
    """Returns the model with an eval's long timeouts: a slow machine is no reason to fail a
    release."""
    return replace(model, first_token_s=REPLY_S, gap_s=REPLY_S)
