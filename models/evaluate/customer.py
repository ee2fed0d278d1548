"""Whole answers judged as a customer would: good, padded, wrong, handed over for nothing, or not
handed over though a person was needed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.stats import Estimate, estimate
from models.suite.client import AnswerClient
from models.suite.customer import OUTCOMES, CustomerTurn, Judgement, judge


class JudgedTurn(NamedTuple):
    """A turn, what it was answered, and the judgement."""

    turn: CustomerTurn
    before: tuple[tuple[str, str], ...]
    """Messages and replies of the conversation so far."""
    action: str
    text: str
    documents: tuple[str, ...]
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class CustomerReport:
    """Shares of each outcome over all turns, by tag and by file; conversations are clusters."""

    turns: int
    shares: dict[str, Estimate]
    by_tag: dict[str, dict[str, int]]
    by_file: dict[str, dict[str, Estimate]]

    def data(self) -> dict[str, Any]:
        return {
            "turns": self.turns,
            "shares": {name: found.data() for name, found in self.shares.items()},
            "by_file": {
                file: {name: found.data() for name, found in shares.items()}
                for file, shares in self.by_file.items()
            },
            "by_tag": self.by_tag,
        }


async def talk(
    client: AnswerClient,
    conversations: Sequence[Sequence[CustomerTurn]],
    progress: Callable[[int], None],
) -> list[JudgedTurn]:
    """Holds every conversation, one after the other, and forgets it again."""
    found: list[JudgedTurn] = []
    for turns in conversations:
        id: str | None = None
        before: tuple[tuple[str, str], ...] = ()
        for turn in turns:
            body: dict[str, Any] = {"message": turn.message, "audience": list(turn.audience)}
            body["evaluation"] = True
            if id is not None:
                body["conversation_id"] = id
            reply = await client.chat(body)
            id, action, text = reply["conversation_id"], reply["action"], reply["text"]
            documents = tuple(dict.fromkeys(each["document"] for each in reply["citations"]))
            judged = judge(turn, action, text)
            found.append(JudgedTurn(turn, before, action, text, documents, judged))
            before = (*before, (turn.message, text))
            progress(len(found))
        if id is not None:
            await client.forget(id)
    return found


def report(found: dict[str, list[JudgedTurn]]) -> CustomerReport:
    """Sums up the judged turns, `found` by file."""
    everything = [each for replies in found.values() for each in replies]
    by_tag: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for each in everything:
        for tag in each.turn.tags:
            by_tag[tag][each.judgement.outcome] += 1
    return CustomerReport(
        len(everything),
        _shares(everything),
        dict(sorted(by_tag.items())),
        {file: _shares(replies) for file, replies in found.items()},
    )


def _shares(replies: Sequence[JudgedTurn]) -> dict[str, Estimate]:
    clusters = [each.turn.conversation or each.turn.id for each in replies]
    return {
        name: estimate([float(each.judgement.outcome == name) for each in replies], clusters)
        for name in OUTCOMES
    }
