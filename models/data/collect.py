"""From seeds to rows: ask the service what it packs for each question, and say what is due."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from models.data.plan import DatasetPlan
from models.data.rows import Document, Row
from models.data.seeds import Cite, Seed
from models.data.sentences import RowPassages
from models.data.target import GOLD_NOT_PACKED, NOT_HELD, ServiceReply, cited_anew, target
from models.suite.client import AnswerClient
from models.suite.suite import CaseTurn
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest
from twofold.redact import redact
from twofold.reply import OURS, judged, strip_marks

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
    client: AnswerClient,
    seeds: Iterable[Seed | str],
    plan: DatasetPlan,
    progress: Callable[[int], None],
) -> Built:
    """Asks the service each seed's question, and make a row of what it packed. What was asked is
    deleted again. Raises UpstreamError.

    Where the packed passages do not hold a reply that people wrote, those that do take the place of
    the last: what to write for the right passages is a matter of behaviour, also where retrieval
    does not find them yet.
    """
    built = Built()
    seen: set[tuple[str, str, str]] = set()
    for done, seed in enumerate(seeds, start=1):
        progress(done)
        if isinstance(seed, str):
            built.left_out[seed] += 1
            continue
        asked = await _ask(client, seed.body())
        built.fingerprint, locale = asked.record["fingerprint"], asked.record["locale"]
        key = (seed.question.strip().lower(), repr(seed.history), locale)
        if key in seen:
            built.left_out[AGAIN] += 1
            continue
        if not asked.whole:
            built.left_out[NOT_WHOLE] += 1
            continue
        documents = asked.documents
        answered = _answered(asked)
        made = target(seed, answered, RowPassages(documents, locale), plan.house, locale)
        if made in (GOLD_NOT_PACKED, NOT_HELD) and seed.text:
            body = {"message": strip_marks(seed.text), "audience": list(seed.audience)}
            held = await _ask(client, body | ({"locale": seed.locale} if seed.locale else {}))
            rng = random.Random(f"{plan.seed}:{seed.ref}")  # noqa: S311  not a secret
            documents = _with_what_holds(seed, documents, held.documents, locale, rng)
            made = target(seed, answered, RowPassages(documents, locale), plan.house, locale)
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
            locale=locale,
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


class _Asked(NamedTuple):
    answer: Mapping[str, Any]
    record: Mapping[str, Any]
    documents: tuple[Document, ...]
    whole: bool
    """Whether these are all the passages that were packed."""


async def _ask(client: AnswerClient, body: dict[str, Any]) -> _Asked:
    answer = await client.chat(body)
    record = await client.record(answer["answer_id"])
    packed = await client.packed(answer["answer_id"])
    await client.forget(answer["conversation_id"])
    documents = tuple(Document(**passage) for passage in packed["passages"])
    return _Asked(answer, record, documents, len(documents) == packed["packed"])


def _with_what_holds(
    seed: Seed,
    packed: Sequence[Document],
    found: Sequence[Document],
    locale: str,
    rng: random.Random,
) -> tuple[Document, ...]:
    """Returns those of `found` that hold the reply, and as many of `packed` as then have room,
    in any order."""
    said = cited_anew(seed.text, seed.cites, RowPassages(found, locale))
    marks = set() if isinstance(said, str) else {mark for _, mark in said}
    needed = [document for document in found if document.n in marks]
    known = {document.chunk for document in needed}
    others = [document for document in packed if document.chunk not in known]
    chosen = [*needed, *others[: max(0, len(packed) - len(needed))]]
    rng.shuffle(chosen)
    return tuple(document.model_copy(update={"n": n}) for n, document in enumerate(chosen, 1))


def _answered(asked: _Asked) -> ServiceReply:
    answer = asked.answer
    cites = {each["n"]: Cite(each["document"], each["quote"]) for each in answer["citations"]}
    text = judged(answer["text"], asked.record["signals"].get(OURS, ()))
    return ServiceReply(answer["action"], text, cites)


def _masked(row: Row, house: HousePolicy) -> Row:
    """Returns the row without what is personal in what people wrote; what our own documents
    print stays."""
    public = "\n".join((*(d.text for d in row.documents), house.model_dump_json()))
    return row.model_copy(
        update={
            "question": redact(row.question, public),
            "history": tuple(
                CaseTurn(role=t.role, text=redact(t.text, public)) for t in row.history
            ),
            "target": redact(row.target, public),
        }
    )
