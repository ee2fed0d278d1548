"""Signed webhooks: a system that edits documents says which, or sends them along.

The body is signed as Standard Webhooks has it (`twofold.signatures`), with the secret in the
environment variable that the source's `hook_secret` names.
"""

import time
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select

from ingestion.jobs.job import NewJob
from ingestion.jobs.queue import Queue
from ingestion.jobs.schedule import delete_job, push_job, refresh_job, submit_sync
from ingestion.sources import Fetched
from twofold.errors import Forbidden, InvalidInput
from twofold.ledger.models import Source
from twofold.settings import secret
from twofold.signatures import ID, fresh, verified
from twofold.stack import Stack

MAX_DOCUMENTS = 1000


class HookDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")

    external_id: str
    content: str = Field(min_length=1)
    content_type: str = "text/markdown"
    meta: dict[str, Any] = Field(default_factory=dict)
    """What front matter would say: title, audience, url, ..."""


class Hook(BaseModel):
    """`refresh` names documents of a source that is synced; `put` and `delete` are for one that is
    pushed. With none of them, the whole source is synced."""

    model_config = ConfigDict(extra="forbid")

    refresh: list[str] = Field(default_factory=list, max_length=MAX_DOCUMENTS)
    put: list[HookDocument] = Field(default_factory=list, max_length=MAX_DOCUMENTS)
    delete: list[str] = Field(default_factory=list, max_length=MAX_DOCUMENTS)


class Taken(BaseModel):
    """The jobs that came of it, for `GET /v1/syncs/{id}`."""

    ids: list[str]


def screen(headers: Mapping[str, str]) -> None:
    """Raises Forbidden for headers that no signed webhook has: its body need not be read."""
    if not fresh(headers, time.time()):
        raise Forbidden(
            "A webhook comes with the headers webhook-id, webhook-timestamp and webhook-signature"
            " (Standard Webhooks), made within the last five minutes."
        )


async def _body(request: Request) -> bytes:
    return await request.body()


def add_hooks(routes: APIRouter, stack: Stack, queue: Queue) -> None:
    workspace = stack.settings.workspace

    @routes.post("/hooks/{source}", status_code=202)
    def hook(
        source: str,
        request: Request,
        body: Annotated[bytes, Depends(_body)],
    ) -> Taken:
        """Takes a signed call (Standard Webhooks) of a system that edits documents: which to read
        again, which to put or delete; with none named, the whole source is synced."""
        known = _signed(stack, workspace, source, body, request.headers)
        return Taken(ids=take(stack, queue, known, body, request.headers[ID]))


def take(stack: Stack, queue: Queue, source: Source, body: bytes, delivery: str) -> list[str]:
    """Accepts what a signed body asks for. The same `delivery` twice is accepted once."""
    try:
        said = Hook.model_validate_json(body or b"{}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"]))
        raise InvalidInput(f"The body is not a webhook of ours: {place}: {found['msg']}.") from None
    workspace, name, kind = source.workspace, source.name, source.kind
    if not (said.refresh or said.put or said.delete):
        return [submit_sync(queue, workspace, name, kind)]
    jobs: list[NewJob] = []

    def id() -> str:
        # Of the delivery: sent again, or replayed, it must not undo what came after it.
        return str(uuid5(NAMESPACE_URL, f"{workspace}/{name}/{delivery}/{len(jobs)}"))

    if said.refresh:
        _only(kind != "push", source, "refresh")
        jobs.append(refresh_job(workspace, name, kind, said.refresh, id()))
    for document in said.put:
        _only(kind == "push", source, "put")
        fetched = Fetched(document.content.encode(), document.content_type, meta=document.meta)
        jobs.append(push_job(stack, workspace, name, document.external_id, fetched, id()))
    for external_id in said.delete:
        _only(kind == "push", source, "delete")
        jobs.append(delete_job(workspace, name, external_id, id()))
    return queue.put(jobs)


def _signed(
    stack: Stack, workspace: str, name: str, body: bytes, headers: Mapping[str, str]
) -> Source:
    """Raises Forbidden, the same for a source that is not there: nobody may try out names."""
    with stack.ledger.session() as session:
        source = session.scalar(
            select(Source).where(Source.workspace == workspace, Source.name == name)
        )
    key = secret(str(source.config.get("hook_secret") or "")) if source else ""
    if source is None or not key or not verified(key, headers, body, time.time()):
        raise Forbidden(
            f"Source {name!r} takes no webhook with this signature. Check its hook_secret, the"
            " variable that it names, and the clock."
        )
    return source


def _only(fits: bool, source: Source, verb: str) -> None:
    if not fits:
        raise InvalidInput(f"Source {source.name!r} is of kind {source.kind!r}: no {verb} there.")
