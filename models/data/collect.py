"""From seeds to rows: ask the service what it packs for each question, and say what is due."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.data.plan import Plan
from models.data.rows import Document, Row
from models.data.seeds import Cite, Seed
from models.data.sentences import Passages
from models.data.target import Answered, target
from models.evaluate.client import AnswerClient
from models.evaluate.suite import Turn
from twofold.house import HousePolicy
from twofold.prompt import prompt_digest
from twofold.security import redact

NOT_WHOLE: Final = "a packed passage may not be shown any more"
AGAIN: Final = "the same question stands there already"


@dataclass(slots=True)
class Built:
    """Rows as they came, before any is varied; and why seeds gave none."""

    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    masked: int = 0
    fingerprint: str = ""


async def collect(
    client: AnswerClient, seeds: Iterable[Seed | str], plan: Plan, progress: Callable[[int], None]
) -> Built:
    """Ask the service each seed's question, and make a row of what it packed. What was asked is
    deleted again. Raises UpstreamError."""
    built = Built()
    seen: set[tuple[str, str, str]] = set()
    for done, seed in enumerate(seeds, start=1):
        progress(done)
        if isinstance(seed, str):
            built.left_out[seed] += 1
            continue
        answer = await client.chat(seed.body())
        record = await client.record(answer["answer_id"])
        packed = await client.packed(answer["answer_id"])
        await client.forget(answer["conversation_id"])
        built.fingerprint = record["fingerprint"]
        key = (seed.question.strip().lower(), repr(seed.history), record["locale"])
        if key in seen:
            built.left_out[AGAIN] += 1
            continue
        if len(packed["passages"]) < packed["packed"]:
            built.left_out[NOT_WHOLE] += 1
            continue
        documents = tuple(Document(**passage) for passage in packed["passages"])
        passages = Passages(documents, record["locale"])
        made = target(seed, _answered(answer), passages, plan.house, record["locale"])
        if isinstance(made, str):
            built.left_out[made] += 1
            continue
        seen.add(key)
        row = Row(
            id=f"{seed.origin}:{seed.ref}",
            origin=seed.origin,
            ref=seed.ref,
            messages=(),
            target=made.wire,
            documents=documents,
            history=seed.history,
            question=seed.question,
            locale=record["locale"],
            audience=",".join(seed.audience),
            profile=plan.profile,
            prompt=prompt_digest(plan.house, plan.profile),
            house=plan.house.digest,
            gold=made.gold,
            facts=seed.facts,
        )
        built.rows.append(masked := _masked(row, plan.house))
        built.masked += masked != row
    return built


def _answered(answer: Mapping[str, Any]) -> Answered:
    cites = {each["n"]: Cite(each["document"], each["quote"]) for each in answer["citations"]}
    return Answered(answer["action"], answer["text"], cites)


def _masked(row: Row, house: HousePolicy) -> Row:
    """Without what is personal in what people wrote; what our own documents print stays."""
    public = "\n".join((*(d.text for d in row.documents), house.model_dump_json()))
    return row.model_copy(
        update={
            "question": redact(row.question, public),
            "history": tuple(Turn(role=t.role, text=redact(t.text, public)) for t in row.history),
            "target": redact(row.target, public),
        }
    )
