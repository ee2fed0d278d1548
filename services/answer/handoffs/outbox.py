"""Handing over to a person: asking for one, what that person gets to read, and the outbox."""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from services.answer.access.objects import find_conversation
from services.answer.record import FAILED
from twofold import metrics
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound
from twofold.ledger import Ledger
from twofold.ledger.models import Answer, Conversation, Feedback, Handoff
from twofold.ledger.service import Delivery, HandoffReply
from twofold.policy import NOT_IN_SOURCES, PERSON_REQUESTED, HousePolicy
from twofold.reply import strip_marks

OPEN: Final = ("pending", "delivered", "kept")
STATES: Final = (*OPEN, "failed")
MOST_TURNS: Final = 50
MOST_SOURCES: Final = 8


class PersonRequest(NamedTuple):
    """Somebody asks for a person, in a conversation or before there is one."""

    workspace: str
    conversation_id: str | None = None
    message: str = ""
    customer: str | None = None
    locale: str = ""
    contact: str = ""
    team: str | None = None
    owner: str = ""
    owns_all: bool = True
    key: str | None = None
    """What makes two requests the same one, where there is no conversation to tell."""


def request(ledger: Ledger, house: HousePolicy, wanted: PersonRequest) -> tuple[str, bool]:
    """Returns the handoff's id and whether it is new: the same request twice is one handoff.

    Raises NotFound for a conversation of nobody, InvalidInput for a team the house lacks.
    """
    if wanted.team is not None and wanted.team not in house.teams:
        raise InvalidInput(f"There is no team {wanted.team!r}: {', '.join(house.teams)}.")
    for _ in range(2):
        try:
            with ledger.session() as session:
                id, new = _request(session, house, wanted)
        except IntegrityError:
            continue  # the same request came through another door at the same time: it is there now
        metrics.HANDOFF_CREATED.labels("customer").inc(new)
        return id, new
    raise InvalidInput("This request could not be written down. Ask again.")


def _request(session: Session, house: HousePolicy, wanted: PersonRequest) -> tuple[str, bool]:
    now = time.time()
    last = held = None
    if wanted.conversation_id is None:
        conversation_id = str(_id(wanted.workspace, wanted.key) if wanted.key else uuid4())
    else:
        conversation_id = wanted.conversation_id
        find_conversation(session, wanted, conversation_id, wanted.customer)
        last = session.scalar(
            select(Answer.id)
            .where(Answer.conversation_id == conversation_id)
            .order_by(Answer.created_at.desc())
            .limit(1)
        )
        held = _held(session, house, conversation_id)
    before = session.scalar(
        select(Handoff)
        .where(Handoff.conversation_id == conversation_id, Handoff.state.in_(OPEN))
        .where(Handoff.answer_id.is_(last) if last is None else Handoff.answer_id == last)
        .limit(1)
    )
    if before is not None:
        before.closed_at = None
        return before.id, False
    if wanted.conversation_id is None:
        session.add(
            Conversation(
                id=conversation_id,
                workspace=wanted.workspace,
                customer=wanted.customer,
                owner=wanted.owner,
                created_at=now,
                last_at=now,
            )
        )
        session.flush()
    reason = PERSON_REQUESTED if PERSON_REQUESTED in house.reasons else NOT_IN_SOURCES
    id = str(_id(conversation_id, last or ""))
    team = wanted.team or (held.team if held else house.reasons[reason].team)
    session.add(
        Handoff(
            id=id,
            workspace=wanted.workspace,
            conversation_id=conversation_id,
            answer_id=last,
            team=team,
            reason=reason,
            state="pending",
            packet={
                "question": wanted.message,
                "why": "they asked for it",
                "locale": wanted.locale,
                "contact": wanted.contact,
                "follows": held.id if held and held.team == team else None,
            },
            created_at=now,
        )
    )
    return id, True


def _held(session: Session, house: HousePolicy, conversation_id: str) -> Handoff | None:
    """Returns the conversation's latest handoff that is grave, or since which nothing was
    answered."""
    answered = (
        select(func.max(Answer.created_at))
        .where(Answer.conversation_id == conversation_id, Answer.action == "ANSWER")
        .scalar_subquery()
    )
    return session.scalar(
        select(Handoff)
        .where(Handoff.conversation_id == conversation_id)
        .where(
            (Handoff.created_at > func.coalesce(answered, 0.0)) | Handoff.reason.in_(house.grave)
        )
        .order_by(Handoff.created_at.desc())
        .limit(1)
    )


def _id(*parts: str) -> Any:
    return uuid5(NAMESPACE_URL, "\n".join(("twofold:handoff", *parts)))


Sees = Callable[[Iterable[str]], bool]
"""Whether what was said to these audiences may be shown."""


def everything(_audiences: Iterable[str]) -> bool:
    return True


def packet(
    session: Session, handoff: Handoff, house: HousePolicy, sees: Sees = everything
) -> dict[str, Any]:
    """Returns all that a person needs to go on, of what they may see: nobody should have to ask
    the customer again."""
    conversation = session.get_one(Conversation, handoff.conversation_id)
    answers = session.scalars(
        select(Answer)
        .where(Answer.conversation_id == handoff.conversation_id)
        .order_by(Answer.created_at.desc())
        .limit(MOST_TURNS)
        .options(selectinload(Answer.citations))
    ).all()[::-1]
    answers = [row for row in answers if sees(row.audience)]
    rated = session.execute(
        select(Feedback.answer_id, Feedback.rating)
        .where(Feedback.answer_id.in_([row.id for row in answers]))
        .order_by(Feedback.id)
    )
    ratings = {row.answer_id: row.rating for row in rated}
    own, because = handoff.packet, _because(session, handoff, house)
    besides = _besides(session, handoff, house, sees)
    locale = own.get("locale") or (answers[-1].locale if answers else "") or house.locales[0]
    return {
        "handoff_id": handoff.id,
        "workspace": handoff.workspace,
        "conversation_id": handoff.conversation_id,
        "created_at": handoff.created_at,
        "customer": conversation.customer,
        "contact": own.get("contact", ""),
        "team": handoff.team,
        "reason": handoff.reason,
        "why": own.get("why", ""),
        "follows": own.get("follows"),
        "locale": locale,
        "reason_text": because,
        "summary": _summary(handoff, answers, because, besides),
        "transcript": [turn for row in answers for turn in _turns(row)] + _said(handoff, answers),
        "sources": _sources(answers),
        "tried": [
            {
                "question": row.question,
                "action": row.action,
                "why": row.signals.get("why", ""),
                "rating": ratings.get(row.id),
            }
            for row in answers
        ],
        "suggested_reply": _suggestion(answers),
    }


def _because(session: Session, handoff: Handoff, house: HousePolicy) -> str:
    """Returns why a person takes over, in words."""
    failed = _unsearched(session, handoff)
    if failed is not None:
        return f"the sources could not be searched ({failed}): they may answer it"
    reason = house.reasons.get(handoff.reason)
    return reason.when.strip() if reason else handoff.reason.replace("_", " ")


def _unsearched(session: Session, handoff: Handoff) -> str | None:
    """Returns what failed, where it was handed over because the sources could not be searched."""
    if handoff.reason != NOT_IN_SOURCES or handoff.answer_id is None:
        return None
    answer = session.get(Answer, handoff.answer_id)
    return None if answer is None else answer.signals.get(FAILED)


def _besides(session: Session, handoff: Handoff, house: HousePolicy, sees: Sees) -> list[str]:
    """Returns why else the conversation was handed over, before and since, each reason once."""
    of_this = Handoff.conversation_id == handoff.conversation_id
    query = select(Handoff, Answer.audience).where(of_this).order_by(Handoff.created_at)
    rows = session.execute(query.outerjoin(Answer, Answer.id == Handoff.answer_id))
    others = {row.reason: row for row, audience in rows if sees(audience or ())}
    return [
        f"{'Since then' if row.created_at > handoff.created_at else 'Before that'},"
        f" for {row.team}: {_because(session, row, house)}"
        for reason, row in others.items()
        if reason != handoff.reason
    ]


def _summary(
    handoff: Handoff, answers: Sequence[Answer], because: str, besides: Sequence[str]
) -> str:
    asked = handoff.packet.get("question") or (answers[-1].question if answers else "")
    lines = [f"For {handoff.team}: {because}", *besides]
    if asked:
        lines.append(f"Last message: {' '.join(asked.split())}")
    if len(answers) > 1:
        lines.append(f"It began with: {' '.join(answers[0].question.split())}")
    answered = sum(row.action == "ANSWER" for row in answers)
    lines.append(f"{counted(len(answers), 'question')} so far, {answered} answered.")
    return "\n".join(lines)


def _turns(row: Answer) -> list[dict[str, Any]]:
    return [
        {"role": "customer", "text": row.question, "at": row.created_at},
        {"role": "assistant", "text": row.text, "at": row.created_at},
    ]


def _said(handoff: Handoff, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Returns what was written with the request itself, unless it is an answer's question."""
    text = handoff.packet.get("question", "")
    if not text or any(row.id == handoff.answer_id and row.question == text for row in answers):
        return []
    return [{"role": "customer", "text": text, "at": handoff.created_at}]


def _sources(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in reversed(answers):
        for each in row.citations:
            found.setdefault(
                each.document,
                {"title": each.title, "url": each.url, "document": each.document},
            )
    for row in reversed(answers):
        for seen in row.retrieved[:3]:
            found.setdefault(
                seen["document"], {"title": "", "url": "", "document": seen["document"]}
            )
    return list(found.values())[:MOST_SOURCES]


def _suggestion(answers: Sequence[Answer]) -> str:
    """Returns the last answer given; else those sentences of a withheld one that the sources
    support."""
    for row in reversed(answers):
        if row.action == "ANSWER":
            return strip_marks(row.text)
        held = " ".join(v["sentence"] for v in row.verdicts if v.get("ok"))
        if held:
            return strip_marks(held)
    return ""


def gravity(house: HousePolicy, reason: str) -> int:
    """Returns how serious a reason is: 2 where the house calls it grave, 1 for a matter of its own,
    0 where a person is all that is wanted."""
    if reason in house.reasons and house.reasons[reason].grave:
        return 2
    return int(house.is_matter(reason))


class Listed(NamedTuple):
    handoff: Handoff
    gravity: int
    searched: bool
    replied: bool
    closed: bool
    deliveries: list[Delivery]
    packet: dict[str, Any]


def find(
    ledger: Ledger,
    house: HousePolicy,
    workspace: str,
    state: str | None = None,
    limit: int = 50,
    sees: Sees = everything,
    since: float = 0.0,
) -> list[Listed]:
    """Handoffs of a workspace that were made since then and may be seen, newest first."""
    query = select(Handoff, Answer.audience).where(Handoff.workspace == workspace)
    query = query.where(Handoff.created_at >= since)
    query = query.outerjoin(Answer, Answer.id == Handoff.answer_id)
    if state is not None:
        query = query.where(Handoff.state == state)
    with ledger.session() as session:
        rows = session.execute(query.order_by(Handoff.created_at.desc(), Handoff.id)).yield_per(200)
        seen = (row for row, audience in rows if sees(audience or ()))
        return [_listed(session, row, house, sees) for row in list(islice(seen, limit))]


def find_one(ledger: Ledger, house: HousePolicy, id: str, sees: Sees) -> Listed:
    """Returns one handoff, and of its conversation what the asker may see."""
    with ledger.session() as session:
        return _listed(session, session.get_one(Handoff, id), house, sees)


def _listed(session: Session, row: Handoff, house: HousePolicy, sees: Sees) -> Listed:
    deliveries = session.scalars(select(Delivery).where(Delivery.handoff_id == row.id))
    searched = _unsearched(session, row) is None
    kept = select(HandoffReply.id).where(HandoffReply.handoff_id == row.id).limit(1)
    replied = session.scalar(kept) is not None
    closed = replied or row.closed_at is not None
    told = packet(session, row, house, sees)
    grave = gravity(house, row.reason)
    return Listed(row, grave, searched, replied, closed, list(deliveries), told)


def close(row: Handoff) -> None:
    """Notes that a handoff is settled; asking for a person again opens it again."""
    row.closed_at = row.closed_at or time.time()


def retry(ledger: Ledger, workspace: str, id: str | None = None) -> int:
    """Makes dead deliveries (of one handoff, or all) due again with all their attempts, and
    returns how many."""
    with ledger.session() as session:
        mine = select(Handoff.id).where(Handoff.workspace == workspace)
        if id is not None:
            mine = mine.where(Handoff.id == id)
        ids = list(
            session.scalars(
                select(Delivery.handoff_id)
                .where(Delivery.state == "dead", Delivery.handoff_id.in_(mine))
                .distinct()
            )
        )
        if id is not None and not ids:
            raise NotFound(f"Handoff {id!r} has no delivery that gave up.")
        dead = (Delivery.handoff_id.in_(ids), Delivery.state == "dead")
        session.execute(
            update(Delivery).where(*dead).values(state="pending", attempts=0, next_attempt_at=0.0)
        )
        session.execute(update(Handoff).where(Handoff.id.in_(ids)).values(state="pending"))
    return len(ids)
