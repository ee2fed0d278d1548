"""`twofold answers`: answers that people pinned to a question."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.options import Json
from twofold.terminal import line, print_json

if TYPE_CHECKING:
    from starlette.types import ASGIApp


answers = typer.Typer(help="Approved answers: what a question gets word for word.")

PATH = "/v1/approved-answers"
SECONDS = 60.0


@answers.command("approve")
def approve(
    id: Annotated[str, typer.Argument(help="The answer_id of an answer that was given.")],
    question: Annotated[
        str, typer.Option(help="What it answers; as it was asked when left out.")
    ] = "",
    valid_from: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day; today at once.")
    ] = None,
    valid_until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; no end if none.")
    ] = None,
    json: Json = False,
) -> None:
    """Pin an answer: who asks the same gets it word for word, until a source of it changes."""
    body: dict[str, Any] = {"answer_id": id, "question": question}
    for name, day in (("valid_from", valid_from), ("valid_until", valid_until)):
        if day is not None:
            body[name] = day.date().isoformat()
    made = _call("POST", PATH, body)
    if json:
        print_json(made)
    else:
        typer.echo(f"{made['id']}  {made['state']}  {made['question']}")


@answers.command("list")
def list_all(json: Json = False) -> None:
    """Approved answers, newest first; what changed in the sources of those that are suspended."""
    found = _call("GET", PATH)
    if json:
        print_json(found)
        return
    for each in found["answers"]:
        day = datetime.fromtimestamp(each["created_at"], UTC).strftime("%Y-%m-%d")
        typer.echo(f"{each['id']}  {day}  {each['state']}  {line(each['question'])}")
        for change in each["changes"]:
            live = "gone" if change["live"] is None else f"now version {change['live']}"
            typer.echo(f"  {change['document']}: approved by version {change['approved']}, {live}")
            for each_line in change["difference"].splitlines():
                typer.echo(f"    {line(each_line)}")
    if not found["answers"]:
        typer.echo("No approved answers. Pin one: twofold answers approve ANSWER_ID.")


@answers.command("withdraw")
def withdraw(id: Annotated[str, typer.Argument(help="Of an approved answer.")]) -> None:
    """Take an approved answer back."""
    _call("DELETE", f"{PATH}/{id}")
    typer.echo(f"Withdrew {id}.")


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Calls the server that runs on this home, or where none does the same endpoint in this
    process."""
    from twofold import server_file
    from twofold.settings import Settings

    settings = Settings()
    server = server_file.find(settings.home)
    if server is not None:
        return server.ask(method, path, settings.api_key, json=body, timeout_s=SECONDS)

    from services.answer.app import admitting, bare_app, open_parts
    from twofold.stack import open_stack

    with open_stack(settings) as stack:
        app = admitting(bare_app(open_parts(stack)), settings.workspace)
        return asyncio.run(_in_process(app, method, path, body))


async def _in_process(
    app: "ASGIApp", method: str, path: str, body: dict[str, Any] | None
) -> dict[str, Any]:
    import httpx

    from twofold import server_file

    url = "http://localhost"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=url) as http:
        return server_file.result(await http.request(method, path, json=body), url)
