"""`twofold sources`: sources of every kind, added once and synced by name."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ingestion.cli import status
from twofold.counted import counted
from twofold.options import Json, Workspace
from twofold.terminal import print_json

Name = Annotated[str, typer.Argument(help="Name of the source, such as help.")]


def register(app: typer.Typer) -> None:
    sources = typer.Typer(help="Where documents come from.", no_args_is_help=True)
    sources.command("add")(add)
    sources.command("list")(listed)
    sources.command("remove")(remove)
    app.add_typer(sources, name="sources")


def add(
    name: Name,
    kind: Annotated[
        str,
        typer.Option(help="folder, website, zendesk, intercom, feed or github_releases."),
    ],
    config: Annotated[
        list[str] | None,
        typer.Option(
            help="key=value; again for more. A key given twice is a list; JSON values are read as"
            " such. Tokens are named by their variable: token_env=TWOFOLD_SECRET_ZENDESK."
        ),
    ] = None,
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """Add a source, or change the config of one; `twofold sync NAME` then reads it."""
    from ingestion.jobs.schedule import ours
    from ingestion.sources import check_name, open_source
    from ingestion.sync.lease import register as keep
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    pairs = read_pairs(config or ())
    source = open_source(settings, kind, check_name(name), pairs)
    ledger = Ledger(settings.ledger)
    kept = {**source.config, **ours(pairs)}
    keep(ledger, workspace or settings.workspace, source.name, source.kind, kept)
    if json:
        print_json({"name": source.name, "kind": source.kind, "config": dict(source.config)})
    else:
        typer.echo(f"Source {name!r} is there. Read it with: twofold sync {name}")


def listed(workspace: Workspace = "", json: Json = False) -> None:
    """The sources of a workspace; with --json also their config."""
    status.sources(workspace, json)


def remove(
    name: Name,
    workspace: Workspace = "",
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a source and all its documents: nothing of it answers any more.

    Past answers that cited it stay on record; `twofold affected` lists them.
    """
    from ingestion.jobs.dispatch import do_now
    from ingestion.jobs.queue import Queue
    from ingestion.jobs.remote import follow, serving
    from ingestion.jobs.schedule import removal_job
    from ingestion.sync.status import find_source
    from twofold.ledger import Ledger
    from twofold.settings import Settings
    from twofold.stack import open_stack

    settings = Settings()
    chosen = workspace or settings.workspace
    ledger = Ledger(settings.ledger)
    known = find_source(ledger, chosen, name)
    if not yes and not json:
        typer.confirm(
            f"Remove {name!r} and its {counted(known.documents, 'document')}?", abort=True
        )
    job = removal_job(chosen, name, known.kind)
    if serving(settings):
        (id,) = Queue(ledger).put([job])
        removed = follow(settings, ledger, chosen, id).counts["removed"]
    else:
        with open_stack(settings) as stack:
            removed = do_now(stack, Queue(stack.ledger), job)["removed"]
    if json:
        print_json({"removed": removed})
    else:
        typer.echo(f"Source {name!r} is gone, and {counted(removed, 'document')} with it.")


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Returns `key=value` pairs as a config. Raises InvalidInput naming one that is no pair."""
    from twofold.errors import InvalidInput

    config: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"{key!r} is not of the form key=value.")
        if key in config:
            before = config[key] if isinstance(config[key], list) else [config[key]]
            config[key] = [*before, _value(value)]
        else:
            config[key] = _value(value)
    return config


def _value(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return text
    import orjson

    from twofold.errors import InvalidInput

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{text[:40]!r} is not valid JSON: {error}.") from error
