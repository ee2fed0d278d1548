"""`twofold diagnose --live`: the page of what customers really asked."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import httpx
import typer

from models.cli.service import service
from models.cli.since import since as moment
from models.diagnosis.gaps import Gap, gaps
from models.diagnosis.traffic import traffic
from models.diagnosis.verdicts import Diagnosis
from models.suite.client import AnswerClient
from twofold.settings import Settings


class Live(NamedTuple):
    diagnosis: Diagnosis
    gaps: Sequence[Gap]


def look(context: typer.Context, since: str, url: str, key: str) -> Live:
    """What was asked since then, of the service at `url`, or this home's."""
    from twofold.stack import open_embedder

    settings = Settings()
    asked = asyncio.run(_questions(service(context, settings, url, key), moment(since)))
    return Live(traffic(asked, time.time()), gaps(asked, open_embedder(settings)))


def data(found: Live) -> dict[str, Any]:
    """JSON: the diagnosis, and the gaps with a drafted outline each."""
    return found.diagnosis.model_dump(mode="json") | {
        "gaps": [gap._asdict() | {"outline": gap.outline} for gap in found.gaps]
    }


async def _questions(
    service: AbstractAsyncContextManager[httpx.AsyncClient], since: float
) -> list[dict[str, Any]]:
    async with service as http:
        return await AnswerClient(http).questions(since)
