"""A case asked again in another world, and what came back as an outcome that can be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.evaluate.answers import Outcome, RecordedCandidate, ReturnedCitation
from models.suite.client import AnswerClient
from models.suite.suite import Case
from twofold.reply import OURS
from twofold.text.blocks import squeeze


class Passage(NamedTuple):
    """A passage that the reply was made from; `[n]` of a draft counts them from 1."""

    chunk: str
    document: str
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class ReplayedCase:
    """An answer and everything that took part in it. `told` is `POST /v1/replays`' own."""

    outcome: Outcome
    told: Mapping[str, Any]

    @property
    def case(self) -> Case:
        return self.outcome.case

    @property
    def packed(self) -> list[Passage]:
        """In the order in which the reply maker saw them."""
        known = {each["chunk"]: each for each in self.told["candidates"]}
        known |= {each["chunk"]: each for each in self.told.get("passages", ())}
        return [
            Passage(
                id,
                known[id]["document"],
                known[id]["text"],
                " > ".join([known[id]["title"], *known[id]["heading_path"]]),
            )
            for id in self.told["packed"]
            if id in known
        ]

    @property
    def asked(self) -> Sequence[Mapping[str, Any]]:
        """The models that were asked, in order: `step`, `outcome`, tokens."""
        calls: Sequence[Mapping[str, Any]] = self.told["calls"]
        return calls

    @property
    def own(self) -> bool:
        """Whether the model that was asked first made the reply, and nothing stood in for it."""
        return bool(self.asked) and self.outcome.served_by == self.asked[0]["step"]

    @property
    def cited(self) -> Mapping[int, str]:
        """Mark -> chunk."""
        return {each["n"]: each["chunk"] for each in self.told["citations"]}


def body_of(case: Case) -> dict[str, Any]:
    """Returns the case as the service is asked it."""
    body: dict[str, Any] = {
        "message": case.question,
        "audience": case.audience,
        "evaluation": True,
        "history": [turn.model_dump() for turn in case.history],
    }
    if case.locale:
        body["locale"] = case.locale
    return body


async def replay_case(client: AnswerClient, case: Case, **world: Any) -> ReplayedCase:
    """Asks the case, in the world as it is but for `world` (fields of ReplayRequest)."""
    told = await client.replay(body_of(case) | world)
    return ReplayedCase(outcome_of(case, told), told)


def outcome_of(case: Case, told: Mapping[str, Any]) -> Outcome:
    """Returns what a replay gave, as evals judge it. A quote is literal where its passage holds
    it."""
    escalation = told["escalation"] or {}
    seen: Sequence[Mapping[str, Any]] = [*told["candidates"], *told["overruled"]]
    texts = {each["chunk"]: squeeze(each["text"]) for each in seen}
    return Outcome(
        case=case,
        answer_id="",
        action=told["action"],
        team=escalation.get("team"),
        reason=escalation.get("reason"),
        text=told["text"],
        served_by=told["served_by"],
        citations=tuple(
            ReturnedCitation(
                each["document"],
                each["version"],
                each["quote"],
                bool(each["quote"].strip()) and squeeze(each["quote"]) in texts[each["chunk"]]
                if each["chunk"] in texts
                else None,
            )
            for each in told["citations"]
        ),
        candidates=tuple(
            RecordedCandidate(each["chunk"], each["document"], each["score"], each["text"])
            for each in told["candidates"]
        ),
        packed=frozenset(told["packed"]),
        why=told["why"],
        seconds=told["seconds"],
        ours=tuple(told["signals"].get(OURS, ())),
    )
