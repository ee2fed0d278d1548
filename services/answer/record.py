"""Last step: the answer's record, and the outbox row of a handoff, in one transaction."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, insert, select, update

from services.answer.contract import (
    Ask,
    Candidate,
    Decision,
    Draft,
    Found,
    Question,
    Turn,
    Verified,
)
from services.answer.events import Answered
from twofold import metrics
from twofold.errors import NotFound, Unavailable
from twofold.index import PUBLIC
from twofold.ledger import Ledger, versions_at
from twofold.ledger.models import Answer, Citation, Conversation, Handoff
from twofold.reply import ACTIONS, Escalation

SLOW = "The ledger took too long. Ask again in a moment."
REMEMBERED = 20
"""Turns of a conversation that are read back."""


def recall(ledger: Ledger, ask: Ask) -> tuple[Turn, ...]:
    """Earlier turns that the asker may see, oldest first: what was answered for staff is no memory
    for a customer. Raises NotFound for a conversation of nobody, or of others."""
    if ask.conversation_id is None:
        return ask.history
    with ledger.session() as session:
        conversation = session.get(Conversation, ask.conversation_id)
        if conversation is None or conversation.workspace != ask.workspace:
            raise NotFound(
                f"There is no conversation {ask.conversation_id!r}. Leave `conversation_id` out to"
                " start one."
            )
        rows = session.execute(
            select(
                Answer.question,
                Answer.text,
                Answer.action,
                Answer.team,
                Answer.reason,
                Answer.audience,
            )
            .where(Answer.conversation_id == conversation.id)
            .order_by(Answer.created_at.desc())
            .limit(REMEMBERED)
        ).all()
    visible = ask.audiences | {PUBLIC}
    turns: list[Turn] = []
    for question, text, action, team, reason, audience in reversed(rows):
        if not visible.issuperset(audience):
            continue
        turns.append(Turn("user", question))
        known = next(name for name in ACTIONS if name == action)
        to = Escalation(team, reason) if team and reason else None
        turns.append(Turn("assistant", text, known, to))
    return tuple(turns)


def record(
    ledger: Ledger,
    ask: Ask,
    question: Question,
    found: Found,
    packed: Sequence[Candidate],
    draft: Draft | None,
    verified: Verified,
    decision: Decision,
    answered: Answered,
    fingerprint: str,
    until: float,
) -> None:
    """Raises Unavailable past `until` (time.monotonic): the asker has been refused by then, and
    will ask again; what was written is taken back."""
    now = time.time()
    # Statements of Core: the mapped classes took half of the milliseconds that recording costs.
    with ledger.engine.begin() as connection:
        _conversation(connection, ask, answered.conversation_id, now)
        connection.execute(
            insert(Answer),
            {
                "id": answered.answer_id,
                "workspace": ask.workspace,
                "conversation_id": answered.conversation_id,
                "created_at": now,
                "question": question.asked,
                "standalone": question.standalone,
                "audience": sorted(ask.audiences),
                "locale": question.locale,
                "as_of": question.scope.as_of,
                "action": decision.action,
                "team": decision.escalation.team if decision.escalation else None,
                "reason": decision.escalation.reason if decision.escalation else None,
                "text": answered.text,
                "served_by": answered.served_by,
                "profile": draft.profile if draft else "none",
                "prompt_tokens": draft.prompt_tokens if draft else 0,
                "completion_tokens": draft.completion_tokens if draft else 0,
                "fingerprint": fingerprint,
                "retrieved": [_scores(c) for c in (*found.candidates, *found.overruled)],
                "packed": [c.chunk.id for c in packed],
                "verdicts": [asdict(v) for v in verified.verdicts],
                "signals": decision.signals | _about(decision, found),
                "timings": {step: round(s * 1000, 3) for step, s in answered.timings.items()},
            },
        )
        if answered.citations:
            connection.execute(
                insert(Citation),
                [{"answer_id": answered.answer_id, **asdict(c)} for c in answered.citations],
            )
        superseded = not ask.evaluation and _superseded(connection, answered)
        if decision.action == "ESCALATE" and decision.escalation and not ask.evaluation:
            team = decision.escalation.team
            packet = {
                "question": question.asked,
                "why": decision.why,
                "locale": question.locale,
                "follows": _followed(connection, answered.conversation_id, team),
            }
            connection.execute(
                insert(Handoff),
                {
                    "id": str(uuid4()),
                    "workspace": ask.workspace,
                    "conversation_id": answered.conversation_id,
                    "answer_id": answered.answer_id,
                    "team": team,
                    "reason": decision.escalation.reason,
                    "state": "pending",
                    "packet": packet,
                    "created_at": now,
                },
            )
        if time.monotonic() > until:
            raise Unavailable(SLOW)
    metrics.KNOWLEDGE_SUPERSEDED.inc(superseded)


def _conversation(connection: Connection, ask: Ask, id: str, now: float) -> None:
    """There from its first answer on; and again, where it was deleted while this one was made."""
    if ask.conversation_id is not None:
        known = update(Conversation).where(Conversation.id == id).values(last_at=now)
        if connection.execute(known).rowcount:
            return
    row = {"id": id, "workspace": ask.workspace, "customer": ask.customer}
    connection.execute(insert(Conversation), {**row, "created_at": now, "last_at": now})


def _followed(connection: Connection, conversation: str, team: str) -> str | None:
    """The handoff by which the team has the conversation already."""
    return connection.scalar(
        select(Handoff.id)
        .where(Handoff.conversation_id == conversation, Handoff.team == team)
        .order_by(Handoff.created_at)
        .limit(1)
    )


def _superseded(connection: Connection, answered: Answered) -> bool:
    """Whether a version that is cited has ceased to apply since it was found."""
    cited = {(each.document_id, each.version) for each in answered.citations}
    documents = list({document for document, _ in cited})
    applying = set(versions_at(connection, documents, None).items()) if documents else set()
    if answered.as_of is not None and not cited <= applying:
        applying |= set(versions_at(connection, documents, answered.as_of).items())
    return not cited <= applying


def _about(decision: Decision, found: Found) -> dict[str, Any]:
    about: dict[str, Any] = {"why": decision.why, "stale": found.stale}
    if found.overruled:
        about["overruled"] = [candidate.chunk.id for candidate in found.overruled]
    return about


def _scores(candidate: Candidate) -> dict[str, Any]:
    return {
        "chunk": candidate.chunk.id,
        "document": candidate.chunk.key,
        "version": candidate.version,
        "dense": round(candidate.dense, 4),
        "keywords": round(candidate.keywords, 4),
        "fused": round(candidate.fused, 4),
        "score": round(candidate.score, 4),
    }
