"""The one prompt renderer: the service asks with it, and training rows are made with it.

The order is fixed for the sake of prefix caching: the house policy first (the same for everybody),
then the documents, then the conversation, and the question last. Nothing that changes with time or
request stands early. Document text is data: it is fenced, and cannot close its own fence.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from twofold.index.contract import Chunk, content_hash
from twofold.policy import HousePolicy
from twofold.reply import escaped, strip_marks

TURNS = 6
"""Earlier messages that a model is shown, the latest ones, and"""
TURNS_CHARS = 3000
"""how long they may be together."""
Profile = Literal["full", "tuned"]
"""`full`: rules and examples, for a base model. `tuned`: a line, for an adapter trained on it."""


class Message(NamedTuple):
    role: Literal["system", "user", "assistant"]
    content: str


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
    autoescape=False,  # noqa: S701  the output is a prompt, not HTML; fences are kept by `_fenced`
)


def render_prompt(
    house: HousePolicy,
    profile: Profile,
    documents: Sequence[Chunk],
    history: Sequence[Message],
    question: str,
) -> list[Message]:
    """Returns the messages of one request. `[n]` in the reply is `documents[n-1]`.

    Of the history a model is shown the latest turns, within TURNS and TURNS_CHARS.
    """
    return [
        Message("system", instructions(house, profile) + documents_block(documents)),
        *(Message(turn.role, _harmless(turn.content)) for turn in _remembered(history)),
        Message("user", _harmless(question)),
    ]


def instructions(house: HousePolicy, profile: Profile) -> str:
    """Returns the part of the prompt that tells how to behave: the same for every request."""
    return _instructions(_Policy(house), profile)


class _Policy:
    """A house policy as a cache key: equal where it says the same."""

    def __init__(self, house: HousePolicy) -> None:
        self.house = house

    def __hash__(self) -> int:
        return hash(self.house.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Policy) and self.house.digest == other.house.digest


@lru_cache(maxsize=16)
def _instructions(policy: _Policy, profile: Profile) -> str:
    return _environment.get_template(f"{profile}.j2").render(house=policy.house)


def prompt_digest(house: HousePolicy, profile: Profile) -> str:
    """Changes whenever a prompt of this profile would; releases and rows are pinned to it."""
    return content_hash(instructions(house, profile), documents_block(()))[:12]


def _remembered(history: Sequence[Message]) -> list[Message]:
    """Returns the earlier turns, oldest first, without marks: their documents are gone as well."""
    kept: list[Message] = []
    room = TURNS_CHARS
    for turn in reversed(history[-TURNS:]):
        text = strip_marks(turn.content)
        room -= len(text)
        if room < 0:
            break
        kept.append(Message(turn.role, text))
    return kept[::-1]


def documents_block(documents: Sequence[Chunk]) -> str:
    """Returns the fenced documents, numbered from 1, as every prompt shows them."""
    return _environment.get_template("documents.j2").render(
        documents=[
            {
                "title": escaped(_attribute(chunk.heading)),
                "kind": chunk.kind,
                "text": escaped(_fenced(chunk.text)),
            }
            for chunk in documents
        ]
    )


def _attribute(text: str) -> str:
    return " ".join(_fenced(text).replace('"', "'").split())


def _fenced(text: str) -> str:
    """Returns text that cannot open or close a `document` tag."""
    return re.sub(r"<(?=\s*+/?\s*+documents?\b)", "‹", _harmless(text), flags=re.IGNORECASE)


_CONTROL = re.compile(
    r"<(?=\|)|<(?=[\uff5c])|<(?=/?(?:s|bos|eos|pad|unk|think|tool_call|start_of_turn|end_of_turn)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\])"
)


def _harmless(text: str) -> str:
    """Returns text without the spelling of control tokens: a tokenizer reads those anywhere."""
    return _CONTROL.sub(lambda match: "‹" if match[0] == "<" else "⟦", text)
