"""From a row to the tokens that are trained on: the prompt as it is served, and the reply.

Loss is taken on the reply and its end only. Prompt and reply are tokenized apart, because that is
how serving meets them: the server tokenizes the prompt, and the model goes on from there.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from models.data.rows import Row
from models.recipes import Recipe
from twofold.counted import counted
from twofold.errors import InvalidInput

MASKED = -100
"""The label of a token that no loss is taken on, as torch's cross entropy has it."""
_NAMED = 3


class Tokenizer(Protocol):
    """Does what of a transformers tokenizer is needed here."""

    chat_template: Any
    eos_token_id: Any

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        add_generation_prompt: bool,
        tokenize: bool,
        return_dict: bool,
    ) -> Any: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> Any: ...


class Encoded(NamedTuple):
    """Tokens of one row; `labels` are `input_ids` where loss is taken and `MASKED` elsewhere."""

    input_ids: list[int]
    labels: list[int]


class EncodedPair(NamedTuple):
    """A prompt and, one behind the other, two replies to it: `approved` tokens are of the first."""

    input_ids: list[int]
    labels: list[int]
    approved: int


def prompt_ids(tokenizer: Tokenizer, row: Row) -> list[int]:
    """Returns the prompt's tokens, as a server with the tokenizer's chat template makes them."""
    messages = [{"role": said.role, "content": said.content} for said in row.messages]
    ids: list[int] = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return ids


def encode(tokenizer: Tokenizer, row: Row) -> Encoded:
    prompt = prompt_ids(tokenizer, row)
    reply = [*tokenizer.encode(row.target, add_special_tokens=False), tokenizer.eos_token_id]
    return Encoded(prompt + reply, [MASKED] * len(prompt) + reply)


def encode_all(tokenizer: Tokenizer, rows: Sequence[Row], recipe: Recipe) -> list[Encoded]:
    """Raises InvalidInput naming the rows that are longer than the recipe allows."""
    encoded = [encode(tokenizer, row) for row in rows]
    long = [
        f"{row.id} ({len(each.input_ids):,})"
        for row, each in zip(rows, encoded, strict=True)
        if len(each.input_ids) > recipe.max_length
    ]
    if long:
        raise InvalidInput(
            f"{len(long)} of {counted(len(rows), 'row')}: longer than the {recipe.max_length:,}"
            f" tokens of recipe {recipe.name}: {_named(long)}. Build the dataset with a smaller"
            " context, or raise max_length in a recipe of your own."
        )
    return encoded


def encode_pairs(tokenizer: Tokenizer, rows: Sequence[Row], recipe: Recipe) -> list[EncodedPair]:
    """Returns each row with each of its rejected replies. Raises InvalidInput naming the rows that
    have none, that reject what they approve, or that are too long with either."""
    if bare := [row.id for row in rows if not row.rejected]:
        raise InvalidInput(
            f"{len(bare)} of {counted(len(rows), 'row')}: no rejected reply: {_named(bare)}. Pairs"
            " are trained on apart from rows; make them with: twofold dataset pairs DATASET …"
        )
    pairs = [(row, each.reply) for row in rows for each in row.rejected]
    if same := [row.id for row, reply in pairs if reply.strip() == row.target.strip()]:
        raise InvalidInput(
            f"{len(same)} of {counted(len(pairs), 'pair')}: the rejected reply is the approved one:"
            f" {_named(same)}. Find all that is wrong with them: twofold dataset lint FOLDER"
        )
    others = [row.model_copy(update={"target": reply}) for row, reply in pairs]
    approved = encode_all(tokenizer, [row for row, _ in pairs], recipe)
    rejected = encode_all(tokenizer, others, recipe)
    return [
        _pair(one, [label for label in other.labels if label != MASKED])
        for one, other in zip(approved, rejected, strict=True)
    ]


def _pair(approved: Encoded, rejected: list[int]) -> EncodedPair:
    ids, labels = approved
    return EncodedPair(ids + rejected, labels + rejected, len(labels) - labels.count(MASKED))


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
