"""What retrieval finds for a case, with and without the pages that answer it."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from services.answer.contract import Found, Question, Turn
from services.answer.search.condense import condense
from services.answer.search.retrieve import retrieve, score
from tools.fit.corpora import Case
from twofold.index.contract import Hit, Index, Scope, SparseVector
from twofold.stack import Stack

Kind = Literal["answerable", "gap", "foreign"]
"""A question that the corpus answers; one about its subject that it does not; one of another."""

DEEPER = 60
"""Hits searched beyond what is asked for, so that as many are left without the pages taken out."""


class Row(NamedTuple):
    """One search: what was asked and found, and what the question is to this corpus."""

    question: Question
    found: Found
    kind: Kind
    cluster: str


@dataclass(frozen=True, slots=True)
class Without:
    """An index from which some documents are missing. Only what `retrieve` calls is there."""

    index: Index
    documents: frozenset[str]

    def search(
        self, dense: npt.NDArray[np.float32], sparse: SparseVector, scope: Scope, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        by_meaning, by_words = self.index.search(dense, sparse, scope, limit + DEEPER)
        return self._left(by_meaning)[:limit], self._left(by_words)[:limit]

    def score(
        self,
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        scope: Scope,
        by_meaning: Sequence[str],
        by_words: Sequence[str],
    ) -> tuple[dict[str, float], dict[str, float]]:
        return self.index.score(dense, sparse, scope, by_meaning, by_words)

    def _left(self, hits: Sequence[Hit]) -> list[Hit]:
        return [hit for hit in hits if hit.chunk.key.partition("/")[2] not in self.documents]


def rows(stack: Stack, cases: Sequence[Case]) -> Iterator[Row]:
    """Two rows for a case with known pages, one for a case without."""
    for case in cases:
        question = asked(case, stack)
        found = retrieve(question, stack)
        yield Row(question, found, "answerable" if case.gold else "gap", case.cluster)
        if case.gold:
            left = replace(stack, index=Without(stack.index, case.gold))  # type: ignore[arg-type]
            yield Row(question, retrieve(question, left), "gap", case.cluster)


def foreign_rows(stack: Stack, cases: Sequence[Case]) -> Iterator[Row]:
    """The questions of other corpora, put to this one."""
    for case in cases:
        question = asked(case, stack)
        yield Row(question, retrieve(question, stack), "foreign", case.cluster)


def given_rows(stack: Stack, cases: Sequence[Case]) -> Iterator[Row]:
    """Each question with passages that nobody searched for: such as answer, beside others for every
    second question, and such as do not."""
    chunks = defaultdict(list)
    for chunk in stack.index.retrieve(list(stack.index.ids(stack.settings.workspace))):
        chunks[chunk.key.partition("/")[2]].append(chunk)
    for number, case in enumerate(cases):
        question = asked(case, stack)
        beside = case.not_by if number % 2 else frozenset()
        for kind, documents in (("answerable", case.gold | beside), ("gap", case.not_by)):
            if documents and (kind == "gap" or case.gold):
                own = [chunk for id in sorted(documents) for chunk in chunks[id]]
                found = score(question, own, stack)
                yield Row(question, found, cast("Kind", kind), case.cluster)


def asked(case: Case, stack: Stack) -> Question:
    history = tuple(Turn(turn.role, turn.text) for turn in case.history)
    return Question(
        asked=case.question,
        standalone=condense(case.question, history),
        locale="en",
        scope=Scope(stack.settings.workspace, int(time.time())),
        as_of=None,
        history=history,
    )
