"""What people replied to customers who were handed over: kept, so that behaviour can learn it."""

import time
from itertools import islice
from typing import NamedTuple

from sqlalchemy import select

from services.answer.access.keys import Caller
from services.answer.access.objects import find_handoff
from twofold.counted import counted
from twofold.errors import InvalidInput
from twofold.ledger import Ledger
from twofold.ledger.models import Answer, Handoff
from twofold.ledger.service import HandoffReply
from twofold.policy import HousePolicy
from twofold.reply import Action, marks


class Wrote(NamedTuple):
    """A person's reply; `[n]` in `text` is `documents[n-1]`. `reason` goes with ESCALATE."""

    text: str
    documents: tuple[str, ...] = ()
    action: Action = "ANSWER"
    reason: str | None = None


class KeptReply(NamedTuple):
    reply: HandoffReply
    answer_id: str | None


def keep(ledger: Ledger, house: HousePolicy, caller: Caller, id: str, wrote: Wrote) -> KeptReply:
    """Keeps a person's reply to handoff `id`. Raises NotFound, or InvalidInput for a mark that
    means no document and a reason that the house lacks."""
    if stray := [n for n in marks(wrote.text) if not 1 <= n <= len(wrote.documents)]:
        raise InvalidInput(
            f"The reply cites [{stray[0]}], but names {counted(len(wrote.documents), 'document')}."
            " Name each one in `documents`."
        )
    if wrote.reason is not None and wrote.action != "ESCALATE":
        raise InvalidInput(f"A reason goes with ESCALATE, not with {wrote.action}.")
    with ledger.session() as session:
        handoff = find_handoff(session, caller, id)
        reason = (wrote.reason or handoff.reason) if wrote.action == "ESCALATE" else None
        if reason is not None and reason not in house.reasons:
            raise InvalidInput(f"There is no reason {reason!r}: {', '.join(house.reasons)}.")
        reply = HandoffReply(
            handoff_id=id,
            action=wrote.action,
            team=house.reasons[reason].team if reason else None,
            reason=reason,
            text=wrote.text,
            documents=list(wrote.documents),
            created_at=time.time(),
        )
        session.add(reply)
        session.flush()
        return KeptReply(reply, handoff.answer_id)


def kept(ledger: Ledger, caller: Caller, after: int, limit: int) -> list[KeptReply]:
    """Replies that the caller may see and whose id is above `after`, oldest first."""
    query = (
        select(HandoffReply, Handoff.answer_id, Answer.audience)
        .join(Handoff, Handoff.id == HandoffReply.handoff_id)
        .outerjoin(Answer, Answer.id == Handoff.answer_id)
        .where(Handoff.workspace == caller.workspace, HandoffReply.id > after)
        .order_by(HandoffReply.id)
    )
    with ledger.session() as session:
        rows = session.execute(query).yield_per(limit)
        seen = (
            KeptReply(reply, answer_id)
            for reply, answer_id, audience in rows
            if caller.sees(audience or ())
        )
        return list(islice(seen, limit))
