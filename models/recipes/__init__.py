"""Recipes: how an adapter is trained, one small YAML file each. Yours may lie anywhere."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twofold.errors import InvalidInput, NotFound

_HERE = Path(__file__).parent


class Preference(BaseModel):
    """The step on pairs that may follow the one on rows: what it has other than that one.

    DPO (Rafailov et al. 2023) with the approved reply's own loss beside it (Pang et al. 2024).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(gt=0)
    epochs: float = Field(default=1.0, gt=0)
    accumulate: int = Field(default=8, gt=0)
    """Pairs in one optimizer step."""
    beta: float = Field(default=0.1, gt=0)
    """How near the adapter stays to what it was: the larger, the nearer."""
    anchor: float = Field(default=0.2, ge=0)
    """Weight of the approved reply's own loss; with 0 it may itself become unlikely."""


class Recipe(BaseModel):
    """Every hyper-parameter of a training run. The defaults are those of a small LoRA run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rank: int = Field(gt=0)
    alpha: int = Field(gt=0)
    """An adapter's product is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Which layers get an adapter; `all-linear` leaves out the output head."""
    frozen_layers: int = Field(default=0, ge=0)
    """So many of the lowest layers get no adapter: no gradient has to reach them."""
    quantize: Literal["none", "nf4"] = "none"
    """`nf4`: the base in four bits under the adapter (QLoRA, Dettmers et al. 2023); needs a GPU and
    bitsandbytes, and a third of the memory."""
    learning_rate: float = Field(gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of all steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    epochs: float = Field(gt=0)
    max_length: int = Field(gt=0)
    """Tokens of the longest row, reply included. Longer rows are refused, never cut."""
    batch: int = Field(default=1, gt=0)
    """Sequences in one pass: of one row each, or with `packing` of `max_length` tokens."""
    accumulate: int = Field(gt=0)
    """Passes in one optimizer step."""
    packing: bool = False
    """Several rows in one sequence. Nothing is padded: worth it where rows are short for the
    device. The mask that keeps rows apart costs attention time over the whole sequence."""
    attention: str = "sdpa"
    """The attention implementation, by transformers' name."""
    gradient_checkpointing: bool = False
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """What the base is loaded in; bfloat16 also runs the passes in it (autocast)."""
    evals: int = Field(default=4, gt=0)
    """So often in an epoch the loss on the eval split is taken and a checkpoint written."""
    patience: int = Field(default=4, gt=0)
    """Stop after so many evals in a row without a better loss."""
    format_sample: int = Field(default=32, ge=0)
    """Rows of the eval split that are answered in the end, to see who keeps the contract."""
    max_new_tokens: int = Field(default=400, gt=0)
    """The longest such answer, in tokens."""
    preference: Preference | None = None
    """What is other where pairs are trained on."""

    @model_validator(mode="after")
    def _unpadded(self) -> Self:
        if self.batch > 1 and not self.packing:
            raise ValueError(
                "rows of a batch would be padded to the longest one: set packing to true, or batch "
                "to 1 and accumulate to what batch was"
            )
        return self

    def on_pairs(self) -> "Recipe":
        """Returns the recipe of the preference step: a pair in each pass. Raises InvalidInput
        where this one has none."""
        if self.preference is None:
            raise InvalidInput(
                f"Recipe {self.name} does not say how pairs are trained on. Add `preference:` with"
                " its learning_rate to a recipe of your own."
            )
        if self.attention != "sdpa":
            raise InvalidInput(
                f"Pairs are trained on with attention: sdpa; recipe {self.name} has"
                f" {self.attention}."
            )
        other = self.preference.model_dump(include={"learning_rate", "epochs", "accumulate"})
        return self.model_copy(update={**other, "batch": 1, "packing": False})


def load_recipe(name: str) -> Recipe:
    """Returns a shipped recipe by its name, or one from a YAML file. Raises NotFound or
    InvalidInput."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else _HERE / f"{name}.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(
            f"There is no recipe {name!r}. Shipped are: {', '.join(shipped())}; "
            "or give the path of a YAML file."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{path} holds no keys; a recipe is a YAML mapping.")
    try:
        return Recipe.model_validate({"name": path.stem} | data)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {_problems(error)}") from error


def shipped() -> list[str]:
    return sorted(path.stem for path in _HERE.glob("*.yaml"))


def _problems(error: ValidationError) -> str:
    """Returns every problem in one sentence, unknown keys first and by name."""
    unknown = [str(each["loc"][0]) for each in error.errors() if each["type"] == "extra_forbidden"]
    other = [
        f"{'.'.join(str(part) for part in each['loc']) or 'the recipe'}: {each['msg']}"
        for each in error.errors()
        if each["type"] != "extra_forbidden"
    ]
    if unknown:
        known = ", ".join(sorted(Recipe.model_fields))
        other.insert(0, f"unknown keys: {', '.join(unknown)} (known are {known})")
    return "; ".join(other) + "."
