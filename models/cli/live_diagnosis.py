"""`twofold diagnose --live`: the page of what customers really asked."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from models.cli.service import questions, service
from models.cli.since import since as moment

if TYPE_CHECKING:
    from models.diagnosis.gaps import Gap
    from models.diagnosis.verdicts import Diagnosis


class Live(NamedTuple):
    diagnosis: "Diagnosis"
    gaps: "Sequence[Gap]"


def look(context: typer.Context, since: str, url: str, key: str) -> Live:
    """Returns what the service at `url`, or this home's, was asked since then, and why answers
    failed."""
    from models.diagnosis.gaps import gaps
    from models.diagnosis.traffic import traffic
    from twofold.settings import Settings
    from twofold.stack import open_embedder

    settings = Settings()
    asked = asyncio.run(questions(service(context, settings, url, key), moment(since)))
    return Live(traffic(asked, time.time()), gaps(asked, open_embedder(settings)))


def data(found: Live) -> dict[str, Any]:
    """Returns the diagnosis for JSON, and the gaps with a drafted outline each."""
    return found.diagnosis.model_dump(mode="json") | {
        "gaps": [gap._asdict() | {"outline": gap.outline} for gap in found.gaps]
    }
