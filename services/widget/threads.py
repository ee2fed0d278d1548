"""Threads: what was asked, what people wrote, and whose turn it is."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, case, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from services.widget.quota import Quota, count, give_back
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.ledger import Ledger
from twofold.ledger.widget import Item, Thread, Visitor

State = Literal["assistant", "queued", "offhours", "taken", "reopened", "closed"]
By = Literal["visitor", "agent", "assistant", "system"]
WAITING: Final[tuple[State, ...]] = ("queued", "offhours", "reopened")
WITH_PEOPLE: Final[tuple[State, ...]] = (*WAITING, "taken")
TO_PEOPLE: Final[tuple[State, ...]] = ("taken", "reopened")
"""In these, what a visitor writes goes to a person, and not to the assistant."""
ANSWERING_S: Final = 60.0
MOST_ITEMS: Final = 500


class Posted(NamedTuple):
    """A message that was written down: a question for the assistant, or a word to a person."""

    thread: Thread
    item: Item
    new: bool

    @property
    def for_person(self) -> bool:
        return self.item.kind == "message"


class Threads:
    """Threads of all sites, in the ledger. `changed` is told which thread was, after the commit."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def current(self, visitor_id: str) -> Thread | None:
        """Returns the thread a visitor is in: one that people have, else the newest."""
        with self._ledger.session() as session:
            return _current(session, visitor_id)

    def current_or_new(self, site_id: str, visitor_id: str) -> Thread:
        with self._ledger.session() as session:
            return _current(session, visitor_id) or _new(session, site_id, visitor_id)

    def items(self, thread_id: str, after: int = 0) -> list[Item]:
        """Returns items that were made or changed behind `after`, in order."""
        with self._ledger.session() as session:
            query = (
                select(Item)
                .where(Item.thread_id == thread_id, Item.changed > after)
                .order_by(Item.seq.desc())
                .limit(MOST_ITEMS)
            )
            return list(session.scalars(query))[::-1]

    def get(self, thread_id: str) -> Thread:
        """Raises NotFound."""
        with self._ledger.session() as session:
            return _get(session, thread_id)

    def customer_of(self, thread: Thread) -> str | None:
        """Returns the visitor's name at the site's host; None where nobody signed in."""
        with self._ledger.session() as session:
            found = session.get(Visitor, thread.visitor_id)
        return None if found is None else found.customer

    def changed_since(self, moment: float) -> Sequence[tuple[str, float]]:
        """Returns (thread, when) of what changed at `moment` or later."""
        with self._ledger.session() as session:
            query = select(Thread.id, Thread.changed_at).where(Thread.changed_at >= moment)
            return [(row.id, row.changed_at) for row in session.execute(query)]

    def start(self, site_id: str, visitor_id: str) -> Thread:
        """Returns a new thread. Raises Conflict while people have the current one."""
        with self._ledger.session() as session:
            found = _current(session, visitor_id)
            if found is not None and found.state in WITH_PEOPLE:
                raise Conflict("A person has this conversation. End it first.")
            if found is not None and found.seq == 0:
                return found
            return _new(session, site_id, visitor_id)

    def post(
        self, site_id: str, visitor_id: str, message_id: str, text: str, quota: Quota
    ) -> Posted:
        """Writes down what a visitor says; the same `message_id` again is the same message.

        Raises InvalidInput where it says something else, Conflict while another question of the
        thread is answered, QuotaExhausted.
        """
        return _once(lambda: self._post(site_id, visitor_id, message_id, text, quota))

    def _post(
        self, site_id: str, visitor_id: str, message_id: str, text: str, quota: Quota
    ) -> Posted:
        with self._ledger.session() as session:
            now = time.time()
            session.scalar(select(Visitor.id).where(Visitor.id == visitor_id).with_for_update())
            before = _posted(session, visitor_id, message_id)
            if before is not None:
                return _again(session, *before, text, quota, now)
            thread = _current(session, visitor_id) or _new(session, site_id, visitor_id)
            if thread.state in TO_PEOPLE:
                item = _append(
                    session, thread, kind="message", by="visitor", message_id=message_id, text=text
                )
                return Posted(thread, item, new=True)
            _claim(session, thread, message_id, now)
            count(session, quota)
            if thread.state == "closed":
                _append(session, thread, kind="state", state="assistant", by="visitor")
            item = _append(
                session, thread, kind="question", by="visitor", message_id=message_id, text=text,
                status="answering",
            )  # fmt: skip
            return Posted(thread, item, new=True)

    def answered(
        self, thread_id: str, message_id: str, answer_id: str, conversation_id: str
    ) -> None:
        """Notes that a question has its answer on record."""
        with self._ledger.session() as session:
            item = _item(session, thread_id, message_id)
            thread = _get(session, thread_id)
            _release(thread, message_id)
            thread.conversation_id = conversation_id
            item.answer_id = answer_id
            if item.status != "stopped":
                item.status = "answered"
            _bump(session, thread)
            item.changed = thread.seq

    def failed(self, thread_id: str, message_id: str, quota: Quota) -> None:
        """Notes that nothing came of a question; it does not count, and may be asked again."""
        with self._ledger.session() as session:
            item = _item(session, thread_id, message_id)
            thread = _get(session, thread_id)
            _release(thread, message_id)
            if item.status == "answering":
                item.status = "failed"
            _bump(session, thread)
            item.changed = thread.seq
            give_back(session, quota)

    def stop(self, thread_id: str, message_id: str, chars: int) -> None:
        """Keeps how much of an answer its visitor wanted to see. Raises NotFound."""
        with self._ledger.session() as session:
            item = _item(session, thread_id, message_id)
            if item.kind != "question":
                raise InvalidInput("Only an answer can be stopped.")
            thread = _get(session, thread_id)
            item.stopped, item.status = chars, "stopped"
            _bump(session, thread)
            item.changed = thread.seq

    def say(self, thread_id: str, message_id: str, text: str, name: str) -> Posted:
        """Returns an agent's message; the same `message_id` again is the same message."""
        return _once(lambda: self._say(thread_id, message_id, text, name))

    def _say(self, thread_id: str, message_id: str, text: str, name: str) -> Posted:
        with self._ledger.session() as session:
            thread = _get(session, thread_id, lock=True)
            before = session.scalar(
                select(Item).where(Item.thread_id == thread_id, Item.message_id == message_id)
            )
            if before is not None:
                return Posted(thread, before, new=False)
            if thread.state != "taken":
                raise Conflict("Take this conversation over before you reply.")
            thread.asked_at, thread.agent_typing_at = None, 0.0
            item = _append(
                session, thread, kind="message", by="agent", message_id=message_id, text=text,
                name=name,
            )  # fmt: skip
            return Posted(thread, item, new=True)

    def turn(
        self,
        thread_id: str,
        to: State,
        by: By,
        allowed: Sequence[str] = (),
        said: str = "",
        **values: Any,
    ) -> Thread:
        """Brings a thread into another state, with what its visitor `said` to that; `values` are
        further columns of it.

        Raises Conflict where it is in none of `allowed` (empty: any).
        """
        with self._ledger.session() as session:
            thread = _get(session, thread_id, lock=True)
            if allowed and thread.state not in allowed:
                raise Conflict(f"This conversation is {SAYS[thread.state]}.")
            for name, value in values.items():
                setattr(thread, name, value)
            if said and thread.state != to:
                id = str(uuid4())
                _append(session, thread, kind="message", by="visitor", message_id=id, text=said)
            if thread.state != to or to == "taken":
                _append(session, thread, kind="state", state=to, by=by, name=thread.agent)
            return thread

    def note(self, thread_id: str, **values: Any) -> None:
        """Sets columns of a thread; its readers hear of it."""
        with self._ledger.session() as session:
            values["changed_at"] = time.time()
            session.execute(update(Thread).where(Thread.id == thread_id).values(**values))

    def read(self, visitor_id: str, seq: int) -> str | None:
        """Notes that a visitor has seen everything up to `seq`; returns the thread where that is
        news."""
        with self._ledger.session() as session:
            thread = _current(session, visitor_id)
            if thread is None or seq <= thread.read:
                return None
            thread.read = min(seq, thread.seq)
            return thread.id

    def unread(self, thread: Thread) -> int:
        """Returns how much others said since the visitor looked last; what they did, as taking
        over, is not counted."""
        said = (Item.kind == "message") & (Item.by == "agent")
        answered = (Item.kind == "question") & (Item.status == "answered")
        with self._ledger.session() as session:
            query = (
                select(func.count())
                .select_from(Item)
                .where(Item.thread_id == thread.id, Item.changed > thread.read)
                .where(said | answered)
            )
            return session.scalar(query) or 0

    def conversations(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the conversations that a thread has."""
        with self._ledger.session() as session:
            query = select(Thread.conversation_id).where(Thread.conversation_id.in_(ids))
            return {id for id in session.scalars(query) if id is not None}

    def older(self, site_id: str, moment: float) -> list[Thread]:
        """Returns some threads of a site that nobody touched since `moment`."""
        with self._ledger.session() as session:
            query = select(Thread).where(Thread.site_id == site_id, Thread.changed_at < moment)
            return list(session.scalars(query.limit(MOST_ITEMS)))

    def remove(self, thread_id: str) -> None:
        with self._ledger.session() as session:
            session.execute(delete(Thread).where(Thread.id == thread_id))

    def owner_of(self, answer_id: str, visitor_id: str) -> Item:
        """Returns the question of a visitor that an answer belongs to. Raises NotFound."""
        with self._ledger.session() as session:
            found = session.scalar(
                select(Item)
                .join(Thread, Thread.id == Item.thread_id)
                .where(Item.answer_id == answer_id, Thread.visitor_id == visitor_id)
            )
        if found is None:
            raise NotFound("There is no such answer in your conversations.")
        return found

    def stands(self, visitor_id: str, message_id: str) -> bool:
        """Returns whether a visitor said that already, and it did not come to nothing."""
        with self._ledger.session() as session:
            found = _posted(session, visitor_id, message_id)
        return found is not None and found[1].status != "failed"

    def of_message(self, visitor_id: str, message_id: str) -> Thread:
        """Returns the visitor's thread that a message stands in. Raises NotFound."""
        with self._ledger.session() as session:
            found = _posted(session, visitor_id, message_id)
        if found is None:
            raise NotFound("There is no such message in your conversations.")
        return found[0]


def _once(write: Callable[[], Posted]) -> Posted:
    """Writes again where another request wrote the same message meanwhile: then it is found."""
    try:
        return write()
    except IntegrityError:
        return write()


SAYS: Final = {
    "assistant": "with the assistant",
    "queued": "waiting for a person",
    "offhours": "waiting for a person",
    "reopened": "waiting for a person",
    "taken": "with a person",
    "closed": "closed",
}


def _current(session: Session, visitor_id: str) -> Thread | None:
    first = case((Thread.state.in_(WITH_PEOPLE), 0), else_=1)
    query = (
        select(Thread)
        .where(Thread.visitor_id == visitor_id)
        .order_by(first, Thread.created_at.desc())
        .limit(1)
    )
    return session.scalar(query)


def _new(session: Session, site_id: str, visitor_id: str) -> Thread:
    now = time.time()
    thread = Thread(
        id=str(uuid4()),
        site_id=site_id,
        visitor_id=visitor_id,
        state="assistant",
        team="",
        reason="",
        agent="",
        email="",
        answering_until=0.0,
        seq=0,
        read=0,
        visitor_typing_at=0.0,
        agent_typing_at=0.0,
        created_at=now,
        changed_at=now,
    )
    session.add(thread)
    session.flush()
    return thread


def _get(session: Session, thread_id: str, *, lock: bool = False) -> Thread:
    found = session.get(Thread, thread_id, with_for_update=lock or None)
    if found is None:
        raise NotFound("There is no such conversation.")
    return found


def _item(session: Session, thread_id: str, message_id: str) -> Item:
    found = session.scalar(
        select(Item).where(Item.thread_id == thread_id, Item.message_id == message_id)
    )
    if found is None:
        raise NotFound("There is no such message.")
    return found


def _posted(session: Session, visitor_id: str, message_id: str) -> tuple[Thread, Item] | None:
    row = session.execute(
        select(Thread, Item)
        .join(Item, Item.thread_id == Thread.id)
        .where(Thread.visitor_id == visitor_id, Item.message_id == message_id)
    ).first()
    return None if row is None else (row.Thread, row.Item)


def _again(
    session: Session, thread: Thread, item: Item, text: str, quota: Quota, now: float
) -> Posted:
    if item.text != text:
        raise InvalidInput("This message id was used for another text. Make a new one for each.")
    if item.kind == "question" and item.status == "failed":
        _claim(session, thread, item.message_id or "", now)
        count(session, quota)
        item.status = "answering"
        _bump(session, thread)
        item.changed = thread.seq
    return Posted(thread, item, new=False)


def _bump(session: Session, thread: Thread) -> None:
    """Counts the thread's next number in the database: two writers never get the same."""
    session.flush()
    now = time.time()
    seq = session.scalar(
        update(Thread)
        .where(Thread.id == thread.id)
        .values(seq=Thread.seq + 1, changed_at=now)
        .returning(Thread.seq)
        .execution_options(synchronize_session=False)
    )
    set_committed_value(thread, "seq", seq)
    set_committed_value(thread, "changed_at", now)


def _append(session: Session, thread: Thread, **values: Any) -> Item:
    if values.get("state"):
        thread.state = values["state"]
    _bump(session, thread)
    item = Item(thread_id=thread.id, seq=thread.seq, changed=thread.seq, at=time.time(), **values)
    session.add(item)
    session.flush()
    return item


def _claim(session: Session, thread: Thread, message_id: str, now: float) -> None:
    free: ColumnElement[bool] = (Thread.answering.is_(None)) | (Thread.answering_until < now)
    session.flush()
    taken = session.execute(
        update(Thread)
        .where(Thread.id == thread.id, free | (Thread.answering == message_id))
        .values(answering=message_id, answering_until=now + ANSWERING_S)
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("The question before this one is being answered. Wait, or stop it.")
    set_committed_value(thread, "answering", message_id)


def _release(thread: Thread, message_id: str) -> None:
    if thread.answering == message_id:
        thread.answering = None
