"""Questions asked at once: replies in their order, and an end for all where one fails."""

import asyncio

import pytest

from models.asking import ask_each


class Asked:
    """What is under way, and how much at most; a question is answered once `let` is set, and `two`
    is once there are two."""

    def __init__(self) -> None:
        self.under_way: list[str] = []
        self.most = 0
        self.ended: list[str] = []
        self.let, self.two = asyncio.Event(), asyncio.Event()

    async def __call__(self, question: str) -> str:
        self.under_way.append(question)
        self.most = max(self.most, len(self.under_way))
        if len(self.under_way) == 2:
            self.two.set()
        try:
            if question == "fail":
                raise ValueError(question)
            await self.let.wait()
            return question.upper()
        finally:
            self.under_way.remove(question)
            self.ended.append(question)


def test_replies_come_in_order_and_only_so_many_are_under_way() -> None:
    async def run() -> None:
        asked, told = Asked(), list[tuple[int, int]]()
        asking = asyncio.create_task(
            ask_each(asked, list("abcde"), 2, lambda done, of: told.append((done, of)))
        )
        await asked.two.wait()
        asked.let.set()
        assert await asking == list("ABCDE")
        assert asked.most == 2
        assert told == [(n, 5) for n in range(1, 6)]

    asyncio.run(run())


def test_the_first_failure_ends_the_others() -> None:
    async def run() -> None:
        asked = Asked()
        with pytest.raises(ValueError, match="fail"):
            await ask_each(asked, ["a", "b", "fail"], 3, lambda *_: None)
        assert asked.under_way == []
        assert set(asked.ended) == {"a", "b", "fail"}

    asyncio.run(run())


def test_who_is_cancelled_leaves_nothing_running() -> None:
    async def run() -> None:
        asked = Asked()
        asking = asyncio.create_task(ask_each(asked, ["a", "b"], 2, lambda *_: None))
        await asked.two.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert asked.under_way == []

    asyncio.run(run())
