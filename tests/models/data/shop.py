"""A little service over a handful of documents, asked over its HTTP interface."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx

from models.data.collect import Built, collect
from models.data.plan import DatasetPlan
from models.data.seeds import Seed
from models.suite.client import AnswerClient
from services.answer.app import create_app
from services.answer.pipeline import Parts
from tests.services.answer.asking import knowing


@contextmanager
def shop(folder: Path) -> Iterator[Parts]:
    """Knows `docs/secrets.md` and `docs/invoices.md`."""
    with knowing(folder) as parts:
        yield parts


@asynccontextmanager
async def client_of(parts: Parts) -> AsyncIterator[AnswerClient]:
    transport = httpx.ASGITransport(create_app(parts))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield AnswerClient(http)


async def collected(parts: Parts, *seeds: Seed | str) -> Built:
    async with client_of(parts) as client:
        return await collect(client, seeds, DatasetPlan(parts.house), ignored)


def ignored(done: int) -> None:
    """Progress that nobody watches."""
