"""`twofold answers`: answers that people pinned to a question."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

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
        _print(made)
    else:
        typer.echo(f"{made['id']}  {made['state']}  {made['question']}")


@answers.command("list")
def list_all(json: Json = False) -> None:
    """Approved answers, newest first; what changed in the sources of those that are suspended."""
    found = _call("GET", PATH)
    if json:
        _print(found)
        return
    for each in found["answers"]:
        day = datetime.fromtimestamp(each["created_at"], UTC).strftime("%Y-%m-%d")
        typer.echo(f"{each['id']}  {day}  {each['state']}  {_line(each['question'])}")
        for change in each["changes"]:
            live = "gone" if change["live"] is None else f"now version {change['live']}"
            typer.echo(f"  {change['document']}: approved by version {change['approved']}, {live}")
            for line in change["difference"].splitlines():
                typer.echo(f"    {_line(line)}")
    if not found["answers"]:
        typer.echo("No approved answers. Pin one: twofold answers approve ANSWER_ID.")


@answers.command("withdraw")
def withdraw(id: Annotated[str, typer.Argument(help="Of an approved answer.")]) -> None:
    """Take an approved answer back."""
    _call("DELETE", f"{PATH}/{id}")
    typer.echo(f"Withdrew {id}.")


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Of the server that runs on this home; without one, of the same endpoint in this process."""
    from twofold import server_file
    from twofold.settings import Settings

    settings = Settings()
    server = server_file.find(settings.home)
    if server is not None:
        key = settings.api_key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return asyncio.run(_sent(method, path, body, None, base_url=server.url, headers=headers))

    from services.answer.app import admitting, bare_app, open_parts
    from twofold.stack import open_stack

    with open_stack(settings) as stack:
        app = admitting(bare_app(open_parts(stack)), settings.workspace)
        return asyncio.run(_sent(method, path, body, app, base_url="http://localhost"))


async def _sent(
    method: str, path: str, body: dict[str, Any] | None, app: "ASGIApp | None", **more: Any
) -> Any:
    import httpx

    from twofold.errors import InvalidInput, UpstreamError

    transport = httpx.ASGITransport(app) if app is not None else None
    try:
        async with httpx.AsyncClient(
            transport=transport, trust_env=False, timeout=SECONDS, **more
        ) as http:
            response = await http.request(method, path, json=body)
            found = response.json() if response.content else {}
    except (httpx.HTTPError, ValueError) as error:
        raise UpstreamError(f"The server broke off ({type(error).__name__}).") from error
    if response.is_success:
        return found
    said = str(found.get("detail") or f"The server answered {response.status_code}.")
    raise InvalidInput(said) if response.is_client_error else UpstreamError(said)


def _line(text: str) -> str:
    # Without control characters: what a customer typed must not drive the terminal.
    return "".join(c for c in " ".join(text.split(" ")) if c.isprintable())


def _print(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
