"""The product on this machine, as evals see it.

Evals reach a service over HTTP. What they measure below it (retrieval stage by stage, the scope
classifier) or start themselves is handed in here, by name at run time, so that `models` depends on
no other plane.
"""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol, cast

import httpx

from models.evaluate.labelled import Labelled
from twofold.errors import SetupError
from twofold.settings import Settings

LOCAL = "services.standalone.evals:Local"
RUNS = ("bm25", "dense", "fusion", "full")

Rewrite = Literal["none", "history"]
Progress = Callable[[str, int, int], None]
"""(what is being done, done so far, of how many)."""
Rankings = Mapping[str, Sequence[Sequence[str]]]
"""Run -> for each query in order, document ids, best first."""


class Labels(NamedTuple):
    """A text and its class."""

    text: str
    label: str


class Scoped(NamedTuple):
    """How a text was judged: its class among those in scope, and how sure it is out of scope."""

    label: str
    outside: float


class Local(Protocol):
    """What `services.standalone` hands in."""

    def __init__(self, settings: Settings) -> None: ...

    def service(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """The whole service in this process, over its HTTP interface."""
        ...

    def rankings(
        self, labelled: Labelled, rewrite: Rewrite, locale: str, progress: Progress
    ) -> Rankings:
        """Every one of RUNS over the labelled queries, on the corpus indexed as the product does.

        A document's place is that of its best chunk.
        """
        ...

    def scoped(
        self, train: Sequence[Labels], outside: str, texts: Sequence[str], progress: Progress
    ) -> list[Scoped]:
        """The product's classifier, trained on `train`, on each text; `outside` is a label."""
        ...


def open_local(settings: Settings) -> Local:
    """Raises SetupError where the standalone service is not installed."""
    try:
        found = pkgutil.resolve_name(LOCAL)
    except (ModuleNotFoundError, AttributeError) as error:
        raise SetupError(
            f"This eval runs the service in this process, which is not installed ({error})."
            " Install it, or point at a running one with --url where the command has it."
        ) from error
    return cast("type[Local]", found)(settings)
