"""What every endpoint is handed."""

from typing import Annotated

from fastapi import Depends, Request

from services.answer.pipeline import Parts


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(_parts)]
