"""A chat model as reply maker: asked with the one prompt renderer, held to the reply contract."""

import hashlib
import hmac
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

from services.answer.contract import Turn
from services.answer.generate import Seen
from twofold.clients.chat import ChatModel, Usage, Worth
from twofold.house import HousePolicy
from twofold.prompt import Message, Profile, render_prompt
from twofold.reply import grammar, strip_marks

Step = Literal["tuned", "base"]
TURNS = 6
"""Earlier messages that a model is shown, the latest ones, and"""
TURNS_CHARS = 3000
"""how long they may be together."""
TOKENS_PER_WORD = 3
"""Room for languages that a tokenizer splits finely, for Markdown and for marks."""


@dataclass(frozen=True, slots=True)
class ModelMaker:
    """One rung of the ladder that a model stands on."""

    step: Step
    model: ChatModel
    house: HousePolicy
    secret: bytes
    """Of this server: what cache salts are made with."""

    @property
    def profile(self) -> Profile:
        return "tuned" if self.step == "tuned" else "full"

    def stream(
        self, seen: Seen, usage: Usage, worth: Worth, *, deadline: float, first_by: float
    ) -> AsyncGenerator[str, None]:
        """The reply on the wire, header line first; handed on once a piece is `worth` it."""
        question = seen.question
        messages = render_prompt(
            self.house,
            self.profile,
            [candidate.chunk for candidate in seen.packed],
            remembered(question.history),
            question.asked,
        )
        return self.model.stream(
            messages,
            deadline=deadline,
            usage=usage,
            first_by=first_by,
            max_tokens=self.house.style.max_words * TOKENS_PER_WORD,
            grammar=grammar(self.house.reason_teams),
            cache_salt=cache_salt(self.secret, question.scope.workspace),
            worth=worth,
        )


def remembered(history: Sequence[Turn]) -> list[Message]:
    """The latest turns within the budget, oldest first; marks are gone, their documents are too."""
    kept: list[Message] = []
    room = TURNS_CHARS
    for turn in reversed(history[-TURNS:]):
        text = strip_marks(turn.text)
        room -= len(text)
        if room < 0:
            break
        kept.append(Message(turn.role, text))
    return kept[::-1]


def cache_salt(secret: bytes, workspace: str) -> str:
    """Keeps one workspace from learning, by timing, what another's prompts began with."""
    return hmac.new(secret, workspace.encode(), hashlib.sha256).hexdigest()[:32]
