"""How vLLM is started: its arguments, rendered from the registry."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.manifest import read_adapter
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.ledger.releases import Release
from twofold.settings import Settings

RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has room for: it takes the next one that is large enough."""
MAX_MODEL_LEN = 8192
SPARE_LORAS = 1
"""Places beyond what is loaded at the start, for the next one that is published."""
TEMPLATE = "chat_template.jinja"
PREFIX_CACHE: Final = ("--enable-prefix-caching", "--enable-prompt-tokens-details")
"""With each reply it is told how much of its prompt was read from the cache."""


@dataclass(frozen=True, slots=True)
class ServeArgs:
    """Says how vLLM is started: `model` and `argv` are what follows `vllm serve`. `env` goes into
    its environment, and each of `secrets` as well: the name there -> the variable here that holds
    it. No key is in `argv`, where every process could read it."""

    model: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    secrets: Mapping[str, str]
    left_out: Mapping[str, str]
    """Releases that should be served and cannot be, and why."""

    def shell(self) -> str:
        """Returns one command for a shell."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        settings += [f'{name}="${{{source}:?}}"' for name, source in self.secrets.items()]
        return " ".join([*settings, shlex.join(["vllm", "serve", self.model, *self.argv])])

    def data(self) -> dict[str, object]:
        return {
            "model": self.model,
            "argv": list(self.argv),
            "env": dict(self.env),
            "secrets": dict(self.secrets),
            "left_out": dict(self.left_out),
        }


def serve_args(
    releases: Sequence[Release],
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_model_len: int = 0,
    template: Path | None = None,
) -> ServeArgs:
    """Returns what vLLM needs to serve `releases` (see `Registry.wanted`) beside their base.

    Raises NotFound where nothing was published, Conflict where an adapter's files changed, and
    InvalidInput where no chat template is there: vLLM must not pick one by itself.
    """
    if not releases:
        raise NotFound("No release to serve. Publish an adapter: twofold model publish FOLDER")
    leading = next((r for r in releases if r.state == "live"), releases[-1])
    chosen = [r for r in releases if r.base_path == leading.base_path]
    left_out = {
        r.name: f"made upon {r.base} ({r.base_path}), not upon {leading.base}"
        for r in releases
        if r not in chosen
    }
    for release in chosen:
        check_files(release)
    base = _local(leading.base_path)
    places = len(chosen) + SPARE_LORAS
    argv = [
        *("--served-model-name", settings.model_name or leading.base),
        *("--host", host, "--port", str(port)),
        *("--max-model-len", str(max_model_len or _positions(base))),
        *("--chat-template", str(template or _template(chosen, base))),
        *PREFIX_CACHE,
        "--enable-lora",
        *("--max-lora-rank", str(_rank(chosen))),
        *("--max-loras", str(places), "--max-cpu-loras", str(2 * places)),
        *("--lora-modules", *(f"{r.name}={r.adapter_path}" for r in chosen)),
    ]
    env = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"} if settings.model_admin_url else {}
    secrets = {"VLLM_API_KEY": "TWOFOLD_MODEL_KEY"} if settings.model_key.get_secret_value() else {}
    return ServeArgs(base, tuple(argv), env, secrets, left_out)


def check_files(release: Release) -> None:
    """Raises Conflict where a release's folder holds another adapter than was published."""
    try:
        found = read_adapter(Path(release.adapter_path)).sha256
    except (NotFound, InvalidInput) as error:
        raise Conflict(
            f"{release.name!r} is no longer whole: {error.message} Or put it back as it was."
        ) from error
    if found != release.adapter_sha256:
        raise Conflict(
            f"{release.adapter_path} holds another adapter than {release.name!r} was published"
            " with. Put that one back, and publish the new one from a folder of its own."
        )


def _local(path: str) -> str:
    """Returns a base's folder where it is one, else the hub id that it is."""
    return str(Path(path).resolve()) if Path(path).is_dir() else path


def _positions(base: str) -> int:
    """Returns as many positions as the model was made for, up to MAX_MODEL_LEN."""
    config = Path(base) / "config.json"
    if not config.exists():
        return MAX_MODEL_LEN
    known = json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings")
    return min(int(known or MAX_MODEL_LEN), MAX_MODEL_LEN)


def _rank(releases: Sequence[Release]) -> int:
    ranks = []
    for release in releases:
        path = Path(release.adapter_path) / "adapter_config.json"
        try:
            ranks.append(int(json.loads(path.read_text(encoding="utf-8"))["r"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Conflict(f"{path} does not tell the adapter's rank. Train it again.") from error
    largest = max(ranks)
    if largest > RANKS[-1]:
        raise Conflict(f"vLLM serves ranks up to {RANKS[-1]}, and an adapter has {largest}.")
    return next(rank for rank in RANKS if rank >= largest)


def _template(releases: Sequence[Release], base: str) -> Path:
    """Returns the template that was trained with: an adapter's own, else its base's."""
    own = [path for r in releases if (path := Path(r.adapter_path) / TEMPLATE).exists()]
    if len({path.read_bytes() for path in own}) > 1:
        names = ", ".join(str(path) for path in own)
        raise Conflict(
            f"These chat templates differ, and a server has one: {names}. Retire the releases that"
            " were trained with another than the live one's."
        )
    found = own[-1] if own else Path(base) / TEMPLATE
    if not found.exists():
        raise InvalidInput(
            f"There is no {TEMPLATE} in an adapter's folder or in {base}. Name the template that"
            " was trained with: --chat-template FILE"
        )
    return found
