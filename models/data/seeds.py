"""What rows are made from: labelled questions and replies that people approved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError, model_validator

from models.data.rows import Origin
from models.suite.client import AnswerClient
from models.suite.suite import Case, CaseTurn
from twofold.errors import InvalidInput, NotFound
from twofold.policy import HousePolicy
from twofold.reply import OURS, Action, judged, marks

CLOSED_HISTORY = "the conversation before it is not kept"


class Cite(NamedTuple):
    """What a mark of an approved text means. `quote` is "" where nobody said which words."""

    document: str
    """`source/external_id`, or the external id alone."""
    quote: str = ""

    def means(self, document: str) -> bool:
        return self.document in (document, document.partition("/")[2])


@dataclass(frozen=True, slots=True)
class Seed:
    """A question and what its reply must be.

    `text` is an approved reply, `cites` what its marks mean; without one the reply is made of the
    sources (ANSWER) or of the house's own words. `gold` are documents that hold the answer.
    """

    origin: Origin
    ref: str
    question: str
    action: Action
    history: tuple[CaseTurn, ...] = ()
    audience: tuple[str, ...] = ("public",)
    locale: str = ""
    team: str = ""
    reason: str = ""
    text: str = ""
    cites: Mapping[int, Cite] = field(default_factory=dict)
    gold: tuple[Cite, ...] = ()
    facts: tuple[tuple[str, ...], ...] = ()

    def body(self) -> dict[str, Any]:
        """Returns what the service is asked."""
        body: dict[str, Any] = {"message": self.question, "audience": list(self.audience)}
        if self.locale:
            body["locale"] = self.locale
        if self.history:
            body["history"] = [turn.model_dump() for turn in self.history]
        return body


def of_suite(cases: Sequence[Case]) -> Iterator[Seed]:
    for case in cases:
        expect = case.expect
        yield Seed(
            "suite",
            case.id,
            case.question,
            expect.action,
            case.history,
            (case.audience,),
            case.locale or "",
            expect.team or "",
            expect.reason or "",
            gold=tuple(Cite(document) for document in expect.documents),
            facts=expect.spellings,
        )


def of_house(house: HousePolicy) -> Iterator[Seed]:
    """Yields the house's own examples of what calls for a person, a question back or a refusal."""
    for name, reason in house.reasons.items():
        for n, example in enumerate(reason.examples, start=1):
            ref = f"{name}-{n}"
            yield Seed("house", ref, example, "ESCALATE", team=reason.team, reason=name)
    for n, example in enumerate(house.vague_examples, start=1):
        yield Seed("house", f"vague-{n}", example, "CLARIFY")
    for n, example in enumerate(house.off_topic_examples, start=1):
        yield Seed("house", f"off-topic-{n}", example, "DECLINE")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Reply(_Model):
    action: Action
    text: StrictStr
    team: StrictStr = ""
    reason: StrictStr = ""


class Dialogue(_Model):
    """A conversation whose last reply people approved; `[n]` of it means `documents[n-1]`."""

    id: StrictStr
    audience: StrictStr = "public"
    locale: StrictStr = ""
    history: tuple[CaseTurn, ...] = ()
    question: StrictStr
    documents: tuple[StrictStr, ...] = ()
    reply: _Reply
    source: Literal["agent", "model"] = "agent"

    @model_validator(mode="after")
    def _marked(self) -> Self:
        if stray := [n for n in marks(self.reply.text) if not 1 <= n <= len(self.documents)]:
            raise ValueError(f"the reply cites [{stray[0]}], which is none of `documents`")
        if (self.reply.action == "ESCALATE") != bool(self.reply.team and self.reply.reason):
            raise ValueError("`team` and `reason` are given with ESCALATE, and only with it")
        return self

    def seed(self) -> Seed:
        cites = {n: Cite(document) for n, document in enumerate(self.documents, start=1)}
        return Seed(
            "dialogue",
            self.id,
            self.question,
            self.reply.action,
            self.history,
            (self.audience,),
            self.locale,
            self.reply.team,
            self.reply.reason,
            self.reply.text,
            cites,
            tuple(cites.values()),
        )


def of_dialogues(path: Path) -> list[Seed]:
    """Returns the dialogues of a file, or of every `*.yaml` of a folder, by name. Raises NotFound,
    or InvalidInput naming the file, the dialogue, the key and what is wrong."""
    if path.is_dir():
        if not (files := sorted(path.glob("*.yaml"))):
            raise NotFound(f"There are no dialogues in {path}. Put YAML files of them there.")
        return [seed for file in files for seed in of_dialogues(file)]
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There are no dialogues at {path}. Give a YAML file of them.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, list):
        raise InvalidInput(f"{path} must be a list of dialogues, each starting with `- id:`.")
    seeds = []
    for number, value in enumerate(data, start=1):
        try:
            seeds.append(Dialogue.model_validate(value).seed())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the dialogue"
            raise InvalidInput(f"{path}: dialogue {number}: {where}: {first['msg']}") from error
    return seeds


async def of_feedback(client: AnswerClient) -> list[Seed | str]:
    """Answers that people rated up; why one cannot be used in its place."""
    return [await _approved(client, rated["answer_id"]) for rated in await client.approved()]


async def of_agents(client: AnswerClient) -> list[Seed | str]:
    """Returns the latest reply of a person to each hand-over; why one cannot be used in its
    place."""
    latest = {reply["handoff_id"]: reply for reply in await client.replies()}
    seeds: list[Seed | str] = []
    for reply in latest.values():
        if reply["answer_id"] is None:
            seeds.append("nothing was asked before the hand-over")
            continue
        asked = await _approved(client, reply["answer_id"])
        if isinstance(asked, str):
            seeds.append(asked)
            continue
        cites = {n: Cite(key) for n, key in enumerate(reply["documents"], start=1)}
        seeds.append(
            Seed(
                "agent",
                reply["handoff_id"],
                asked.question,
                reply["action"],
                asked.history,
                asked.audience,
                asked.locale,
                reply["team"] or "",
                reply["reason"] or "",
                reply["text"],
                cites,
                tuple(cites.values()),
            )
        )
    return seeds


async def of_pinned(client: AnswerClient) -> list[Seed | str]:
    """Answers that people pinned to a question, as far as they are said today."""
    seeds: list[Seed | str] = []
    for each in await client.pinned():
        cites = {c["n"]: Cite(c["document"], c["quote"]) for c in each["citations"]}
        seeds.append(
            Seed(
                "pinned",
                each["id"],
                each["question"],
                "ANSWER",
                audience=tuple(each["audience"]) or ("public",),
                locale=each["locale"],
                text=each["text"],
                cites=cites,
                gold=tuple(cites.values()),
            )
        )
    return seeds


async def _approved(client: AnswerClient, id: str) -> Seed | str:
    """Returns an answer on record as a seed, with the conversation before it."""
    record = await client.record(id)
    answer = record["answer"]
    turns: list[CaseTurn] = []
    for turn in (await client.conversation(answer["conversation_id"]))["turns"]:
        if turn["answer"]["answer_id"] == id:
            break
        turns.append(CaseTurn(role="user", text=turn["question"]))
        turns.append(CaseTurn(role="assistant", text=turn["answer"]["text"]))
    if not turns and record["standalone"] != record["question"]:
        return CLOSED_HISTORY
    escalation = answer["escalation"] or {}
    cites = {each["n"]: Cite(each["document"], each["quote"]) for each in answer["citations"]}
    return Seed(
        "feedback",
        id,
        record["question"],
        answer["action"],
        tuple(turns),
        tuple(record["audience"]) or ("public",),
        record["locale"],
        escalation.get("team", ""),
        escalation.get("reason", ""),
        judged(answer["text"], record["signals"].get(OURS, ())),
        cites,
        tuple(cites.values()),
    )
