"""Rows that a model cannot be trained on whole."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from models.data.lint.findings import RowFinding, RowPlace
from twofold.counted import counted
from twofold.errors import InvalidInput

CHARS_PER_TOKEN = 4.0
"""Of English text; where no tokenizer is named the length is estimated by it."""
TURN = 8
"""Tokens that a chat template puts around a message, about."""

CountTokens = Callable[[str], int]


def estimated(text: str) -> int:
    return round(len(text) / CHARS_PER_TOKEN)


def by_tokenizer(path: Path) -> CountTokens:
    """Raises InvalidInput where `path` is no tokenizer.json."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InvalidInput(f"{path} is no tokenizer.json: {error}") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def length(rows: Sequence[RowPlace], count: CountTokens, most: int) -> Iterator[RowFinding]:
    for place in rows:
        row = place.row
        prompt = sum(count(message.content) + TURN for message in row.messages)
        replies = (row.target, *(each.reply for each in row.rejected))
        tokens = prompt + max(count(reply) + TURN for reply in replies)
        if tokens > most:
            reason = f"about {counted(tokens, 'token')}; at most {most:,} fit"
            fix = "Pack less (TWOFOLD_CONTEXT_CHUNKS, TWOFOLD_CONTEXT_CHARS) and build it again."
            yield place.finding("length", reason, fix)
