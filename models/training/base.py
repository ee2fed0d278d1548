"""The model under an adapter: a folder, or a name that the Hugging Face hub knows."""

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

from models.manifest import Base, weights_sha256
from twofold.errors import InvalidInput, NotFound, SetupError

LIBRARIES = ("torch", "transformers", "trl", "peft")
_CONFIG = "config.json"
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


class BaseFiles(NamedTuple):
    """A base's files. `limit`: tokens that it can attend to."""

    base: Base
    folder: Path
    limit: int


def find_base(name: str) -> BaseFiles:
    """Raises NotFound, or SetupError where a hub name needs libraries that are not there."""
    folder = Path(name)
    if folder.is_dir():
        folder = folder.resolve()
        if not (folder / _CONFIG).exists():
            raise NotFound(f"{folder} holds no model: it has no {_CONFIG}.")
        base = Base(name=_name(folder), path=str(folder), sha256=weights_sha256(folder))
    else:
        folder = _download(name)
        base = Base(name=name, path=name, sha256=weights_sha256(folder))
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    return BaseFiles(base, folder, int(config["max_position_embeddings"]))


def need_libraries() -> None:
    """Raises SetupError where training's libraries are not installed."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"Training needs {', '.join(missing)}, which this environment lacks. Make one that has "
            "them with: make .venv-train/.ready. Then run .venv-train/bin/twofold train"
        )


def need_four_bits() -> None:
    """Raises SetupError where the base cannot be held in four bits."""
    import torch

    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise SetupError(
            "quantize: nf4 needs a GPU and bitsandbytes. On the machine that has one: "
            ".venv-train/bin/pip install bitsandbytes. Or set quantize to none in the recipe."
        )


def load_tokenizer(found: BaseFiles) -> Any:
    """Raises InvalidInput where the base cannot be tuned for conversations."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found.folder)
    if not tokenizer.chat_template:
        raise InvalidInput(
            f"{found.base.path} has no chat template: it was never taught conversations. "
            "Take the instruction-tuned variant (its name often ends in -Instruct)."
        )
    if tokenizer.eos_token_id is None:
        raise InvalidInput(
            f"The tokenizer of {found.base.path} names no eos_token, so a reply could never end. "
            "Set it in tokenizer_config.json."
        )
    return tokenizer


def _name(folder: Path) -> str:
    """Returns the name in the folder's own manifest; else the folder's."""
    try:
        return str(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def _download(name: str) -> Path:
    need_libraries()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NotFound(
            f"There is no folder {name}, and the Hugging Face hub gave no model of that name "
            f"({type(error).__name__}). Give the path of a folder with its files."
        ) from error
