"""Answers on their way: each is read to its end whoever still listens, and may be listened to from
any event on."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
import structlog

from services.http.problems import encode, problem_of
from services.http.streams import GrowingStream
from services.widget.answers import AnswerService, Frame
from twofold.errors import TwofoldError, UpstreamError

KEPT_S: Final = 60.0
"""A finished answer stays in memory this long; later readers get it from the answer service."""

_log = structlog.get_logger("twofold.widget")


class ThreadQuestion(NamedTuple):
    """A question of a thread, as the answer service is asked."""

    thread_id: str
    message_id: str
    body: dict[str, Any]
    answer_id: str | None = None
    """Of its answer, where that is on record."""


Finished = Callable[[ThreadQuestion, dict[str, Any] | None], Any]
"""Called with the whole answer, or None where there is none; returns the events that follow it."""


@dataclass(eq=False)
class Answering(GrowingStream[Frame]):
    """One answer: its events so far, and whether it has ended."""

    question: ThreadQuestion
    stopped: bool = False
    """Its visitor wants no more of it."""

    async def read(self, after: str | None) -> AsyncGenerator[bytes, None]:
        """Yields the events behind the one with id `after`, and those still to come.

        `done` has the whole text and is told to everybody: where an answer comes from its record,
        nobody knows any more how it was cut when it was told first.
        """
        seen = Frame("", after or "", b"").number if self._names(after) else -1
        number = 0
        while await self.has(number):
            frame = self.frames[number]
            number += 1
            if not 0 <= frame.number <= seen or frame.event == "done":
                yield wire(frame)
        if self.error is not None:
            yield wire(Frame("error", "", encode(problem_of(self.error))))

    def _names(self, after: str | None) -> bool:
        """Returns whether `after` is the id of an event of this very answer."""
        mine = self.frames[0].id.rpartition(":")[0] if self.frames else ""
        return after is not None and after.rpartition(":")[0] == mine != ""


class Answerings:
    """The answers of this process that are on their way, or were just now."""

    def __init__(self, service: AnswerService, finished: Finished) -> None:
        self._service = service
        self._finished = finished
        self._by_message: dict[tuple[str, str], Answering] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, question: ThreadQuestion) -> Answering:
        """Returns the answer to a question: under way already, or begun now."""
        at = question.thread_id, question.message_id
        found = self._by_message.get(at)
        if found is None:
            found = self._by_message[at] = Answering(question)
            task = asyncio.create_task(self._carry_out(found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return found

    async def stop(self, thread_id: str, message_id: str) -> None:
        """Ends an answer where it is; one that has not begun, as soon as it has."""
        answering = self.of(thread_id, message_id)
        if answering is not None and not answering.ended:
            answering.stopped = True
            if answering.frames:
                await self._stop(answering.frames[0])

    async def _stop(self, first: Frame) -> None:
        try:
            await self._service.stop(first.id.rpartition(":")[0])
        except TwofoldError as error:
            _log.warning("an answer goes on though it was stopped", error=error.slug)

    def of(self, thread_id: str, message_id: str) -> Answering | None:
        return self._by_message.get((thread_id, message_id))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, answering: Answering) -> None:
        error: Exception | None = UpstreamError("The server stops. Ask again in a moment.")
        try:
            await self._read(answering)
            error = None
        except Exception as raised:
            error = raised
        finally:
            answering.end(error)
            loop = asyncio.get_running_loop()
            loop.call_later(0 if error else KEPT_S, self._drop, answering)

    async def _read(self, answering: Answering) -> None:
        question = answering.question
        done: dict[str, Any] | None = None
        try:
            if question.answer_id is None:
                # Ids are made by visitors: another one's would be told the same answer.
                key = f"{question.thread_id}:{question.message_id}"
                asked = self._service.ask(question.body, key)
            else:
                asked = self._service.ask_again(question.answer_id)
            async with aclosing(asked) as frames:
                async for frame in frames:
                    if frame.event == "done":
                        # What follows from it is written down before anybody hears of it.
                        done = frame.json()
                        new = question.answer_id is None
                        more = await self._finished(question, done) if new else ()
                        answering.say(frame)
                        for each in more:
                            answering.say(each)
                    else:
                        answering.say(frame)
                        if answering.stopped and len(answering.frames) == 1:
                            await self._stop(frame)
        finally:
            if done is None and question.answer_id is None:
                await asyncio.shield(self._finished(question, None))
        if done is None and answering.frames[-1:] and answering.frames[-1].event != "error":
            raise UpstreamError("The answer broke off. Ask again.")

    def _drop(self, answering: Answering) -> None:
        at = answering.question.thread_id, answering.question.message_id
        if self._by_message.get(at) is answering:
            del self._by_message[at]


def wire(frame: Frame) -> bytes:
    """Returns an event as it goes over the wire."""
    id = f"id: {frame.id}\n" if frame.id else ""
    return f"event: {frame.event}\n{id}data: ".encode() + frame.data + b"\n\n"


def event(name: str, data: Any, id: str = "") -> Frame:
    return Frame(name, id, orjson.dumps(data))
