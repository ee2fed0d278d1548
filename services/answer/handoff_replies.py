"""What people replied to customers who were handed over: kept, so that behaviour can learn it."""

import time
from typing import NamedTuple

from sqlalchemy import select

from twofold.errors import InvalidInput, NotFound
from twofold.house import HousePolicy
from twofold.ledger import Ledger
from twofold.ledger.models import Handoff
from twofold.ledger.service import HandoffReply
from twofold.reply import Action, marks


class Wrote(NamedTuple):
    """A person's reply; `[n]` in `text` is `documents[n-1]`. `reason` goes with ESCALATE."""

    text: str
    documents: tuple[str, ...] = ()
    action: Action = "ANSWER"
    reason: str | None = None


class Replied(NamedTuple):
    reply: HandoffReply
    answer_id: str | None


def keep(ledger: Ledger, house: HousePolicy, workspace: str, id: str, wrote: Wrote) -> Replied:
    """Keep a reply to handoff `id`. Raises NotFound, or InvalidInput for a mark that means no
    document and a reason that the house lacks."""
    if stray := [n for n in marks(wrote.text) if not 1 <= n <= len(wrote.documents)]:
        raise InvalidInput(
            f"The reply cites [{stray[0]}], but names {len(wrote.documents)} documents. Name each"
            " one in `documents`."
        )
    if wrote.reason is not None and wrote.action != "ESCALATE":
        raise InvalidInput(f"A reason goes with ESCALATE, not with {wrote.action}.")
    with ledger.session() as session:
        handoff = session.get(Handoff, id)
        if handoff is None or handoff.workspace != workspace:
            raise NotFound(f"There is no handoff {id!r}.")
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
        return Replied(reply, handoff.answer_id)


def kept(ledger: Ledger, workspace: str, after: int, limit: int) -> list[Replied]:
    """Replies of a workspace whose id is above `after`, oldest first."""
    with ledger.session() as session:
        rows = session.execute(
            select(HandoffReply, Handoff.answer_id)
            .join(Handoff, Handoff.id == HandoffReply.handoff_id)
            .where(Handoff.workspace == workspace, HandoffReply.id > after)
            .order_by(HandoffReply.id)
            .limit(limit)
        ).all()
    return [Replied(reply, answer_id) for reply, answer_id in rows]
