"""The model under an adapter: a folder, or a name that the Hugging Face hub knows."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from models.manifest import Base, weights_sha256
from twofold.errors import InvalidInput, NotFound

_CONFIG = "config.json"
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


class Found(NamedTuple):
    """A base that can be tuned. `limit`: tokens that it can attend to."""

    base: Base
    folder: Path
    tokenizer: Any
    limit: int


def find_base(name: str) -> Found:
    """Raises NotFound, or InvalidInput where it cannot be tuned for conversations."""
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
    return Found(base, folder, _tokenizer(name, folder), int(config["max_position_embeddings"]))


def _name(folder: Path) -> str:
    """As the folder's own manifest says, where it has one."""
    try:
        return str(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NotFound(
            f"There is no folder {name}, and the Hugging Face hub gave no model of that name "
            f"({type(error).__name__}). Give the path of a folder with its files."
        ) from error


def _tokenizer(name: str, folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise InvalidInput(
            f"{name} has no chat template: it was never taught conversations. "
            "Take the instruction-tuned variant (its name often ends in -Instruct)."
        )
    if tokenizer.eos_token_id is None:
        raise InvalidInput(
            f"The tokenizer of {name} names no eos_token, so a reply could never end. "
            "Set it in tokenizer_config.json."
        )
    return tokenizer
