"""`twofold knowledge retry`: failed documents and dead letters, tried again."""

from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.options import Json, Workspace
from twofold.terminal import print_json

if TYPE_CHECKING:
    from twofold.settings import Settings


def register(knowledge: typer.Typer) -> None:
    knowledge.command("retry")(retry)


def retry(
    source: Annotated[str, typer.Argument(help="Name of the source, such as help.")],
    document: Annotated[
        str | None, typer.Argument(help="One document, such as faq.md; all of them if not given.")
    ] = None,
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """Try failed documents of a source again: in the server that runs, else here and now."""
    from ingestion.jobs.queue import Queue
    from ingestion.jobs.schedule import retry as again
    from twofold import server_file
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    elsewhere = bool(settings.redis_url or server_file.find(settings.home))
    count = again(Queue(Ledger(settings.ledger)), workspace or settings.workspace, source, document)
    if count and not elsewhere:
        _do_all(settings)
    if json:
        print_json({"retried": count, "here": not elsewhere})
    elif not count:
        typer.echo(f"Nothing of source {source!r} has failed.")
    else:
        how = "queued" if elsewhere else "done; see: twofold knowledge status"
        typer.echo(f"{count} to try again: {how}")


def _do_all(settings: "Settings") -> None:
    from ingestion.jobs.job import QUEUES
    from ingestion.jobs.queue import Queue
    from ingestion.jobs.tasks import work
    from twofold import stack as stacks

    with stacks.open_stack(settings) as stack:
        queue = Queue(stack.ledger)
        while work(stack, queue, QUEUES, Event()):
            pass
