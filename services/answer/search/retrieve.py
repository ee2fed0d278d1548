"""Retrieve: what the sources hold on the question, in the versions that apply."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.answer.contract import Candidate, Found, Question
from services.answer.search.asks import bare
from services.answer.search.condense import asks_what_changed, refers, weigh
from twofold.index.contract import Chunk, Hit, SparseVector
from twofold.index.sparse import Bm25Encoder
from twofold.ledger import hidden_from, versions_at
from twofold.stack import Stack
from twofold.text.languages import base

DEPTH = 30
"""Hits taken from each ranking before fusion."""
KEPT = 20
"""Candidates handed on."""
TRUSTED_HITS = 5
FULL_TRUST = 1.6
"""Keyword search counts in full once a hit holds 1/1.6 of the question's terms. On the tune half of
the example suite 1.0 and 1.3 were lower in Recall@6, 1.6 as good as plain fusion; questions that
share no content word with their answer gained .17 in Recall@6."""
KEYWORDS = 0.7
"""What the best keyword score weighs against the best cosine, at full trust (tune halves of the
example suite and of doc2dial; flat between .6 and 1)."""
OTHER_LOCALE = 0.35
"""Taken off a chunk in another language than the question's (fused scores lie in 0..1.7)."""
RULE_OF_THE_DAY = 0.4
"""Added to policies when the question is about another day: articles describe today."""
SAME_PAGE = 0.3
"""Added to what the last answer cites, for a message that refers to it."""
AGEING = 0.05
"""Taken off a release note for every year of its age, up to OLD_YEARS, unless the question asks
what changed: of two that fit as well, the newer comes first. On the tune half of the example suite
0 to .1 differ by one question."""
OLD_YEARS = 4.0
YEAR_S = 365.25 * 86_400


def retrieve(question: Question, stack: Stack, scale: float = 1.0) -> Found:
    """Searches under the question's scope by vectors and by keywords, fuses both and returns at
    most KEPT candidates.

    What only one of the two found is scored by the other as well: taken for nothing, a passage
    just below one list lost to the last of it (Recall@10 on doc2dial, last turn alone: .631 ->
    .645).
    """
    vector, keywords = encode(question, stack, scale)
    dense, sparse = stack.index.search(vector, keywords, question.scope, DEPTH)
    versions = applying(stack, [hit.chunk for hit in (*dense, *sparse)], question)
    fresh = [[hit for hit in hits if hit.chunk.id in versions] for hits in (dense, sparse)]
    stale = len(dense) + len(sparse) - len(fresh[0]) - len(fresh[1])
    trust = KEYWORDS * keyword_trust(stack.sparse, fresh[1], keywords, question.locale)
    cosine, bm25 = ({hit.chunk.id: hit.score for hit in hits} for hits in fresh)
    others = stack.index.score(
        vector, keywords, question.scope, list(bm25.keys() - cosine), list(cosine.keys() - bm25)
    )
    chunks = {hit.chunk.id: hit.chunk for hits in fresh for hit in hits}
    candidates = rank(chunks, cosine | others[0], bm25 | others[1], versions, question, trust)
    return Found(candidates, vector, keywords, stale)


def score(question: Question, chunks: Sequence[Chunk], stack: Stack) -> Found:
    """Returns the given chunks of the index as a search would have found them, the KEPT best of
    them."""
    vector, keywords = encode(question, stack)
    ids = [chunk.id for chunk in chunks]
    cosine, bm25 = stack.index.score(vector, keywords, question.scope, ids, ids)
    known = {chunk.id: chunk for chunk in chunks if chunk.id in cosine}
    hits = [
        Hit(known[id], bm25[id]) for id in sorted(bm25, key=lambda id: -bm25[id]) if id in known
    ]
    trust = KEYWORDS * keyword_trust(stack.sparse, hits, keywords, question.locale)
    versions = {chunk.id: chunk.since for chunk in chunks}
    candidates = rank(known, cosine, bm25, versions, question, trust)
    return Found(candidates, vector, keywords)


def encode(
    question: Question, stack: Stack, scale: float = 1.0
) -> tuple[npt.NDArray[np.float32], SparseVector]:
    """Encodes the message and, by their weights, the turns before it: a dense vector (d,) and a
    sparse one."""
    said = weigh(bare(question.asked), question.history, scale)
    weights = np.array([each.weight for each in said], np.float32)
    vector = weights @ stack.embedder.embed([each.text for each in said])
    terms: dict[int, float] = {}
    for text, weight in said:
        for term, value in zip(*stack.sparse.query(text, question.locale), strict=True):
            terms[term] = terms.get(term, 0.0) + weight * value
    return vector / np.linalg.norm(vector), SparseVector(list(terms), list(terms.values()))


def applying(stack: Stack, chunks: Sequence[Chunk], question: Question) -> dict[str, int]:
    """Returns, by chunk id, the document version that the chunk is read at; chunks of no version
    that applies are absent.

    The ledger decides, not the index: between a flip and the prune that follows it the index
    still holds what is gone. Asked about another day, policies are read as they stood then;
    articles and release notes describe the product of today. A policy that the asker may not
    read as it stands today is not read as it stood then either; and a note on a release of a
    later day says nothing of that day.
    """
    as_of = question.as_of
    ids = {chunk.document for chunk in chunks}
    with stack.ledger.connection() as connection:
        live = versions_at(connection, list(ids), None)
        policies = {chunk.document for chunk in chunks if chunk.kind == "policy"}
        if as_of is not None and policies:
            then = versions_at(connection, list(policies), as_of)
            changed = {id: live[id] for id, number in then.items() if number != live[id]}
            hidden = hidden_from(connection, changed, question.scope.visible_to)
            then = {id: number for id, number in then.items() if id not in hidden}
            live = {id: number for id, number in live.items() if id not in policies} | then
    return {
        chunk.id: live[chunk.document]
        for chunk in chunks
        if chunk.document in live
        and chunk.since <= live[chunk.document] < chunk.until
        and not (as_of is not None and chunk.kind == "release_note" and chunk.updated_at > as_of)
    }


def keyword_trust(
    sparse: Bm25Encoder, hits: Sequence[Hit], question: SparseVector, locale: str
) -> float:
    """Returns how much keyword search counts (0..1), by the share of the terms that its best hits
    hold.

    A question in other words than its answer still has a best keyword hit, about something else.
    """
    weights = dict(zip(*question, strict=True))
    whole = sum(weights.values()) or 1.0
    held = (sparse.terms(hit.chunk.embedded_text, locale) for hit in hits[:TRUSTED_HITS])
    share = max((sum(weights.get(term, 0.0) for term in h) / whole for h in held), default=0.0)
    return min(1.0, FULL_TRUST * share)


def rank(
    chunks: Mapping[str, Chunk],
    cosine: Mapping[str, float],
    bm25: Mapping[str, float],
    versions: Mapping[str, int],
    question: Question,
    trust: float = 1.0,
) -> tuple[Candidate, ...]:
    """Fuses the two scores of each chunk, each as a share of the best one, then applies the
    priors; best first. `trust` is the weight of the keywords; meaning weighs 1."""
    best_cosine = max(cosine.values(), default=0.0)
    best_bm25 = max(bm25.values(), default=0.0)
    news = asks_what_changed(question.standalone)
    cited = _cited(question)
    scored = []
    for id, chunk in chunks.items():
        fused = 0.0
        if best_cosine > 0:
            fused += cosine.get(id, 0.0) / best_cosine
        if best_bm25 > 0:
            fused += trust * bm25.get(id, 0.0) / best_bm25
        prior = 0.0 if base(chunk.locale) == base(question.locale) else -OTHER_LOCALE
        if question.as_of is not None and chunk.kind == "policy":
            prior += RULE_OF_THE_DAY
        if chunk.document in cited:
            prior += SAME_PAGE
        if chunk.kind == "release_note" and not news:
            years = max(0.0, question.scope.as_of - chunk.updated_at) / YEAR_S
            prior -= AGEING * min(years, OLD_YEARS)
        scored.append((fused + prior, id, fused))
    scored.sort(key=lambda each: (-each[0], each[1]))
    return tuple(
        Candidate(
            chunk=chunks[id],
            version=versions[id],
            dense=cosine.get(id, 0.0),
            keywords=bm25.get(id, 0.0),
            fused=fused,
            score=score,
        )
        for score, id, fused in scored[:KEPT]
    )


def _cited(question: Question) -> frozenset[str]:
    about_it = question.history and question.leans and refers(question.asked)
    return question.history[-1].documents if about_it else frozenset()
