"""The only module that reads the environment."""

import json
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from twofold.errors import InvalidInput

PREFIX = "TWOFOLD_"
SECRETS = f"{PREFIX}SECRET_"
"""What names of secrets begin with that a config of sources or targets names."""
OTHERS = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "SECRETS_DIR",
        # docker-compose.yml's alone, whose `.env` the commands read too.
        *("BIND", "SITE", "EXAMPLE", "HOUSE_FOLDER", "KNOWLEDGE_FOLDER", "MODEL_LENGTH", "WORKERS"),
        *("IMAGE", "VERSION"),
        # Of the tests and benchmarks.
        *("REQUIRE_SERVERS", "DATA", "SHOTS", "VLLM_PYTHON", "TRAIN_PYTHON", "BESIDE_SECRET"),
    )
)
"""Variables that are no settings of this class, and no mistake."""

SHOULD_BE = {
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
}


def _network(value: str) -> str:
    return str(ip_network(value, strict=False))


def _folder(value: Path) -> Path:
    try:
        taken = value.exists() and not value.is_dir()
    except OSError as error:
        raise ValueError(f"it cannot be looked into ({error.strerror})") from None
    if taken:
        raise ValueError("a folder is wanted, and a file is there")
    return value


def _name(value: str) -> str:
    import re

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", value):
        raise ValueError("use a-z, 0-9, - and _, at most 63, a letter or digit first")
    return value


def _list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ValueError('write a list as JSON, such as [1, 2] or ["a", "b"]')
    return found


def _beginning(*starts: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value and not value.startswith(starts):
            raise ValueError(f"it begins with {' or '.join(starts)}")
        return value

    return check


Name = Annotated[str, AfterValidator(_name)]
HttpUrl = Annotated[str, AfterValidator(_beginning("http://", "https://"))]
Redis = Annotated[str, AfterValidator(_beginning("redis://", "rediss://"))]
Database = Annotated[str, AfterValidator(_beginning("sqlite:///", "postgresql+psycopg://"))]
Json = BeforeValidator(_list)


class Settings(BaseSettings):
    """Every setting, as `TWOFOLD_<NAME>` in the environment or in `.env`, or as a file of that name
    in the folder that TWOFOLD_SECRETS_DIR names, as Compose and Kubernetes mount secrets. An empty
    variable counts as none.

    The defaults are the embedded size: one process, everything under `home`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="ignore",
        secrets_dir=os.environ.get("TWOFOLD_SECRETS_DIR") or None,
    )

    def __init__(self, **given: Any) -> None:
        """Raises InvalidInput with a line for each wrong setting."""
        folder = secrets_folder()
        if folder is not None and not folder.is_dir():
            raise InvalidInput(f"TWOFOLD_SECRETS_DIR='{folder}': there is no such folder.")
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise InvalidInput("\n".join(map(_line, error.errors()))) from None

    home: Annotated[Path, AfterValidator(_folder)] = Path(".twofold")
    """Embedded data: ledger, index, built weights, lock."""
    workspace: Name = "default"
    """The workspace that CLI commands and key-less local requests act in."""
    house: Path | None = None
    """The house policy file; unset: `house.yaml` in the current folder, else the neutral policy."""
    ledger_url: Database = ""
    """SQLAlchemy URL; empty means SQLite under `home`."""
    qdrant_url: HttpUrl = ""
    """A Qdrant server; empty means the in-process engine under `home`."""
    qdrant_key: SecretStr = SecretStr("")
    qdrant_name: Name = "knowledge"
    """Installations that share a server keep apart by it."""
    qdrant_timeout_s: Annotated[int, Field(ge=1)] = 10
    qdrant_quantized: bool = False
    """Search 8-bit copies of the dense vectors in memory. This and the two below count when a
    collection is made: `twofold knowledge rebuild` after a change of the chunk size, or a new name.
    """
    qdrant_shards: Annotated[int, Field(ge=1)] = 1
    qdrant_replicas: Annotated[int, Field(ge=1)] = 1
    redis_url: Redis = ""
    """Celery's broker; empty means that this process itself does its jobs."""
    alive_file: Path | None = None
    """Touched by Celery's worker and beat as long as they get on; a probe looks at its age."""
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where a Celery worker tells on `host` what it counts; 0 means nowhere."""
    log_json: bool | None = None
    """Whether log lines are JSON; left out, where no terminal shows them."""
    log_answers: bool = False
    """A log line for each answer, with its id and that of its trace: what it did, who made it, how
    long it took; nothing of what was said."""
    trace_url: HttpUrl = ""
    """Where OpenTelemetry traces go: the base URL of an OTLP collector, `http://otel:4318`; empty
    means nowhere. Prompts, questions and replies are never in them."""
    trace_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of the traces that begin here; a caller's decision about its own holds."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the embedder; 0 means one per core."""

    chunk_tokens: Annotated[int, Field(ge=50, le=2000)] = 200
    max_file_mb: Annotated[float, Field(gt=0)] = 10
    max_removal_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """A sync that would remove more of a source than this, and three documents or more, holds, and
    says so, until it is told to go on: `--allow-removal`."""
    max_question_chars: Annotated[int, Field(gt=0)] = 4000
    max_request_kb: Annotated[int, Field(gt=0)] = 128
    """Largest body of a request; documents may be as large as `max_file_mb` allows."""

    api_key: SecretStr = SecretStr("")
    """What `twofold ask` shows to a server that asks for a key."""
    requests_per_minute: Annotated[int, Field(ge=0)] = 600
    """Of one key that has no rate of its own; 0 means any number."""
    max_in_flight: Annotated[int, Field(ge=1)] = 256
    """Questions under way at once in one process; the next one gets 429 before it is read."""
    retention_days: Annotated[float, Field(ge=0)] = 0
    """Conversations untouched for longer are deleted; 0 keeps them until somebody deletes them."""
    handoff_targets: Annotated[list[dict[str, Any]], Json] = []
    """Where handoffs go: JSON, `[{"kind": "webhook", "url": …, "secret_env": NAME}, …]`."""
    handoff_attempts: Annotated[int, Field(ge=1)] = 10
    """Attempts at a delivery until a person has to look at it."""
    widget_secret: SecretStr = SecretStr("")
    """What tokens of the widget are made from, 32 characters or more; empty means one that is kept
    in a file under `home`. Processes that serve one widget together need the same."""
    widget_url: HttpUrl = ""
    """Where browsers reach the widget, as `https://support.example.com`; empty means by the name
    they ask for."""
    answer_url: HttpUrl = ""
    """Where the widget's own process finds the answer service; it shows `api_key` there."""
    widget_address_per_minute: Annotated[int, Field(ge=1)] = 1200
    widget_site_per_minute: Annotated[int, Field(ge=1)] = 12_000
    widget_visitor_per_minute: Annotated[int, Field(ge=1)] = 240
    """Requests that the widget takes from one address, for one site, and of one visitor."""
    widget_messages_per_minute: Annotated[int, Field(ge=1)] = 20
    """Messages of one visitor."""
    desk: bool | None = None
    """Whether `/desk` is served; left out, only on a server that this machine alone can reach."""
    desk_user_header: str = ""
    """Header in which a signing-in proxy names the agent; believed of `proxies` alone."""
    proxies: Annotated[list[Annotated[str, AfterValidator(_network)]], Json] = []
    """Addresses or networks of the proxies in front, such as `10.0.0.0/8`: what they say of who
    connects is believed, where requests, bodies and keys that are tried are counted by address."""
    source_ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Json] = [80, 443]
    """Ports that sources may be read from."""
    source_private_hosts: Annotated[list[str], Json] = []
    """Hosts of your own network that sources may be read from; all others must be public."""
    source_roots: Annotated[list[Path], Json] = []
    """Folders below which `POST /v1/sources` may name one to read; none by default. The command
    line names any."""
    keep_stores_days: Annotated[float, Field(ge=0)] = 7
    """How long a retired index is kept to roll back to."""

    live_diagnosis: bool = True
    """Whether live answers are looked into: rated down, corrected by agents, given without much
    evidence, and some at random. Each asks the model a few times more."""
    live_diagnosis_sample: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of all other answers that is looked into at random."""

    embedder: Literal["auto", "english", "multilingual"] = "auto"
    """The packaged model that passages are found by: MiniLM, or multilingual-e5-small, which reads
    a hundred languages and finds across them (`make multilingual`). `auto` takes the second where
    the house's first language is not English, or one of them is not written in Latin letters."""
    embedder_url: HttpUrl = ""
    """Base URL of an OpenAI-compatible `/v1/embeddings`; empty means a packaged model."""
    embedder_model: str = ""
    embedder_key: SecretStr = SecretStr("")

    context_chunks: Annotated[int, Field(ge=1, le=20)] = 6
    """Passages that a reply is made from, each with the rest of a list that its end cuts."""
    context_chars: Annotated[int, Field(ge=200)] = 6000
    """Of all of them together: about 1,500 tokens. A model with a short context needs less."""

    model_url: HttpUrl = ""
    """Base URL of an OpenAI-compatible chat server; empty means the extractive composer."""
    model_name: str = ""
    """The base model, asked with the `full` prompt."""
    model_adapter: str = ""
    """A tuned adapter (or model), asked first, with the `tuned` prompt. Set, it stands in place of
    the releases that the registry says are live."""
    model_adapter_url: HttpUrl = ""
    """The server of that one, where it is not the base's: merged weights have one of their own."""
    model_key: SecretStr = SecretStr("")
    model_admin_url: HttpUrl = ""
    """Where `twofold model` loads adapters into a running vLLM; never a public address."""
    model_admin_key: SecretStr = SecretStr("")
    """What is shown there; no other key ever is."""
    model_calls: Annotated[int, Field(ge=1)] = 32
    """Replies a model writes at once; `model_queue` more wait, the rest is composed."""
    model_queue: Annotated[int, Field(ge=0)] = 16
    model_first_token_s: Annotated[float, Field(gt=0)] = 5.0
    reranker_url: HttpUrl = ""
    """Base URL of a `/v1/rerank` server (vLLM, Cohere's shape)."""
    reranker_model: str = ""
    reranker_key: SecretStr = SecretStr("")
    reranker_folder: Path | None = None
    """A cross-encoder for this machine's CPU: `model.onnx` and `tokenizer.json`. Without it and
    without a server the fused order is kept."""
    reranker_s: Annotated[float, Field(gt=0)] = 0.5
    """Seconds a reranker has; after them the fused order is taken."""
    server_secret: SecretStr = SecretStr("")
    """Keeps prefix caches of workspaces apart; empty means a new one at every start."""

    read_ahead: bool = False
    """Whether the answer service reads what its sources say once it has started, resting most of
    the time: else the first answer from each page takes three times as long. Where a model writes,
    the composer is rarely asked, and this is not worth its time."""
    deadline_s: Annotated[float, Field(gt=0)] = 20.0
    """Within these seconds every question ends in an answer or an escalation."""
    searches: Annotated[int, Field(ge=1)] = 8
    """Questions searched for at once; `search_queue` more wait, the rest gets 429."""
    search_queue: Annotated[int, Field(ge=0)] = 32

    @property
    def house_file(self) -> Path | None:
        """The house policy in use; None is the neutral one."""
        local = Path("house.yaml")
        return self.house or (local if local.is_file() else None)

    @cached_property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"


def _line(error: Mapping[str, Any]) -> str:
    """Returns which setting is wrong, its value where that is no secret, and what is allowed."""
    field = str(error["loc"][0])
    kind = Settings.model_fields[field].annotation
    # Addresses may hold a password, targets a token.
    secret = kind is SecretStr or field.endswith("_url") or field == "handoff_targets"
    value = "" if secret else f"={str(error['input'])!r}"
    what = error["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
    if error["type"] in SHOULD_BE:
        what = f"it should be {SHOULD_BE[error['type']]}"
    return f"{PREFIX}{field.upper()}{value}: {what}."


def unknown_variables(settings: Settings) -> dict[str, str]:
    """Returns each variable that looks like a setting and is none, with the one that is most like
    it, or ""."""
    from difflib import get_close_matches

    from dotenv import dotenv_values

    fields = {name.upper() for name in Settings.model_fields}
    named = {value for each in settings.handoff_targets for value in map(str, each.values())}
    given = {name.upper() for name in (*os.environ, *dotenv_values(".env"))} - OTHERS - named
    found: dict[str, str] = {}
    for name in sorted(given):
        rest = name.removeprefix(PREFIX)
        if rest != name and rest not in fields and not name.startswith(SECRETS):
            nearest = get_close_matches(rest, sorted(fields), 1)
            found[name] = f"{PREFIX}{nearest[0]}" if nearest else ""
    return found


def company_settings(near: Path) -> Settings:
    """Returns the settings of the company whose folder holds `near`: its `house.yaml`, its home
    beside it.

    Only where nothing says which home or house is meant.
    """
    settings = Settings()
    if settings.house_file or {"home", "ledger_url"} & settings.model_fields_set:
        return settings
    for folder in near.resolve().parents:
        if (folder / "house.yaml").is_file():
            return Settings(home=folder / ".twofold", house=folder / "house.yaml")
    return settings


def secret(name: str) -> str:
    """Returns the variable, or the file among the secrets, that a config names; "" where there
    is none."""
    folder = secrets_folder()
    if os.environ.get(name) or folder is None:
        return os.environ.get(name, "")
    # Accepts only a name: no path leads out of the folder.
    path = folder / Path(name).name
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def secrets_folder() -> Path | None:
    """Returns where files with secrets lie, each of the name of its variable."""
    found = os.environ.get("TWOFOLD_SECRETS_DIR")
    return Path(found) if found else None
