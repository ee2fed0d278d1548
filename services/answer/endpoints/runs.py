"""Answers that are made apart from any request: many may read one, from its start or from later."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.answer import pipeline
from services.answer.access import idempotency
from services.answer.access.flights import stop_elsewhere
from services.answer.access.idempotency import ACTED, Recorded, Slot
from services.answer.access.keys import Caller
from services.answer.contract import Ask
from services.answer.endpoints.stream import frame, frame_of
from services.answer.events import Acted, Delta, Done, Event, Meta
from services.answer.pipeline import Parts
from services.answer.schemas import ChatAnswer
from services.http.streams import GrowingStream
from twofold.errors import InvalidInput, NotFound, Overloaded, UpstreamError
from twofold.ledger import Ledger
from twofold.ledger.tombstones import answer_mark

KEPT_S = 60.0
"""A finished answer stays in memory this long; later readers get it from its record."""
ABANDONED_S = 15.0
"""Past its deadline: a process that has not finished by then is dead."""
POLL_S = 0.1
STOP_S = 5.0

T = TypeVar("T")

_log = structlog.get_logger("twofold.runs")


@dataclass(eq=False)
class ResumableAnswer(GrowingStream[bytes]):
    """One answer being made: its frames so far, and at the end the answer or the error."""

    workspace: str
    request: str = ""
    audiences: frozenset[str] = frozenset()
    owner: str | None = None
    answer_id: str = ""
    conversation_id: str = ""
    answer: ChatAnswer | None = None
    exact: bool = True
    """Whether the frames are numbered as they were when the answer was first told."""

    async def finished(self) -> ChatAnswer:
        """Raises what went wrong."""
        await self.over()
        if self.answer is None:
            raise self.error or UpstreamError("The answer broke off. Ask again.")
        return self.answer

    async def read(self, after: int = -1) -> AsyncGenerator[bytes, None]:
        """Yields the frames behind number `after`, and those still to come."""
        number = after + 1
        if not self.exact and after > 0:
            number = len(self.frames) - 1  # `done` has the whole text
        while await self.has(number):
            yield self.frames[number]
            number += 1
        if self.error is not None:
            yield frame(self.error, f"{self.answer_id}:{number}")


class ResumableAnswers:
    """The resumable answers of this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ledger = parts.stack.ledger
        self._by_slot: dict[Slot, ResumableAnswer] = {}
        self._by_answer: dict[str, ResumableAnswer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, ask: Ask, caller: Caller, key: str, request: str) -> ResumableAnswer:
        """Returns the run of this key: begun now, or by an earlier request. Raises InvalidInput
        where that one asked something else, Overloaded where too many are under way."""
        at = idempotency.slot(ask.workspace, caller.key, key)
        digest = hashlib.sha256(request.encode()).hexdigest()
        run = self._by_slot.get(at)
        if run is not None:
            if run.request != digest:
                raise InvalidInput(
                    "This Idempotency-Key was used for another question. Use a new key for each."
                )
            return run
        run = self._open(ResumableAnswer(ask.workspace, digest, ask.audiences, ask.owner))
        self._by_slot[at] = run
        self._start(run, self._answer(run, ask, at), at)
        return run

    async def follow(self, answer_id: str, caller: Caller) -> ResumableAnswer:
        """Returns the run of an answer under way, or one made from its record. Raises NotFound."""
        run = self._by_answer.get(answer_id)
        if run is None:
            run = self._open(ResumableAnswer(caller.workspace, answer_id=answer_id))
            self._start(run, self._from_record(run, answer_id))
            await run.begun()
        self._check(run, answer_id, caller)
        return run

    def _check(self, run: ResumableAnswer, answer_id: str, caller: Caller) -> None:
        mine = caller.owns_all or run.owner == caller.owner
        if run.workspace != caller.workspace or not (mine and caller.sees(run.audiences)):
            raise NotFound(f"There is no answer {answer_id!r}.")

    async def stop(self, answer_id: str, caller: Caller) -> None:
        """Ends an answer under way where it is, here or in another process. Raises NotFound."""
        mark = [answer_mark(caller.workspace, answer_id)]
        run = self._by_answer.get(answer_id)
        if run is not None:
            self._check(run, answer_id, caller)
            if not run.ended:
                self._parts.flights.end(mark)
            return
        holder = await self._apart(
            idempotency.promised, self._ledger, caller.workspace, answer_id, caller.key
        )
        if not holder:
            raise NotFound(f"There is no answer {answer_id!r} under way.")
        await self._apart(stop_elsewhere, self._ledger, caller.workspace, answer_id)

    def forget(self, conversation_id: str) -> None:
        for slot, run in list(self._by_slot.items()):
            if run.conversation_id == conversation_id:
                self._by_slot.pop(slot, None)
                self._by_answer.pop(run.answer_id, None)

    async def aclose(self) -> None:
        """Gives the answers being made a moment to be recorded, then ends them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in late:
                task.cancel()

    def _open(self, run: ResumableAnswer) -> ResumableAnswer:
        if len(self._tasks) >= self._parts.stack.settings.max_in_flight:
            raise Overloaded("Too many answers are under way. Try again soon.")
        return run

    def _start(
        self, run: ResumableAnswer, work: Coroutine[Any, Any, None], at: Slot | None = None
    ) -> None:
        task = asyncio.create_task(self._carry_out(run, work, at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(
        self, run: ResumableAnswer, work: Coroutine[Any, Any, None], at: Slot | None
    ) -> None:
        error: Exception | None = UpstreamError("The server stops. Ask again in a moment.")
        try:
            await work
            error = None
        except Exception as raised:
            error = raised
        finally:
            run.end(error)
            loop = asyncio.get_running_loop()
            loop.call_later(0 if error else KEPT_S, self._drop, run, at)

    def _drop(self, run: ResumableAnswer, at: Slot | None) -> None:
        if at is not None and self._by_slot.get(at) is run:
            del self._by_slot[at]
        if self._by_answer.get(run.answer_id) is run:
            del self._by_answer[run.answer_id]

    async def _apart(self, work: Callable[..., T], *given: Any) -> T:
        """Runs the work in the threads that wait for the ledger: a locked one must not keep
        replies from being composed."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._parts.writers, partial(work, *given))

    async def _answer(self, run: ResumableAnswer, ask: Ask, at: Slot) -> None:
        abandoned = self._parts.stack.settings.deadline_s + ABANDONED_S
        while True:
            turn = await self._apart(idempotency.claim, self._ledger, at, run.request, abandoned)
            if turn.mine:
                await self._generate(run, ask, at)
                return
            if turn.answer_id is not None:
                found = await self._apart(idempotency.recorded, self._ledger, turn.answer_id)
                if found is not None:
                    self._tell_record(run, found)
                    return
            await asyncio.sleep(POLL_S)

    async def _generate(self, run: ResumableAnswer, ask: Ask, at: Slot) -> None:
        pieces: list[int] = []
        try:
            async with aclosing(pipeline.answer(ask, self._parts)) as events:
                async for event in events:
                    await self._note(run, event, pieces, at)
        except Exception:
            await self._apart(_release, self._ledger, at)
            raise
        except BaseException:
            # A cancelled task cannot wait for a thread any more.
            _release(self._ledger, at)
            raise

    async def _note(self, run: ResumableAnswer, event: Event, pieces: list[int], at: Slot) -> None:
        if isinstance(event, Meta):
            run.answer_id, run.conversation_id = event.answer_id, event.conversation_id
            self._by_answer[run.answer_id] = run
        elif isinstance(event, Acted):
            pieces.append(ACTED)
        elif isinstance(event, Delta):
            pieces.append(len(event.text))
        elif isinstance(event, Done):
            run.answer = ChatAnswer.of(event.answer)
            await self._apart(idempotency.finish, self._ledger, at, pieces)
        run.say(frame(event, f"{run.answer_id}:{len(run.frames)}"))
        if isinstance(event, Meta):
            # Before the record is written: after a crash it must not stand without its key.
            await self._apart(idempotency.name, self._ledger, at, run.answer_id)

    async def _from_record(self, run: ResumableAnswer, answer_id: str) -> None:
        until = time.monotonic() + self._parts.stack.settings.deadline_s + ABANDONED_S
        while True:
            found = await self._apart(idempotency.recorded, self._ledger, answer_id)
            if found is not None and found.row.workspace == run.workspace:
                self._tell_record(run, found)
                return
            promised = await self._apart(
                idempotency.promised, self._ledger, run.workspace, answer_id
            )
            if found is not None or not promised or time.monotonic() > until:
                raise NotFound(f"There is no answer {answer_id!r}.")
            await asyncio.sleep(POLL_S)

    def _tell_record(self, run: ResumableAnswer, found: Recorded) -> None:
        run.answer_id, run.conversation_id = found.row.id, found.row.conversation_id
        run.audiences, run.owner = frozenset(found.row.audience), found.owner
        run.answer = ChatAnswer.of_row(found.row)
        run.exact = found.pieces is not None
        for number, said in enumerate(_frames(run.answer, found.pieces)):
            run.say(frame_of(*said, f"{run.answer_id}:{number}"))


def _release(ledger: Ledger, at: Slot) -> None:
    try:
        idempotency.release(ledger, at)
    except SQLAlchemyError as error:
        # The slot is free again once it looks abandoned.
        _log.warning("an idempotency key stays taken a while", exc_info=error)


def _frames(
    answer: ChatAnswer, pieces: list[int] | None
) -> Iterator[tuple[bytes, dict[str, object]]]:
    """Yields the events of a recorded answer, cut as they were when it was first told."""
    whole = answer.model_dump()
    action = {name: whole[name] for name in ("action", "escalation", "served_by")}
    yield b"meta", {name: whole[name] for name in ("answer_id", "conversation_id")}
    at = 0
    for piece in pieces or [ACTED, len(answer.text)]:
        if piece == ACTED:
            yield b"action", action
        else:
            yield b"delta", {"text": answer.text[at : at + piece]}
            at += piece
    yield b"citations", {"citations": whole["citations"]}
    yield b"done", whole
