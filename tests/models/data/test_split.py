"""No document, conversation or near-duplicate stands on both sides."""

import random

from models.data.rows import Row
from models.data.split import alike, grouped, halves, on_alike_passages, opening, ties
from models.suite.suite import CaseTurn
from tests.models.data.test_change import row

WORDS = [f"word{n}" for n in range(400)]


def varied(n: int, rng: random.Random, document: str) -> Row:
    text = " ".join(rng.choices(WORDS, k=60))
    question = " ".join(rng.choices(WORDS, k=9))
    made = row(text=text, target=f"{text[:40]} [1]", question=question)
    moved = made.documents[0].model_copy(update={"document": document})
    return made.model_copy(update={"id": f"suite:r{n}", "ref": f"r{n}", "documents": (moved,)})


def test_what_belongs_together_stays_on_one_side() -> None:
    rng = random.Random(3)
    rows = [varied(n, rng, f"help/{n % 60}.md") for n in range(150)]
    for n in range(40):  # near-duplicates on other documents, and conversations that go on
        text = rows[n].question + " more"
        near = rows[n].model_copy(update={"id": f"suite:near{n}", "question": text})
        moved = near.documents[0].model_copy(update={"document": f"help/near{n}.md"})
        rows.append(near.model_copy(update={"documents": (moved,)}))
        turn = CaseTurn(role="user", text=rows[n + 40].question.upper())
        on = varied(900 + n, rng, f"help/{900 + n}.md")
        rows.append(on.model_copy(update={"history": (turn,)}))
    train, held = halves(rows, 0.2, seed=7)
    assert 0.1 < len(held) / len(rows) <= 0.2
    assert {r.id for r in train} | {r.id for r in held} == {r.id for r in rows}
    assert not {t for r in train for t in ties(r)} & {t for r in held for t in ties(r)}
    assert not {opening(r) for r in train} & {opening(r) for r in held}
    both = [*train, *held]
    for one, other in (*alike(both), *on_alike_passages(both)):
        assert (one < len(train)) == (other < len(train))
    assert halves(rows, 0.2, seed=7) == (train, held)


def test_rows_that_only_sound_of_one_subject_are_apart() -> None:
    rng = random.Random(4)
    rows = [varied(n, rng, f"help/{n}.md") for n in range(30)]
    assert len(grouped(rows)) == 30
