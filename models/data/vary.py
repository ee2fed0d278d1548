"""What is made of rows: other facts, answers taken away, no documents at all; at stated shares."""

import random
from collections.abc import Callable, Iterable, Sequence

from models.data.change import changed
from models.data.plan import DatasetPlan
from models.data.rows import MADE, Document, Row
from models.data.sentences import RowPassages, sentences
from models.data.target import gap
from models.suite.facts import says
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.reply import marks, renumbered


def varied(rows: Sequence[Row], plan: DatasetPlan) -> list[Row]:
    """Returns the rows of one split with those made of them, at the shares that the plan wants."""
    answering = [row for row in rows if kind_of(row) == "answer"]
    copies = _distinct(
        FORMS[n % len(FORMS)](copy)
        for row in answering
        for n in range(1, plan.copies + 1)
        if (copy := changed(row, n, plan.seed)) is not None and _held(copy)
    )
    rng = random.Random(plan.seed)  # noqa: S311  not a secret
    sources = [*answering, *copies]
    made = {
        "not_in_sources": _distinct(
            left for row in sources if (left := _without_gold(row, plan.house))
        ),
        "closed": [_closed(row, plan.house) for row in answering],
    }
    kept = {kind: [r for r in rows if kind_of(r) == kind] for kind in (*plan.wanted, "answer")}
    kept["answer"] += copies
    whole = len(kept["answer"]) / max(0.01, 1 - sum(plan.wanted.values()))
    chosen = set()
    for kind, share in plan.wanted.items():
        room = round(share * whole)
        # Rows of people come first; the house's examples and made rows fill up.
        own = [row for row in kept[kind] if row.origin != "house"]
        more = [row for row in kept[kind] if row.origin == "house"]
        spare = made.get(kind, [])
        rng.shuffle(more)
        rng.shuffle(spare)
        chosen |= {row.id for row in [*own, *[*more, *spare][: max(0, room - len(own))]]}
    every = [*rows, *copies, *made["not_in_sources"], *made["closed"]]
    final = [row for row in every if row.id in chosen or kind_of(row) == "answer"]
    final.sort(key=lambda row: (row.parent, row.id))
    return [rendered(row, plan.house) for row in final]


def _distinct(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows without those that ask the same with the same passages: a change may hit
    the same number twice, and with its answer gone a row may be left with what its copies are
    left with."""
    return list({(row.question, row.history, row.documents): row for row in rows}.values())


def kind_of(row: Row) -> str:
    """Returns `answer`, `clarify`, `decline`, `escalate` (to a person), `not_in_sources` or
    `closed`."""
    if row.made == "closed":
        return "closed"
    if row.expected.reason == NOT_IN_SOURCES:
        return NOT_IN_SOURCES
    return row.expected.action.lower()


def rendered(row: Row, house: HousePolicy) -> Row:
    return row.model_copy(update={"messages": row.rendered(house)})


def _held(row: Row) -> bool:
    """Returns whether each sentence still stands in what it cites, after numbers were changed."""
    passages = RowPassages(row.documents, row.locale)
    return all(passages.hold(s.marks, s) for s in sentences(row.text) if s.marks)


def _gold_alone(row: Row) -> Row:
    """Returns the row with those documents alone that it cites, its marks following."""
    cited = sorted({n for n in marks(row.text) if 1 <= n <= len(row.documents)})
    new = {old: at for at, old in enumerate(cited, start=1)}
    if not new:
        return row
    kept = (row.documents[old - 1].model_copy(update={"n": at}) for old, at in new.items())
    return row.model_copy(
        update={
            "documents": tuple(kept),
            "target": renumbered(row.target, new),
            "gold": tuple(new[n] for n in row.gold if n in new),
        }
    )


def _quoted_alone(row: Row) -> Row:
    """Returns those documents alone that the row cites, each cut to what the reply says of it."""
    row = _gold_alone(row)
    said = sentences(row.text)
    texts = {d.n: "\n\n".join(s.text for s in said if d.n in s.marks) for d in row.documents}
    cut = (d.model_copy(update={"text": texts[d.n] or d.text}) for d in row.documents)
    return row.model_copy(update={"documents": tuple(cut)})


def _without_gold(row: Row, house: HousePolicy) -> Row | None:
    """Returns the same question with what answers it taken away; None where something still
    does."""
    gold = {row.documents[n - 1].document for n in row.gold}
    rest = [d for d in row.documents if d.document not in gold]
    passages = RowPassages(rest, row.locale)
    claims = [s for s in sentences(row.text) if passages.claims(s)]
    answered = any(passages.holder(s, passages.documents) for s in claims)
    stated = row.facts and all(
        any(says(passages.whole(n), fact) for n in passages.documents) for fact in row.facts
    )
    return None if answered or stated or not rest else _made(row, "gap", rest, house)


def _closed(row: Row, house: HousePolicy) -> Row:
    """Returns the same question asked with no documents at all."""
    return _made(row, "closed", (), house)


def _made(row: Row, how: str, documents: Sequence[Document], house: HousePolicy) -> Row:
    ref = f"{row.ref}{MADE}{how}"
    return row.model_copy(
        update={
            "id": f"{row.origin}:{ref}",
            "ref": ref,
            "documents": tuple(
                d.model_copy(update={"n": n}) for n, d in enumerate(documents, start=1)
            ),
            "target": gap(house),
            "gold": (),
            "facts": (),
        }
    )


FORMS: Sequence[Callable[[Row], Row]] = (lambda row: row, _quoted_alone, _gold_alone)
"""How much of the context a row keeps, and its first, second, ... changed copy, in turn."""
