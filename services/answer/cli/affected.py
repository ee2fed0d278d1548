"""`twofold affected`: past answers that a changed document leaves behind."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.counted import counted
from twofold.options import Json
from twofold.terminal import line, print_json, when

if TYPE_CHECKING:
    from twofold.settings import Settings

REPLAY_SECONDS = 600.0


def affected(
    document: Annotated[str, typer.Argument(help="source/path, such as help/faq.md.")],
    before_version: Annotated[
        int | None, typer.Option(help="Cited before this version; the live one if left out.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Ask again; show those whose meaning changed.")
    ] = False,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1, max=500)] = 100,
    json: Json = False,
) -> None:
    """List past answers that cited a document before it changed.

    Asking again records nothing, and hands nobody over.
    """
    from twofold import server_file
    from twofold.settings import Settings

    settings = Settings()
    wanted = {"document": document, "replay": replay, "limit": limit}
    if before_version is not None:
        wanted["before_version"] = before_version
    server = server_file.find(settings.home) if replay else None
    found = (
        server.ask("GET", "/v1/answers", settings.api_key, params=wanted, timeout_s=REPLAY_SECONDS)
        if server
        else _here(settings, wanted)
    )
    if json:
        print_json(found)
    else:
        _print(found, replay=replay)


def _here(settings: "Settings", wanted: dict[str, Any]) -> dict[str, Any]:
    from services.answer import affected
    from services.answer.endpoints.affected import AffectedsOut, out

    async def replayed(found: affected.Affected) -> list[affected.AnswerComparison]:
        from services.answer.app import open_parts
        from twofold.stack import open_stack

        with open_stack(settings) as stack:
            parts = open_parts(stack)
            try:
                return await affected.replay(parts, found.answers)
            finally:
                await parts.aclose()

    from twofold.ledger import Ledger

    found = affected.find(
        Ledger(settings.ledger),
        settings.workspace,
        wanted["document"],
        wanted.get("before_version"),
        wanted["limit"],
    )
    changed = asyncio.run(replayed(found)) if wanted["replay"] else None
    result: AffectedsOut = out(found, found.answers, changed)
    return result.model_dump()


def _print(found: dict[str, Any], *, replay: bool) -> None:
    until = found["before_version"]
    which = "which is gone" if until is None else f"before version {until}"
    typer.echo(
        f"{found['document']}, {which}: {counted(len(found['answers']), 'answer')}", nl=False
    )
    typer.echo(f" changed of {found['replayed']} asked again" if replay else "")
    for each in found["answers"]:
        versions = ", ".join(map(str, each["versions"]))
        typer.echo(
            f"\n{when(each['created_at'])}  {each['answer']['answer_id']}  cited version {versions}"
        )
        typer.echo(f"  asked: {line(each['question'])}")
        typer.echo(f"  then:  {each['answer']['action']}: {line(each['answer']['text'])}")
        if now := each["now"]:
            typer.echo(f"  now:   {now['action']}: {line(now['text'])}")
            typer.echo(f"  differs in {', '.join(now['changes'])}")
