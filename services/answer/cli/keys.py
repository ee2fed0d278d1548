"""`twofold key` and `twofold handoffs`: who may call, and what waits for a person."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.counted import counted
from twofold.options import Json, Workspace
from twofold.terminal import line, print_json, when

if TYPE_CHECKING:
    from twofold.ledger import Ledger
    from twofold.settings import Settings


key = typer.Typer(help="API keys: one workspace, some scopes, some audiences each.")
handoffs = typer.Typer(help="What was handed to people.")

QUESTION_CHARS = 80
FIRST = """\
This is the first key: from now on every request needs one, also from this machine, also once all
are revoked.
  curl:               -H 'authorization: Bearer tf_…'
  `twofold ask`, …:   TWOFOLD_API_KEY=tf_…, in the environment or in .env"""
NONE_LEFT = """\
No key is in use now, and every request still needs one: twofold key create NAME --scope answer"""


@key.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for: widget, crm, ….")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="answer, search, read, feedback, handoffs, knowledge, metrics or admin (all)."
        ),
    ],
    workspace: Workspace = "",
    audience: Annotated[
        list[str] | None,
        typer.Option(help="What it may ask for beyond public. May be given several times."),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Requests a minute; 0: any number.", min=0)
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from-file",
            help="Take the key that stands in this file, where it is not there yet: for secrets"
            " that are made elsewhere.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown this once; the ledger keeps its hash.

    From the first key on every request needs one, also once all are revoked.
    """
    from services.answer.access.keys import create_key, list_keys, take_key

    settings, ledger = _open()
    first = not list_keys(ledger)
    into = workspace or settings.workspace
    if from_file is not None:
        plain = _read(from_file)
        new = take_key(ledger, plain, name, into, scope, audience or (), rate)
        typer.echo(f"key {name} of workspace {into} {'is taken' if new else 'was there already'}")
        if first:
            typer.echo(FIRST, err=True)
        return
    made = create_key(ledger, name, into, scope, audience or (), rate)
    if json:
        print_json({"id": made.id, "key": made.plain, "workspace": into, "name": name})
    else:
        typer.echo(made.plain)
        typer.echo(f"key {made.id} ({name}) of workspace {into}; it is not shown again", err=True)
    if first:
        typer.echo(FIRST, err=True)


@key.command("list")
def list_all(workspace: Workspace = "", json: Json = False) -> None:
    """Every key, of one workspace or of all."""
    from services.answer.access.keys import list_keys

    _, ledger = _open()
    rows = list_keys(ledger, workspace or None)
    names = ("id", "workspace", "name", "scopes", "audiences", "rate", "created_at", "revoked_at")
    if json:
        print_json([{name: getattr(row, name) for name in names} for row in rows])
        return
    for row in rows:
        state = f"revoked {when(row.revoked_at, utc=True)}" if row.revoked_at else "in use"
        seen = f" for {','.join(row.audiences)}" if row.audiences else ""
        may = f"{','.join(row.scopes)}{seen}"
        made = when(row.created_at, utc=True)
        typer.echo(f"{row.id}  {row.workspace}  {row.name}  {may}  {made}  {state}")
    if not rows:
        typer.echo("No keys: requests from this machine need none.")


@key.command("revoke")
def revoke(
    id: Annotated[str, typer.Argument(help="Its id, or its name.")], workspace: Workspace = ""
) -> None:
    """End a key. Servers follow within seconds."""
    from services.answer.access.keys import list_keys, revoke_key

    settings, ledger = _open()
    into = workspace or settings.workspace
    typer.echo(f"Revoked {revoke_key(ledger, id, into)}. Servers follow within seconds.")
    if all(row.revoked_at for row in list_keys(ledger)):
        typer.echo(NONE_LEFT, err=True)


@handoffs.command("list")
def list_handoffs(
    state: Annotated[
        str, typer.Option(help="pending, delivered, kept or failed; all by default.")
    ] = "",
    workspace: Workspace = "",
    limit: Annotated[int, typer.Option(min=1)] = 50,
    json: Json = False,
) -> None:
    """Handoffs, newest first."""
    from services.answer.handoffs.outbox import STATES, find
    from services.answer.handoffs.schemas import HandoffOut
    from twofold.errors import InvalidInput
    from twofold.house_file import load_house

    if state and state not in STATES:
        raise InvalidInput(f"{state!r} is no state: {', '.join(STATES)}.")
    settings, ledger = _open()
    found = find(
        ledger,
        load_house(settings.house_file),
        workspace or settings.workspace,
        state or None,
        limit,
    )
    if json:
        print_json([HandoffOut.of(each).model_dump() for each in found])
        return
    for each in found:
        row, reason = each.handoff, each.handoff.reason if each.searched else "not searched"
        shown = f"{row.id}  {when(row.created_at, utc=True)}  {row.state}  {row.team}  {reason}"
        shown += "  closed" * each.closed
        if asked := _asked(each.packet):
            shown += f"\n  “{asked}”"
        for delivery in each.deliveries:
            why = f" ({delivery.error})" if delivery.error else ""
            attempts = counted(delivery.attempts, "attempt")
            shown += f"\n  {delivery.target}: {delivery.state}, {attempts}{why}"
        typer.echo(shown)
    if found:
        typer.echo("In whole: at the desk (/desk of the server), or with --json.", err=True)
    else:
        typer.echo("No handoffs.")


@handoffs.command("retry")
def retry_handoffs(
    id: Annotated[str, typer.Argument(help="A handoff; all that gave up when left out.")] = "",
    workspace: Workspace = "",
) -> None:
    """Deliver again what was given up. The running server does it."""
    from services.answer.handoffs.outbox import retry

    settings, ledger = _open()
    count = retry(ledger, workspace or settings.workspace, id or None)
    typer.echo(f"{counted(count, 'handoff is', 'handoffs are')} due again.")


def _asked(packet: dict[str, Any]) -> str:
    """Returns the first words of what was asked last."""
    asked = (each["text"] for each in packet["transcript"][::-1] if each["role"] == "customer")
    return textwrap.shorten(line(next(asked, "")), QUESTION_CHARS, placeholder=" …")


def _read(path: Path) -> str:
    from twofold.errors import InvalidInput

    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from None


def _open() -> "tuple[Settings, Ledger]":
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    return settings, Ledger(settings.ledger)
