"""A dataset on disk: rows as one JSON object a line, and a manifest that is written last."""

import hashlib
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.suite.suite import CaseTurn
from twofold.errors import InvalidInput, NotFound
from twofold.index.contract import Chunk, Kind
from twofold.policy import HousePolicy
from twofold.prompt import Message, Profile, render_prompt
from twofold.reply import Action, Header, split

Origin = Literal["suite", "dialogue", "feedback", "agent", "pinned", "house"]
"""`house`: an example question of the house policy itself."""
Split = Literal["train", "eval", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "eval", "heldout")
MANIFEST = "manifest.json"
MADE = "~"
"""Stands in a `ref` before what was made of the row that the rest of the ref names."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowMessage(_Model):
    """One message of the prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class Document(_Model):
    """A packed passage: mark `[n]` of the target means it. `text` is as it stands in the prompt."""

    n: int = Field(ge=1)
    document: str
    """`source/external_id`."""
    version: int
    chunk: str
    title: str
    heading_path: tuple[str, ...]
    kind: Kind
    text: str

    def as_chunk(self) -> Chunk:
        """Returns what a prompt needs of it; identity beyond that is not kept in a dataset."""
        source, _, external_id = self.document.partition("/")
        return Chunk(
            id=self.chunk,
            workspace="",
            source=source,
            document=external_id,
            key=self.document,
            since=self.version,
            title=self.title,
            heading_path=self.heading_path,
            text=self.text,
            position=self.n,
            kind=self.kind,
        )


class Rejected(_Model):
    """A reply to a row's prompt that its target is preferred to."""

    by: str
    """Who gave it: `composer`, a model by its name, or `draft`: the assistant, before a person."""
    reply: str
    """On the wire, as it came."""


class Row(_Model):
    """One example: a prompt exactly as the service renders it, and the reply it should get. With
    `rejected` it is a pair, or several: what the preference step is trained on."""

    id: str
    """`origin:ref`, unique in a dataset."""
    origin: Origin
    ref: str
    """Case, dialogue, answer or hand-over; `…~changed-1`, `…~gap`, `…~closed` were made of it."""
    messages: tuple[RowMessage, ...]
    target: str
    """The reply on the wire."""
    documents: tuple[Document, ...]
    history: tuple[CaseTurn, ...]
    """Oldest first."""
    question: str
    locale: str
    audience: str
    profile: Profile
    prompt: str
    """`twofold.prompt.prompt_digest` when it was built."""
    house: str
    """Digest of the house policy when it was built."""
    gold: tuple[int, ...] = ()
    """Marks of the documents that hold the answer."""
    facts: tuple[tuple[str, ...], ...] = ()
    """Accepted spellings of each fact that the reply must state."""
    rejected: Annotated[tuple[Rejected, ...], Field(exclude_if=operator.not_)] = ()

    @property
    def made(self) -> str:
        """Nothing for a row as it came, else `changed`, `gap` or `closed`."""
        _, made, how = self.ref.rpartition(MADE)
        return how.partition("-")[0] if made else ""

    @property
    def parent(self) -> str:
        """Id of the row it was made of; its own for one as it came."""
        return self.id.partition(MADE)[0]

    @property
    def expected(self) -> "ExpectedReply":
        """The action that the target takes, with team and reason as they stand in it."""
        header, _ = self.reply
        who = header.escalation if header else None
        return ExpectedReply(
            header.action if header else "ANSWER",
            who.team if who else None,
            who.reason if who else None,
        )

    @property
    def reply(self) -> tuple[Header | None, str]:
        """The target's header, None where it breaks the contract, and its text."""
        return split(self.target)

    @property
    def text(self) -> str:
        """The target without its header."""
        return self.reply[1]

    def chunks(self) -> list[Chunk]:
        return [document.as_chunk() for document in self.documents]

    def rendered(self, house: HousePolicy) -> tuple[RowMessage, ...]:
        """Returns the prompt as the service would render it under `house`."""
        turns = [Message(turn.role, turn.text) for turn in self.history]
        messages = render_prompt(house, self.profile, self.chunks(), turns, self.question)
        return tuple(RowMessage(role=role, content=content) for role, content in messages)


class ExpectedReply(NamedTuple):
    """What a reply to a row must do."""

    action: Action
    team: str | None
    reason: str | None


class RowFile(_Model):
    """A file of rows as it was written."""

    sha256: str
    rows: int
    actions: dict[str, int]
    origins: dict[str, int]
    made: dict[str, int]
    """Rows by what was made of others; "" are the rows as they came."""
    rejected: dict[str, int] = {}
    """Rejected replies by who gave them."""


class Manifest(_Model):
    """What a dataset was made of; it is there only once all files are whole."""

    created: float
    """Epoch seconds."""
    profile: Profile
    prompt: str
    house: str
    fingerprint: str
    """Digest of the index whose passages were packed; "" where nothing was asked."""
    pairs_of: str = ""
    """SHA-256 of the dataset whose rows stand here as pairs; "" where they are rows."""
    files: dict[str, RowFile]
    """By file name."""
    wanted: dict[str, float]
    """Kind of row -> the share of the training rows that was asked for."""
    reached: dict[str, float]
    left_out: dict[str, int]
    """Why something became no row -> how often."""
    masked: int
    """Rows in which something personal was masked."""
    seed: int


def write_rows(path: Path, rows: Sequence[Row]) -> RowFile:
    """Writes the whole file or nothing. Rows stand in the order given."""
    body = b"".join(orjson.dumps(row.model_dump()) + b"\n" for row in rows)
    _replace(path, body)
    return RowFile(
        sha256=hashlib.sha256(body).hexdigest(),
        rows=len(rows),
        actions=_counted(row.expected.action for row in rows),
        origins=_counted(row.origin for row in rows),
        made=_counted(row.made for row in rows),
        rejected=_counted(each.by for row in rows for each in row.rejected),
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    _replace(folder / MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")


def read_rows(path: Path) -> list[Row]:
    """Raises NotFound, or InvalidInput naming the file, the line and the key."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise NotFound(
            f"There is no {path}. Write it with: twofold dataset build --out {path.parent}"
        ) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(Row.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the row"
            raise InvalidInput(f"{path}: line {number}: {where}: {first['msg']}") from error
    return rows


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of rows. `heldout` is empty where none was built."""

    folder: Path
    manifest: Manifest
    rows: Mapping[Split, Sequence[Row]]

    @property
    def sha256(self) -> str:
        """Of the manifest: it names the hash of every file, so that this names the dataset."""
        return hashlib.sha256((self.folder / MANIFEST).read_bytes()).hexdigest()


def read_dataset(folder: Path) -> Dataset:
    """Raises NotFound, or InvalidInput where a file is not the one that the manifest names."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise NotFound(
            f"{folder} is no finished dataset: it has no {MANIFEST}. Build it with:"
            f" twofold dataset build --out {folder}"
        ) from None
    except ValidationError as error:
        raise InvalidInput(f"{folder / MANIFEST} is no manifest of a dataset: {error}") from error
    rows: dict[Split, Sequence[Row]] = {}
    for split_name in SPLITS:
        path = folder / f"{split_name}.jsonl"
        written = manifest.files.get(path.name)
        rows[split_name] = read_rows(path) if written else []
        if written and hashlib.sha256(path.read_bytes()).hexdigest() != written.sha256:
            raise InvalidInput(
                f"{path} was changed after it was written: its hash is not the manifest's."
                f" Build it again: twofold dataset build --out {folder}"
            )
    return Dataset(folder, manifest, rows)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _replace(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(body)
    partial.replace(path)
