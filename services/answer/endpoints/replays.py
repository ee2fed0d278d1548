"""POST /v1/replays: a question asked again in another world; and what is known of a page."""

from asyncio import to_thread
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import or_, select
from sqlalchemy.orm import selectinload

from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.pipeline import Parts
from services.answer.replay import GivenPage, Maker, Place, ReplayResult, World, makers_of, replay
from services.answer.schemas import (
    CandidateOut,
    ChatRequest,
    EscalationOut,
    Plain,
    Request,
    citations_out,
)
from services.http.problems import declare
from twofold.index.contract import content_hash
from twofold.ledger.models import Document, Failure, Version
from twofold.prompt import Profile, instructions
from twofold.reply import Action

router = APIRouter(tags=["diagnosis"])
MAX_PAGES = 20
PROFILES: Final[tuple[Profile, Profile]] = ("full", "tuned")
MAX_PAGE_CHARS = 200_000


class ReplayPage(Request):
    """A page given to the reply, whatever its state: of another version, hidden, or your text."""

    document: Plain = Field(max_length=1000, description="`source/external_id`.")
    version: int | None = Field(
        default=None, le=2**31, description="Live, or the latest, when left out."
    )
    text: str | None = Field(
        default=None, max_length=MAX_PAGE_CHARS, description="In place of what was read of it."
    )
    whole: bool = Field(default=False, description="Whole sections in place of its passages.")


class ReplayRequest(ChatRequest):
    """A question, and what differs from the world as it is."""

    maker: Maker = "live"
    full_prompt: bool = Field(default=False, description="Rules and examples for a tuned model.")
    pages: Annotated[list[ReplayPage], Field(max_length=MAX_PAGES)] = Field(default_factory=list)
    place: Place = Field(
        default="only",
        description="The pages are all there is, come `first`, or compete (`ranked`).",
    )
    without: Annotated[list[Plain], Field(max_length=1000)] = Field(default_factory=list)
    context_chunks: int | None = Field(default=None, ge=1, le=50)
    context_chars: int | None = Field(default=None, ge=200, le=200_000)
    sources: bool = True
    told: Action | None = Field(default=None, description="What the reply does, decided here.")

    def world(self) -> World:
        return World(
            maker=self.maker,
            full_prompt=self.full_prompt,
            pages=tuple(GivenPage(**page.model_dump()) for page in self.pages),
            place=self.place,
            without=frozenset(self.without),
            context_chunks=self.context_chunks,
            context_chars=self.context_chars,
            sources=self.sources,
            told=self.told,
        )


@router.post("/v1/replays", summary="Ask a question again in another world", responses=declare(404))
async def ask_again(body: ReplayRequest, parts: PartsDep, caller: CallerDep) -> dict[str, Any]:
    """The reply and everything that took part in it. Nothing is recorded."""
    caller.check_audiences(body.audiences)
    return _told(await replay(body.ask(caller), body.world(), parts))


@router.get(
    "/v1/replays/documents",
    summary="Read what is known of a page, hidden or not",
    responses=declare(),
)
def read_states(
    parts: PartsDep,
    caller: CallerDep,
    name: Annotated[str, Query(max_length=1000, description="`source/external_id`, or its end.")],
) -> dict[str, list[dict[str, Any]]]:
    """Every page of that name, one for each source that has it or failed to read it."""
    return {"documents": states(parts, caller.workspace, name)}


@router.get("/v1/replays/world", summary="Read what answers depend on", responses=declare())
async def read_world(parts: PartsDep, caller: CallerDep) -> dict[str, Any]:
    """Equal digests: the same question gets the same reply, as far as its maker is repeatable.
    Tokens are of the embedder's vocabulary: about those of a model."""
    makers = await makers_of(parts)
    prompts = [instructions(parts.house, profile) for profile in PROFILES]
    full, tuned = await to_thread(parts.stack.embedder.count_tokens, prompts)
    return {
        "digest": await to_thread(_digest, parts, caller.workspace, makers),
        "makers": ["composer", *makers],
        "models": list(makers.values()),
        "instruction_tokens_full": full,
        "instruction_tokens_tuned": tuned,
    }


def _digest(parts: Parts, workspace: str, makers: Mapping[str, str]) -> str:
    settings = parts.stack.settings
    known = (
        select(Document.id, Document.live, Document.raw_hash, Version.quarantined)
        .join(Version, (Version.document_id == Document.id) & (Version.number == Document.live))
        .where(Document.workspace == workspace)
        .order_by(Document.id)
    )
    with parts.stack.ledger.engine.connect() as connection:
        rows = connection.execute(known).all()
    return content_hash(
        version("twofold"), parts.stack.fingerprint.digest, parts.house.digest,
        repr(sorted(makers.items())), repr((settings.context_chunks, settings.context_chars)),
        repr(rows),
    )[:16]  # fmt: skip


def states(parts: Parts, workspace: str, name: str) -> list[dict[str, Any]]:
    """Returns, for each page of that name, its versions with their text, what the index holds of
    the live one, and why it was not read."""
    source, _, rest = name.partition("/")
    with parts.stack.ledger.session() as session:
        documents = session.scalars(
            select(Document)
            .where(
                Document.workspace == workspace,
                or_(
                    Document.external_id == name,
                    (Document.source == source) & (Document.external_id == rest),
                ),
            )
            .options(selectinload(Document.versions))
        ).all()
        failures = session.scalars(
            select(Failure).where(
                Failure.workspace == workspace,
                or_(
                    Failure.external_id == name,
                    (Failure.source == source) & (Failure.external_id == rest),
                ),
            )
        ).all()
    failed = {(f.source, f.external_id): {"step": f.step, "reason": f.reason} for f in failures}
    found = [
        {
            "document": f"{document.source}/{document.external_id}",
            "live": document.live,
            "removed_at": document.removed_at,
            "failure": failed.pop((document.source, document.external_id), None),
            **_versions(document, parts),
        }
        for document in documents
    ]
    found += [
        {"document": "/".join(of), "live": None, "removed_at": None, "failure": failure,
         "versions": [], "points": 0, "passages": []}
        for of, failure in failed.items()
    ]  # fmt: skip
    return found


def _versions(document: Document, parts: Parts) -> dict[str, Any]:
    live = next((v for v in document.versions if v.number == document.live), None)
    held = parts.stack.index.retrieve(live.points) if live else []
    return {
        "versions": [
            {
                "number": version.number,
                "title": version.title,
                "kind": version.kind,
                "audience": version.audience,
                "raw_hash": version.raw_hash,
                "applied_from": version.applied_from,
                "applied_until": version.applied_until,
                "quarantined": version.quarantined,
                "text": "\n\n".join(section["text"] for section in version.sections),
            }
            for version in document.versions
        ],
        "points": len(live.points) if live else 0,
        "passages": [
            {
                "chunk": chunk.id,
                "text": chunk.text,
                "audience": chunk.audience,
                "effective_from": chunk.effective_from,
                "expires_at": chunk.expires_at,
                "quarantined": chunk.quarantined,
            }
            for chunk in held
        ],
    }


def _told(retold: ReplayResult) -> dict[str, Any]:
    searched, result = retold.searched, retold.result
    decision, draft = result.decision, result.draft
    return {
        "action": decision.action,
        "escalation": EscalationOut.of(decision.escalation),
        "text": result.text,
        "citations": [
            {**out.model_dump(), "chunk": each.chunk}
            for out, each in zip(citations_out(result.citations), result.citations, strict=True)
        ],
        "served_by": result.served_by,
        "standalone": searched.question.standalone,
        "as_of": searched.question.scope.as_of,
        "leans": searched.question.leans,
        "why": decision.why,
        "signals": dict(decision.signals),
        "answerable": searched.evidence.p_answerable,
        "candidates": [CandidateOut.of(each).model_dump() for each in searched.found.candidates],
        "overruled": [CandidateOut.of(each).model_dump() for each in searched.found.overruled],
        "packed": [each.chunk.id for each in searched.packed],
        "verdicts": [
            {"sentence": v.sentence, "ok": v.ok, "problem": v.problem}
            for v in result.verified.verdicts
        ],
        "draft": draft.text if draft else "",
        "repairs": list(draft.repairs) if draft else [],
        "calls": [
            {
                "step": tried.step,
                "outcome": tried.outcome,
                "prompt_tokens": tried.usage.prompt_tokens,
                "cached_tokens": tried.usage.cached_tokens,
                "completion_tokens": tried.usage.written,
            }
            for tried in result.tried
        ],
        "seconds": retold.seconds,
    }
