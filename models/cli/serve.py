"""`twofold model merge` and `twofold model serve`: a model of one's own on this machine."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.cli.release import HEALTHY_S, model
from twofold.errors import Conflict, NotFound

if TYPE_CHECKING:
    from models.manifest import AdapterManifest
    from twofold.policy import HousePolicy
    from twofold.settings import Settings


def register() -> None:
    model.command("merge")(merge)
    model.command("serve")(serve)


def merge(
    adapter: Annotated[Path, typer.Argument(help="What `twofold train` wrote.")],
    base: Annotated[
        Path | None, typer.Option(help="Its base's folder; default: where it was trained on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; default: merged/NAME in the home.")
    ] = None,
) -> None:
    """Work an adapter into its base: one model in safetensors, which every server reads."""
    typer.echo(_merged(adapter, base, out))


def serve(
    adapter: Annotated[
        Path | None,
        typer.Argument(help="An adapter to serve merged; default: the live release."),
    ] = None,
    base: Annotated[Path | None, typer.Option(help="As for `twofold model merge`.")] = None,
    adapters: Annotated[
        bool,
        typer.Option("--adapters", help="The base with every release beside it, for canaries."),
    ] = False,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8000,
    max_model_len: Annotated[int, typer.Option(help="Tokens of prompt and reply.")] = 4096,
    python: Annotated[
        str, typer.Option(help="Python of vLLM's environment; default: .venv-vllm, else vllm.")
    ] = "",
    wait: Annotated[float, typer.Option(help="Seconds until it is healthy.")] = HEALTHY_S * 2,
) -> None:
    """Start vLLM with what this machine needs (CPU or GPU), wait until it is healthy, and keep it
    until Ctrl-C.

    Merged, unless --adapters: a LoRA beside the base costs several times the base's time on a CPU.
    """
    from models.serve import local
    from twofold.settings import Settings

    settings = Settings()
    url = f"http://127.0.0.1:{port}"
    command = local.python(python)
    env: dict[str, str] = {}
    if adapters:
        argv, env = _beside(settings, port, max_model_len)
        told = f"TWOFOLD_MODEL_URL={url} TWOFOLD_MODEL_ADMIN_URL={url}"
    else:
        folder, name = _chosen(settings, adapter, base)
        argv = local.merged_args(folder, name, port, max_model_len)
        told = f"TWOFOLD_MODEL_URL={url} TWOFOLD_MODEL_ADAPTER={name}"
    log = settings.home / "vllm.log"
    where = "a GPU" if local.on_gpu() else "the CPU; that takes a minute or more"
    # Ended by a service manager, it must not leave vLLM behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    typer.echo(f"Starting vLLM on {where}. Its log: {log}", err=True)
    with local.running([*command, *argv], url, log, wait, env) as server:
        typer.echo(f"Ready. For the service: {told}")
        sys.stdout.flush()
        try:
            server.wait()
        except KeyboardInterrupt:
            typer.echo("Stopping.", err=True)


def _beside(settings: "Settings", port: int, length: int) -> tuple[list[str], dict[str, str]]:
    from models.registry import open_registry
    from models.serve.args import serve_args
    from twofold.ledger import Ledger
    from twofold.settings import secret

    registry = open_registry(settings, Ledger(settings.ledger))
    admin = settings.model_copy(update={"model_admin_url": f"http://127.0.0.1:{port}"})
    args = serve_args(registry.wanted(), admin, port=port, max_model_len=length)
    for name, why in args.left_out.items():
        typer.echo(f"{name} is left out: {why}", err=True)
    secrets = {name: secret(source) for name, source in args.secrets.items()}
    return ["--model", args.model, *args.argv], {**args.env, **secrets}


def _chosen(settings: "Settings", adapter: Path | None, base: Path | None) -> tuple[Path, str]:
    """Returns the merged folder to serve, and its name: the release's, so that the registry's
    live release finds it, or the adapter's."""
    from models.manifest import read_adapter
    from models.registry import open_registry
    from twofold.house_file import load_house
    from twofold.ledger import Ledger

    if adapter is None:
        registry = open_registry(settings, Ledger(settings.ledger))
        live = next((each for each in registry.all() if each.state == "live"), None)
        if live is None:
            raise NotFound(
                "No release is live. Name an adapter's folder, or promote one: twofold model list"
            )
        return _merged(Path(live.adapter_path), base, None), live.name
    manifest = read_adapter(adapter)
    _check_fits(adapter, manifest, load_house(settings.house_file))
    return _merged(adapter, base, None), manifest.name


def _check_fits(adapter: Path, manifest: "AdapterManifest", house: "HousePolicy") -> None:
    """Raises Conflict: what is asked with another prompt than it was trained on answers badly."""
    from twofold.prompt import prompt_digest

    if (manifest.prompt, manifest.house) != (prompt_digest(house, manifest.profile), house.digest):
        raise Conflict(
            f"{adapter} was trained under another prompt or house policy than today's. Train it"
            " again: twofold dataset build, then twofold train."
        )


def _merged(adapter: Path, base: Path | None, out: Path | None) -> Path:
    from models.manifest import read_adapter
    from models.serve.merge import merge as work_in
    from twofold.settings import Settings

    manifest = read_adapter(adapter)
    home = Settings().home
    known = (base or Path(manifest.base.path), home / "bases" / "smollm2")
    source = next((each for each in known if (each / "config.json").exists()), None)
    if source is None:
        raise NotFound(f"{manifest.base.path} is not there: say where the base is with --base.")
    folder = out or home / "merged" / manifest.name
    if work_in(adapter, source, folder):
        typer.echo(f"Merged {adapter} into {source}.", err=True)
    return folder
