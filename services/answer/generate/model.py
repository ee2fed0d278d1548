"""A chat model as reply maker: asked with the one prompt renderer, held to the reply contract."""

import hashlib
import hmac
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.answer.generate import AnswerContext, Lane, Step
from twofold.clients.chat import ChatModel, Usage, Worth
from twofold.policy import HousePolicy
from twofold.prompt import Message, Profile, render_prompt
from twofold.reply import grammar

TOKENS_PER_WORD = 3
"""Room for languages that a tokenizer splits finely, for Markdown and for marks."""


@dataclass(frozen=True, slots=True)
class ModelMaker:
    """Makes replies by one model: one step of the ladder."""

    step: Step
    model: ChatModel
    house: HousePolicy
    secret: bytes
    """Of this server: what cache salts are made with."""
    lane: Lane | None = None

    @property
    def profile(self) -> Profile:
        return "tuned" if self.step == "tuned" else "full"

    def messages(self, seen: AnswerContext) -> list[Message]:
        """Returns the prompt."""
        question = seen.question
        return render_prompt(
            self.house,
            self.profile,
            [candidate.chunk for candidate in seen.packed],
            [Message(turn.role, turn.text) for turn in question.history],
            question.asked,
        )

    def stream(
        self, seen: AnswerContext, usage: Usage, worth: Worth, *, deadline: float, first_by: float
    ) -> AsyncGenerator[str, None]:
        """Yields the reply on the wire, header line first; handed on once a piece is `worth` it."""
        return self.model.stream(
            self.messages(seen),
            deadline=deadline,
            usage=usage,
            first_by=first_by,
            max_tokens=self.house.style.max_words * TOKENS_PER_WORD,
            grammar=grammar(self.house.reason_teams),
            cache_salt=cache_salt(self.secret, seen.question.scope.workspace),
            worth=worth,
        )


def cache_salt(secret: bytes, workspace: str) -> str:
    """Keeps one workspace from learning, by timing, what another's prompts began with."""
    return hmac.new(secret, workspace.encode(), hashlib.sha256).hexdigest()[:32]
