"""The product on this machine, as evals see it.

Evals reach a service over HTTP. What they measure below it (retrieval stage by stage, the scope
classifier) or start themselves is handed to the commands by `services.standalone`, so that `models`
depends on no other plane.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

import httpx

from models.evaluate.labelled import Labelled, Text
from models.evaluate.sufficiency import Given
from twofold.errors import SetupError
from twofold.policy import HousePolicy
from twofold.settings import Settings
from twofold.stack import Stack
from twofold.terminal import StepCallback

LOCAL = "local"
"""Its key in the object of the command's context."""
RUNS = ("bm25", "dense", "fusion", "full")

Rewrite = Literal["none", "history"]
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


class BenchCitation(NamedTuple):
    """Mark `[n]` of a reply: the passage (by chunk id) and the words that it rests on."""

    n: int
    chunk: str
    quote: str


class BenchPassage(NamedTuple):
    """A passage that the reply maker was shown."""

    chunk: str
    document: str
    text: str


class BenchReply(NamedTuple):
    """A reply as its maker made it, and what it was made from."""

    action: str
    team: str | None
    reason: str | None
    text: str
    citations: tuple[BenchCitation, ...]
    passages: tuple[BenchPassage, ...]


Habit = Callable[[BenchReply], BenchReply]
"""What a reply maker does to every reply: the bad habits of a model, for measuring a diagnosis."""


class Bench(Protocol):
    """Answers as a whole service on stores and pages of its own, which may be broken at will."""

    @property
    def stack(self) -> Stack: ...

    @property
    def pages(self) -> Path:
        """The folder that its one source reads."""
        ...

    @property
    def http(self) -> httpx.AsyncClient: ...

    @property
    def house(self) -> HousePolicy: ...

    def behave(self, habit: Habit | None) -> None:
        """Gives the service's own reply maker this habit from now on, or none."""
        ...


class Local(Protocol):
    """Opens the product on this machine; `services.standalone` hands it in."""

    def service(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """Returns the whole service in this process, over its HTTP interface."""
        ...

    def help_center(
        self, name: str, folder: Path, house: Path | None, progress: StepCallback
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """Returns the whole service on the pages of one folder, in a home of its own by that
        name, under the house policy at `house` or the neutral one."""
        ...

    def bench(
        self, name: str, folder: Path, house: Path | None, progress: StepCallback
    ) -> AbstractAsyncContextManager[Bench]:
        """Returns the same on copies, which are gone at the end. Only the composer writes
        replies."""
        ...

    def rankings(
        self, labelled: Labelled, rewrite: Rewrite, locale: str, progress: StepCallback
    ) -> Rankings:
        """Returns every one of RUNS over the labelled queries, on the corpus indexed as the product
        does.

        A document's place is that of its best chunk.
        """
        ...

    def corpus(
        self, corpus: Sequence[Text], locale: str, progress: StepCallback
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """Returns the whole service on the documents, in a home of their own, under the neutral
        policy."""
        ...

    def sufficient(
        self, given: Sequence[Given], locale: str, progress: StepCallback
    ) -> list[float]:
        """Returns the probability that each question's passages answer it, by the product's
        evidence."""
        ...

    def scoped(
        self, train: Sequence[Labels], outside: str, texts: Sequence[str], progress: StepCallback
    ) -> list[Scoped]:
        """Returns the product's classifier, trained on `train`, on each text; `outside` is a
        label."""
        ...


def open_local(handed: object, settings: Settings) -> Local:
    """Returns the product as it was `handed` to the command (the context's object: LOCAL -> what
    makes one of settings). Raises SetupError where it was not: the standalone service is not
    installed."""
    make = handed.get(LOCAL) if isinstance(handed, Mapping) else None
    if make is None:
        raise SetupError(
            "This eval runs the service in this process, which is not installed. Install it, or"
            " point at a running one with --url where the command has it."
        )
    return cast("Local", make(settings))
