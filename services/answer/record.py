"""Record: the answer, and the outbox row of a handoff, in one transaction."""

import time
from dataclasses import asdict
from threading import Event
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.orm import load_only, selectinload

from services.answer.access.objects import find_conversation, owned
from services.answer.contract import (
    Ask,
    Candidate,
    Decision,
    Draft,
    Found,
    Turn,
    Verified,
)
from services.answer.events import Answered
from services.answer.search import Searched
from twofold import metrics
from twofold.errors import NotFound, Unavailable
from twofold.index.contract import PUBLIC
from twofold.ledger import Ledger, tombstones, versions_at
from twofold.ledger.models import Answer, Citation, Conversation, Handoff
from twofold.reply import ACTIONS, Escalation

SLOW = "The ledger took too long. Ask again in a moment."
FAILED = "failed"
"""The signal of an answer without a search: what did not answer."""
REMEMBERED = 20
"""Turns of a conversation that are read back."""
SAID_LATELY_S = 86_400.0
"""A message of ours that is known by its text alone was said within a day."""

_TURN = load_only(
    Answer.question, Answer.text, Answer.action, Answer.team, Answer.reason, Answer.audience,
    Answer.consent, Answer.failed, Answer.choices, Answer.standalone,
)  # fmt: skip
_CITED = selectinload(Answer.citations).load_only(Citation.document_id)


def recall(ledger: Ledger, ask: Ask) -> tuple[Turn, ...]:
    """Returns the earlier turns that the asker may see, oldest first: what was answered for
    staff is not shown to a customer. Raises NotFound for a conversation of nobody, or of others."""
    if ask.conversation_id is None:
        return _known(ledger, ask)
    with ledger.session() as session:
        conversation = find_conversation(session, ask, ask.conversation_id, ask.customer)
        rows = session.scalars(
            select(Answer)
            .where(Answer.conversation_id == conversation.id)
            .order_by(Answer.created_at.desc())
            .limit(REMEMBERED)
            .options(_TURN, _CITED)
        ).all()
    visible = ask.audiences | {PUBLIC}
    seen = [row for row in reversed(rows) if visible.issuperset(row.audience)]
    return tuple(turn for row in seen for turn in turns_of(row))


def turns_of(answer: Answer) -> tuple[Turn, Turn]:
    """Returns a recorded question and its answer as two turns."""
    return Turn("user", answer.question, standalone=answer.standalone), _ours(answer)


def _known(ledger: Ledger, ask: Ask) -> tuple[Turn, ...]:
    """Returns the history that a caller sent, with the record of our last message in it: a "yes"
    must find the question that it answers. Without a record's name it is found by its text."""
    turns = list(ask.history)
    last = next((i for i in reversed(range(len(turns))) if turns[i].role == "assistant"), None)
    if last is None or turns[last].action is not None:
        return ask.history
    turn = turns[last]
    said = Answer.id == turn.answer_id
    if turn.answer_id is None:
        since = time.time() - SAID_LATELY_S
        asks_back = (Answer.action == "CLARIFY") | Answer.consent.is_not(None)
        said = asks_back & (Answer.created_at > since)
        said &= Answer.text == turn.text
    with ledger.session() as session:
        row = session.scalars(
            select(Answer)
            .join(Conversation, Conversation.id == Answer.conversation_id)
            .where(owned(ask), said)
            .order_by(Answer.created_at.desc())
            .limit(1)
            .options(_TURN, _CITED)
        ).first()
    if row is not None and (ask.audiences | {PUBLIC}).issuperset(row.audience):
        turns[last] = _ours(row)._replace(text=turn.text)
    return tuple(turns)


def _ours(answer: Answer) -> Turn:
    known = next(name for name in ACTIONS if name == answer.action)
    to = Escalation(answer.team, answer.reason) if answer.team and answer.reason else None
    return Turn(
        "assistant", answer.text, known, to,
        consent=answer.consent, failed=answer.failed, choices=tuple(answer.choices),
        documents=frozenset(citation.document_id for citation in answer.citations),
    )  # fmt: skip


def record(
    ledger: Ledger,
    ask: Ask,
    searched: Searched,
    draft: Draft | None,
    verified: Verified,
    decision: Decision,
    answered: Answered,
    fingerprint: str,
    until: float,
    refused: Event,
) -> None:
    """Raises Unavailable past `until` (time.monotonic), or once the asker was `refused`, and will
    ask again: what was written is taken back."""
    now, question, found = time.time(), searched.question, searched.found
    # Statements of Core: the mapped classes took half of the milliseconds that recording costs.
    with ledger.connection() as connection:
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
                "consent": decision.consent,
                "failed": decision.failed,
                "choices": list(decision.choices),
                "served_by": answered.served_by,
                "profile": draft.profile if draft else "none",
                "prompt_tokens": draft.prompt_tokens if draft else 0,
                "completion_tokens": draft.completion_tokens if draft else 0,
                "fingerprint": fingerprint,
                "retrieved": [_scores(c) for c in (*found.candidates, *found.overruled)],
                "packed": [c.chunk.id for c in searched.packed],
                "verdicts": [asdict(v) for v in verified.verdicts],
                "signals": {**decision.signals, **_about(decision, found)},
                "timings": {step: round(s * 1000, 3) for step, s in answered.timings.items()},
            },
        )
        if answered.citations:
            connection.execute(
                insert(Citation),
                [{"answer_id": answered.answer_id, **asdict(c)} for c in answered.citations],
            )
        handed_over = False
        superseded = not ask.evaluation and _superseded(connection, answered)
        if decision.action == "ESCALATE" and decision.escalation and not ask.evaluation:
            handed_over, team = True, decision.escalation.team
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
        if refused.is_set() or time.monotonic() > until:
            raise Unavailable(SLOW)
    metrics.KNOWLEDGE_SUPERSEDED.inc(superseded)
    metrics.HANDOFF_CREATED.labels("assistant").inc(handed_over)


def _conversation(connection: Connection, ask: Ask, id: str, now: float) -> None:
    """Creates the conversation with its first answer. Raises NotFound where it, or its customer,
    was deleted while this answer was made: then nothing is written."""
    marks = [tombstones.conversation_mark(ask.workspace, id)]
    if ask.customer is not None:
        marks.append(tombstones.customer_mark(ask.workspace, ask.customer))
    tombstones.lock(connection, marks)
    if ask.conversation_id is not None:
        values = {"last_at": now, "customer": func.coalesce(Conversation.customer, ask.customer)}
        known = update(Conversation).where(Conversation.id == id).values(values)
        gone = not connection.execute(known).rowcount
    else:
        row = {"id": id, "workspace": ask.workspace, "customer": ask.customer, "owner": ask.owner}
        connection.execute(insert(Conversation), {**row, "created_at": now, "last_at": now})
        gone = False
    if gone or tombstones.buried(connection, marks, ask.asked_at):
        raise NotFound("This conversation was deleted. Start a new one.")


def _followed(connection: Connection, conversation: str, team: str) -> str | None:
    """Returns the id of the handoff by which the team has the conversation already."""
    return connection.scalar(
        select(Handoff.id)
        .where(Handoff.conversation_id == conversation, Handoff.team == team)
        .order_by(Handoff.created_at)
        .limit(1)
    )


def _superseded(connection: Connection, answered: Answered) -> bool:
    """Returns whether a cited version has ceased to apply since it was found."""
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
