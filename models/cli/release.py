"""`twofold model`: releases of adapters, from a trained folder to what customers hear."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from twofold.errors import SetupError
from twofold.options import Json
from twofold.terminal import print_json, when

if TYPE_CHECKING:
    from models.registry import Registry
    from models.serve.publish import Publisher
    from twofold.ledger.releases import Release
    from twofold.settings import Settings

T = TypeVar("T")

SHOWN = (
    *("name", "state", "share", "base", "adapter_path", "adapter_sha256", "profile"),
    *("prompt", "house", "fingerprint", "note", "created_at"),
)
HEALTHY_S = 300.0
"""A model server that starts reads its weights and compiles its kernels."""

Name = Annotated[str, typer.Argument(help="A release: see twofold model list.")]
Why = Annotated[str, typer.Option(help="The reason, for whoever looks later.")]

model = typer.Typer(
    no_args_is_help=True, help="Releases of the behaviour layer: publish, try out, promote."
)


def register(app: typer.Typer) -> None:
    app.add_typer(model, name="model")


@model.command("list")
def list_releases(json: Json = False) -> None:
    """What serves what, since when, and why."""
    settings, registry = _open()
    rows = [_row(release, registry, settings) for release in registry.all()]
    base = {"url": settings.model_url, "base": settings.model_name}
    if json:
        print_json(base | {"adapter": settings.model_adapter, "releases": rows})
        return
    if settings.model_adapter:
        typer.echo(f"TWOFOLD_MODEL_ADAPTER={settings.model_adapter} stands in place of these.")
    if not rows:
        typer.echo("No releases. Publish an adapter: twofold model publish FOLDER")
        return
    _show(rows)
    served_by = f"the base model {settings.model_name}" if settings.model_name else "the composer"
    typer.echo(f"What no release answers, {served_by} does.")


@model.command("publish")
def publish(
    folder: Annotated[Path, typer.Argument(help="What `twofold train` wrote.")],
    name: Annotated[str, typer.Option(help="Its name for good; the adapter's by default.")] = "",
    note: Annotated[str, typer.Option(help="What is new about it.")] = "",
    json: Json = False,
) -> None:
    """Make a release of an adapter, and load it where TWOFOLD_MODEL_ADMIN_URL says.

    Nobody is answered by it yet.
    """
    settings, registry = _open()
    release = registry.register(folder, name, note)
    loaded = _on_server(settings, registry, lambda publisher: publisher.ready(release))
    if json:
        print_json(_row(registry.get(release.name), registry, settings) | {"loaded_now": loaded})
        return
    typer.echo(release.name)
    _say(f"{release.name} is {release.state}{_loading(loaded)}. Next: twofold gate {release.name}")


@model.command("canary")
def canary(
    name: Name,
    share: Annotated[float, typer.Option(help="Of conversations: .1 is one in ten.")] = 0.1,
    why: Why = "",
    json: Json = False,
) -> None:
    """Let a release answer a share of the conversations."""
    _change(lambda registry: registry.canary(name, share, why), name, json)


@model.command("promote")
def promote(name: Name, why: Why = "", json: Json = False) -> None:
    """Make a release live, in place of the one that is."""
    _change(lambda registry: registry.promote(name, why), name, json)


@model.command("rollback")
def rollback(why: Why = "", json: Json = False) -> None:
    """Bring back the release that was live before."""
    _change(lambda registry: registry.rollback(why), "", json)


@model.command("retire")
def retire(name: Name, why: Why = "", json: Json = False) -> None:
    """Take a release out of service: a canary, or a live one without another in its place."""
    _change(lambda registry: registry.retire(name, why), "", json)


@model.command("serve-args")
def show_args(
    json: Json = False,
    shell: Annotated[bool, typer.Option("--shell", help="Print one shell command.")] = False,
    host: Annotated[str, typer.Option(help="Where vLLM listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="And on which port.")] = 8000,
    max_model_len: Annotated[
        int, typer.Option(help="Tokens of prompt and reply; 0: what the model can, up to 8192.")
    ] = 0,
    template: Annotated[
        Path | None, typer.Option("--chat-template", help="Default: the one trained with.")
    ] = None,
) -> None:
    """How to start vLLM with every release that is, or may come, into service."""
    from models.serve.args import serve_args

    settings, registry = _open()
    args = serve_args(
        registry.wanted(),
        settings,
        host=host,
        port=port,
        max_model_len=max_model_len,
        template=template,
    )
    for name, why in args.left_out.items():
        _say(f"{name} is left out: {why}")
    if json:
        print_json(args.data())
    elif shell:
        typer.echo(args.shell())
    else:
        typer.echo("\n".join([args.model, *args.argv]))


@model.command("warm-up")
def warm_up(
    wait: Annotated[float, typer.Option(help="Seconds until the server is healthy.")] = HEALTHY_S,
    json: Json = False,
) -> None:
    """Wait for the model server, load what it lacks, and ask every name of it once."""
    settings, registry = _open()

    def work(publisher: "Publisher") -> tuple[list[str], list[str]]:
        publisher.server.wait(wait)
        return publisher.warm(), publisher.sweep()

    if not settings.model_admin_url:
        raise SetupError("Say where the model server is: TWOFOLD_MODEL_ADMIN_URL.")
    warm, unloaded = _on_server(settings, registry, work) or ([], [])
    if json:
        print_json({"warm": warm, "unloaded": unloaded})
        return
    typer.echo(f"Warm: {', '.join(warm)}." + _unloading(unloaded))


def _change(change: "Callable[[Registry], Release]", first: str, json: bool) -> None:
    """Changes who serves. `first` is loaded before it, lest customers find it missing."""
    settings, registry = _open()
    if first:
        _on_server(settings, registry, lambda publisher: publisher.ready(registry.get(first)))
    release = change(registry)
    unloaded = _on_server(settings, registry, lambda publisher: _settle(publisher, release))
    row = _row(registry.get(release.name), registry, settings)
    if json:
        print_json(row | {"unloaded": unloaded or []})
        return
    typer.echo(f"{release.name} is {_state(row)}. Services follow within seconds.")
    if row["not_asked"]:
        _say(f"It is not asked: {row['not_asked']}.")
    if unloaded:
        _say(_unloading(unloaded).strip())


def _settle(publisher: "Publisher", release: "Release") -> list[str]:
    if release.state in ("live", "canary"):
        publisher.ready(release)
    return publisher.sweep()


def _on_server(
    settings: "Settings", registry: "Registry", work: "Callable[[Publisher], T]"
) -> "T | None":
    """Returns what `work` gives on the running server; None where no server is named."""
    if not settings.model_admin_url:
        return None
    from models.serve.publish import Publisher
    from models.serve.vllm import Vllm

    with Vllm(settings.model_admin_url, settings.model_admin_key.get_secret_value()) as server:
        return work(Publisher(registry, server))


def _row(release: "Release", registry: "Registry", settings: "Settings") -> dict[str, Any]:
    from models.registry import reason
    from twofold.ledger.releases import SERVED, misfit

    unfit = misfit(release, registry.house)
    if release.state in SERVED and settings.model_adapter:
        unfit = f"TWOFOLD_MODEL_ADAPTER names {settings.model_adapter}"
    return {
        **{name: getattr(release, name) for name in SHOWN},
        "since": release.changed_at,
        "why": reason(release),
        "who": release.events[-1].who,
        "gate": None if release.gate is None else bool(release.gate["passed"]),
        "asked": release.state in SERVED and not unfit,
        "not_asked": unfit,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("release", "state", "since (UTC)", "gate", "why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        gate = {None: "not yet", True: "passed", False: "failed"}[row["gate"]]
        unfit = f"\nnot asked: {row['not_asked']}" if row["not_asked"] else ""
        why = f"{row['why']} ({row['who']}){unfit}"
        table.add_row(row["name"], _state(row), when(row["since"], utc=True), gate, why)
    Console().print(table)


def _state(row: dict[str, Any]) -> str:
    return f"canary, {row['share']:.0%}" if row["state"] == "canary" else str(row["state"])


def _loading(loaded: bool | None) -> str:
    if loaded is None:
        return "; TWOFOLD_MODEL_ADMIN_URL names no server to load it into"
    return ", loaded and answering" if loaded else ", and was loaded before"


def _unloading(names: list[str]) -> str:
    return f" Unloaded: {', '.join(names)}." if names else ""


def _open() -> "tuple[Settings, Registry]":
    from models.registry import open_registry
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    return settings, open_registry(settings, Ledger(settings.ledger))


def _say(text: str) -> None:
    typer.echo(text, err=True)
