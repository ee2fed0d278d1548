"""What a source's `config` may hold, and where its secrets come from."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from twofold.errors import Forbidden, InvalidInput, SetupError
from twofold.index.contract import KINDS, Kind
from twofold.settings import secret

SECRET_PREFIX = "TWOFOLD_SECRET_"  # noqa: S105  the prefix of names, not a secret
"""Only these variables are sent to a source's server: no config can ask for any other."""

_SECRET_NAME = re.compile(rf"{SECRET_PREFIX}[A-Z0-9_]+")
_AUDIENCE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,62}")

Model = TypeVar("Model", bound="SourceConfig")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _secret_name(value: Any) -> Any:
    if value and not _SECRET_NAME.fullmatch(str(value)):
        # The value is not repeated: it may be the secret itself, put where its name belongs.
        raise ValueError(f"it must be the name of a variable that begins with {SECRET_PREFIX}")
    return value


def _audience(value: Any) -> Any:
    if not isinstance(value, str) or not _AUDIENCE.fullmatch(value):
        raise ValueError("it must be a name such as public, customer or internal")
    return value


Audience = Annotated[str, BeforeValidator(_audience)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Audiences = Annotated[tuple[Audience, ...], BeforeValidator(_listed), Field(min_length=1)]
SecretName = Annotated[str, BeforeValidator(_secret_name)]


class SourceConfig(BaseModel):
    """What every source takes: what its documents are where they do not say it themselves."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    audience: Audiences = ("public",)
    kind: Kind | None = None
    product: str = ""
    labels: Texts = ()

    def record(self) -> dict[str, Any]:
        """Returns JSON values, those that were given: what the ledger keeps."""
        return self.model_dump(mode="json", exclude_unset=True)

    def meta(self, **known: Any) -> dict[str, Any]:
        """Returns the front matter of one document: what is `known` of it, else what the config
        says."""
        meta: dict[str, Any] = {"audience": list(self.audience)}
        if self.kind:
            meta["kind"] = self.kind
        if self.product:
            meta["product"] = self.product
        labels = list(dict.fromkeys([*self.labels, *known.pop("labels", [])]))
        if labels:
            meta["labels"] = labels
        return {**meta, **{name: value for name, value in known.items() if value}}


def read_config(model: type[Model], kind: str, config: Mapping[str, Any]) -> Model:
    """Raises InvalidInput naming each key that is wrong, and the keys there are."""
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        wrong = "; ".join(_wrong(each) for each in error.errors(include_url=False))
        raise InvalidInput(
            f"The config of a source of kind {kind!r} is wrong: {wrong}."
            f" It takes: {', '.join(model.model_fields)}."
        ) from None


def _wrong(error: Any) -> str:
    key = ".".join(map(str, error["loc"])) or "config"
    said = {"extra_forbidden": "there is no such key", "missing": "it is missing"}
    message = said.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    if key == "kind":
        message = f"it must be one of {', '.join(KINDS)}"
    return f"{key}: {message}"


def read_secret(name: str, url: str) -> str:
    """Returns the secret in the variable of this name, for the host of `url`.

    Raises SetupError where it is not set or nobody said whose it is, and Forbidden where it is
    another host's: who may change a source's config must not have it sent elsewhere.
    """
    host, owner = httpx.URL(url).host, f"{name}_HOST"
    hosts = [each.strip().lower() for each in secret(owner).split(",") if each.strip()]
    if not hosts:
        raise SetupError(f"Say which host may see {name}: set the variable {owner}, to {host!r}.")
    if host not in hosts:
        raise Forbidden(f"{name} is not for {host!r}: the variable {owner} names its hosts.")
    value = secret(name)
    if not value:
        raise SetupError(f"The environment variable {name} is not set. Put the source's token in.")
    if not value.isascii() or not value.isprintable():
        raise SetupError(f"The environment variable {name} holds more than a token. Mend it.")
    return value


__all__ = ["Audiences", "SecretName", "SourceConfig", "Texts", "read_config", "read_secret"]
