"""What an answer costs, by model and prompt, and from which volume on tuning pays.

Figures are measured where something could be measured (tokens by the tokenizer, cache hits and
times by the model server's own metrics) and given where nobody here can know them (prices, wages).
Prefix caching is counted in: the instructions of a long prompt are read from the cache after the
first call, so that shortening them saves less than their length.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import httpx

from models.data.lint.length import TURN, CountTokens
from models.data.rows import Row, RowMessage
from twofold.errors import InvalidInput, UpstreamError
from twofold.policy import HousePolicy
from twofold.prompt import Profile, documents_block, instructions

SHOTS: Final = 3
"""Whole examples, with their documents, in the few-shot prompt."""
MILLION: Final = 1e6
_SAMPLE = re.compile(r"^(vllm:\w++)(?:\{[^}\n]*+\})? (\S++)$", re.MULTILINE)
_HITS: Final = "vllm:prefix_cache_hits_total"
_QUERIES: Final = "vllm:prefix_cache_queries_total"
_FIRST_SUM: Final = "vllm:time_to_first_token_seconds_sum"
_FIRST_COUNT: Final = "vllm:time_to_first_token_seconds_count"
_READ: Final = "vllm:prompt_tokens_total"
_WRITTEN: Final = "vllm:generation_tokens_total"


class TokenMeans(NamedTuple):
    """Means of a call. `shared`: what stands before the documents, the same in every call."""

    prompt: float
    shared: float
    completion: float

    @property
    def fresh(self) -> float:
        """Prompt tokens that are another in each call, which no cache can spare."""
        return self.prompt - self.shared


class Price(NamedTuple):
    """Dollars for a million tokens, as hosted models are sold. `cached`: read from the cache."""

    read: float
    cached: float
    written: float


class Machine(NamedTuple):
    """A server of one's own: dollars an hour, and what was measured of it."""

    hourly: float
    answers_per_hour: float


class Measured(NamedTuple):
    """A model server between two looks at its metrics. Tokens are means of a call."""

    calls: int
    hit_share: float
    """Of prompt tokens, those found in the prefix cache (0..1)."""
    first_token_s: float
    read: float
    written: float
    seconds: float

    @property
    def answers_per_hour(self) -> float:
        return 3600 * self.calls / self.seconds


class Effort(NamedTuple):
    """What tuning costs once, and again each month: rows are kept, adapters trained anew."""

    machine_hours: float
    machine_hourly: float
    people_hours: float
    wage: float
    runs_per_month: float

    @property
    def first(self) -> float:
        return self.machine_hours * self.machine_hourly + self.people_hours * self.wage

    @property
    def monthly(self) -> float:
        return self.runs_per_month * self.machine_hours * self.machine_hourly


@dataclass(frozen=True, slots=True)
class PricedArm:
    """A way to answer: a model with a prompt."""

    name: str
    tokens: TokenMeans
    price: Price | None = None
    machine: Machine | None = None

    @property
    def per_thousand(self) -> float | None:
        """Dollars for 1,000 answers; None where nothing says what it costs."""
        if self.machine is not None:
            return 1000 * self.machine.hourly / self.machine.answers_per_hour
        if self.price is None:
            return None
        read, cached, written = self.price
        each = self.tokens.fresh * read + self.tokens.shared * cached
        return 1000 * (each + self.tokens.completion * written) / MILLION

    @property
    def uncached_per_thousand(self) -> float | None:
        """The same where nothing is cached: a call now and then."""
        if self.price is None:
            return None
        each = self.tokens.prompt * self.price.read + self.tokens.completion * self.price.written
        return 1000 * each / MILLION


def tokens(
    rows: Sequence[Row], profile: Profile, house: HousePolicy, count: CountTokens
) -> TokenMeans:
    """Means over rows, as the service would ask them. Raises InvalidInput without rows."""
    if not rows:
        raise InvalidInput("There are no rows to count. Build a dataset with --heldout.")
    rendered = [row.model_copy(update={"profile": profile}).rendered(house) for row in rows]
    prompts = [_length(messages, count) for messages in rendered]
    return TokenMeans(
        sum(prompts) / len(rows),
        count(instructions(house, profile)),
        sum(count(row.target) for row in rows) / len(rows),
    )


def shown(rows: Sequence[Row]) -> str:
    """Returns whole examples, with their documents, as the few-shot prompt has them behind its
    instructions: those that came first among answers as they came."""
    shots = [row for row in rows if row.expected.action == "ANSWER" and not row.made][:SHOTS]
    return "".join(
        f"\nExample:\n{documents_block(row.chunks())}\n\n{row.question}\n\n{row.target}\n"
        for row in shots
    )


def few_shot(plain: TokenMeans, examples: str, count: CountTokens) -> TokenMeans:
    """Returns a prompt's means with examples in it, the same in every call."""
    more = count(examples)
    return plain._replace(prompt=plain.prompt + more, shared=plain.shared + more)


def break_even(tuned: PricedArm, other: PricedArm, effort: Effort, months: float) -> float | None:
    """Answers a month from which the tuned arm is the cheaper one over so many months; None where
    it never is, because an answer of it costs as much or more."""
    mine, theirs = tuned.per_thousand, other.per_thousand
    if mine is None or theirs is None or theirs <= mine:
        return None
    whole = effort.first + effort.monthly * months
    return math.ceil(1000 * whole / (theirs - mine) / months)


def read_metrics(url: str) -> Mapping[str, float]:
    """Returns vLLM's counters by name, summed over labels. Raises UpstreamError where there are
    none."""
    try:
        answer = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}/metrics", timeout=30)
        text = answer.raise_for_status().text
    except httpx.HTTPError as error:
        raise UpstreamError(f"{url} gives no metrics: {error}") from error
    found: dict[str, float] = {}
    for match in _SAMPLE.finditer(text):
        found[match[1]] = found.get(match[1], 0.0) + float(match[2])
    if _READ not in found:
        raise UpstreamError(f"{url}/metrics has no counters of vLLM.")
    return found


def between(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> Measured:
    """Returns what a server did between two readings of its counters. Raises InvalidInput where
    it was not asked."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    calls = round(grown(_FIRST_COUNT))
    if not calls:
        raise InvalidInput("The model server was asked nothing between the two looks.")
    queries = grown(_QUERIES)
    return Measured(
        calls,
        grown(_HITS) / queries if queries else 0.0,
        grown(_FIRST_SUM) / calls,
        grown(_READ) / calls,
        grown(_WRITTEN) / calls,
        seconds,
    )


def data(arms: Sequence[PricedArm]) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm.name,
            "prompt_tokens": round(arm.tokens.prompt, 1),
            "shared_tokens": round(arm.tokens.shared, 1),
            "completion_tokens": round(arm.tokens.completion, 1),
            "dollars_per_1000": arm.per_thousand,
            "dollars_per_1000_uncached": arm.uncached_per_thousand,
        }
        for arm in arms
    ]


def _length(messages: Sequence[RowMessage], count: CountTokens) -> int:
    return sum(count(message.content) + TURN for message in messages)
