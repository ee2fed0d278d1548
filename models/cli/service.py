"""Where evals find the service that they ask."""

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx

    from twofold.settings import Settings


def service(
    context: typer.Context, settings: "Settings", url: str, key: str
) -> "AbstractAsyncContextManager[httpx.AsyncClient]":
    """Returns a client of the service at `url`, else of the one that runs on this home, else of
    one in this process."""
    import httpx

    from models.evaluate.local import open_local
    from twofold import server_file

    running = server_file.find(settings.home)
    url = url or (running.url if running else "")
    if not url:
        return open_local(context.obj, settings).service()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=settings.deadline_s * 2)


async def questions(
    running: "AbstractAsyncContextManager[httpx.AsyncClient]", since: float
) -> list[dict[str, Any]]:
    """Returns what the service was asked since then."""
    from models.suite.client import AnswerClient

    async with running as http:
        return await AnswerClient(http).questions(since)
