"""Many questions under way at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


async def ask_each(
    ask: Callable[[Q], Awaitable[A]],
    asked: Sequence[Q],
    at_once: int,
    progress: Callable[[int, int], None],
) -> list[A]:
    """Returns the replies, in the order of what is asked. The first failure ends what is under way.

    `progress` hears how many are done, of how many. Nothing runs any more once this has returned or
    raised: what is asked with may be closed.
    """
    gate = asyncio.Semaphore(at_once)
    done = 0

    async def one(question: Q) -> A:
        nonlocal done
        async with gate:
            reply = await ask(question)
        done += 1
        progress(done, len(asked))
        return reply

    asking = [asyncio.create_task(one(question)) for question in asked]
    try:
        return list(await asyncio.gather(*asking))
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
