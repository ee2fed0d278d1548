"""`twofold ask`: one question, answered in this process or by the server that runs on this home."""

import asyncio
import sys
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.options import Json
from twofold.terminal import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from twofold.server_file import Running
    from twofold.settings import Settings

HTTP_SECONDS = 120.0
LOOK_SECONDS = 5.0
UNBROKEN = 10_000
"""Columns of an output that nobody watches."""
COLOURS = {"ANSWER": "green", "CLARIFY": "yellow", "ESCALATE": "dark_orange", "DECLINE": "blue"}


def register(app: typer.Typer) -> None:
    """Add this plane's commands to the `twofold` command."""
    from services.answer.cli.affected import affected
    from services.answer.cli.answers import answers
    from services.answer.cli.keys import handoffs, key

    app.command("ask")(ask)
    app.command("affected")(affected)
    app.add_typer(answers, name="answers")
    app.add_typer(key, name="key")
    app.add_typer(handoffs, name="handoffs")


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    audience: Annotated[
        list[str] | None,
        typer.Option(help="Who asks, beyond public: customer, internal. May be given twice."),
    ] = None,
    locale: Annotated[str, typer.Option(help="Language; detected when left out.")] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", formats=["%Y-%m-%d"], help="Ask about the rules of that day."),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Go on with the conversation of an earlier answer.")
    ] = None,
    json: Json = False,
) -> None:
    """Ask the help center a question.

    Goes to the server that runs on this TWOFOLD_HOME; without one it is answered right here.
    """
    from twofold import server_file
    from twofold.settings import Settings

    body: dict[str, Any] = {"message": question, "audience": audience or [], "locale": locale}
    if as_of is not None:
        body["as_of"] = as_of.replace(tzinfo=UTC).date().isoformat()
    if conversation is not None:
        body["conversation_id"] = conversation
    settings = Settings()
    server = server_file.find(settings.home)
    if server and _holds_nothing(server, settings):
        raise _nothing_indexed(settings)
    answer = (
        server.ask("POST", "/v1/chat", settings.api_key, json=body, timeout_s=HTTP_SECONDS)
        if server
        else _in_process(settings, body)
    )
    if json:
        print_json(answer)
    else:
        _print(answer)


def _in_process(settings: "Settings", body: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from services.answer.schemas import ChatAnswer, ChatRequest
    from twofold.errors import InvalidInput

    try:
        request = ChatRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None

    embedded = not settings.ledger_url and not settings.qdrant_url
    if embedded and not settings.home.exists():
        raise _nothing_indexed(settings)

    from services.answer.access.keys import Caller
    from services.answer.app import open_parts
    from services.answer.pipeline import ask_once
    from twofold.stack import open_stack

    with open_stack(settings) as stack:
        if not stack.index.count():
            raise _nothing_indexed(settings)
        ask = request.ask(Caller(settings.workspace))
        answered = asyncio.run(ask_once(ask, open_parts(stack)))
    return ChatAnswer.of(answered).model_dump()


def _holds_nothing(server: "Running", settings: "Settings") -> bool:
    """Returns whether nothing is indexed there: a customer is handed over, and who runs it can
    mend it."""
    from twofold.errors import TwofoldError

    try:
        return not server.ask("GET", "/readyz", settings.api_key, timeout_s=LOOK_SECONDS)["chunks"]
    except TwofoldError:
        return False  # the question is told what is wrong


def _nothing_indexed(settings: "Settings") -> Exception:
    from twofold.errors import NotFound

    return NotFound(
        f"Nothing is indexed in {settings.home.absolute()}, so nothing can be answered. Index the"
        " documents first: twofold ingest PATH --source NAME; or name the folder whose .twofold"
        " holds them: twofold -C FOLDER ask …"
    )


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    # Line breaks help only a person at a terminal.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else UNBROKEN)
    head = Text(answer["action"], style=f"bold {COLOURS.get(answer['action'], 'white')}")
    if escalation := answer["escalation"]:
        head.append(f"  to {escalation['team']}, because {escalation['reason']}", style="not bold")
    console.print(head)
    console.print()
    console.print(Text(_visible(answer["text"])))
    for citation in answer["citations"]:
        _print_source(console, citation)
    console.print()
    console.print(Text(f"conversation {answer['conversation_id']}", style="dim"))


def _print_source(console: "Console", citation: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print()
    title = Text(f"[{citation['n']}] ", style="bold cyan")
    title.append(_visible(citation["title"]), style="bold")
    console.print(title)
    for words, style in (
        (f"{citation['document']}, version {citation['version']}", "dim"),
        (citation["url"], "blue"),
        (f"“{citation['quote']}”", "italic"),
    ):
        if words:
            text = Text(_visible(words), style=style)
            console.print(Padding(text, (0, 0, 0, 4), expand=False))


def _visible(text: str) -> str:
    """Returns the text without control characters: a document must not drive the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
