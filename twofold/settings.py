"""The only module that reads the environment."""

import os
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _network(value: str) -> str:
    return str(ip_network(value, strict=False))


class Settings(BaseSettings):
    """Every setting, as `TWOFOLD_<NAME>` in the environment or in `.env`, or as a file of that name
    in the folder that TWOFOLD_SECRETS_DIR names, as Compose and Kubernetes mount secrets.

    The defaults are the embedded size: one process, everything under `home`.
    """

    model_config = SettingsConfigDict(
        env_prefix="TWOFOLD_",
        env_file=".env",
        extra="ignore",
        secrets_dir=os.environ.get("TWOFOLD_SECRETS_DIR") or None,
    )

    home: Path = Path(".twofold")
    """Embedded data: ledger, index, built weights, lock."""
    workspace: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """The workspace that CLI commands and key-less local requests act in."""
    house: Path | None = None
    """The house policy file; unset: `house.yaml` in the current folder, else the neutral policy."""
    ledger_url: str = ""
    """SQLAlchemy URL; empty means SQLite under `home`."""
    qdrant_url: str = ""
    """A Qdrant server; empty means the in-process engine under `home`."""
    qdrant_key: SecretStr = SecretStr("")
    qdrant_name: str = Field(default="knowledge", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """Installations that share a server keep apart by it."""
    qdrant_timeout_s: Annotated[int, Field(ge=1)] = 10
    qdrant_quantized: bool = False
    """Search 8-bit copies of the dense vectors in memory. This and the two below count when a
    collection is made: `twofold knowledge rebuild` after a change of the chunk size, or a new name.
    """
    qdrant_shards: Annotated[int, Field(ge=1)] = 1
    qdrant_replicas: Annotated[int, Field(ge=1)] = 1
    redis_url: str = ""
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
    trace_url: str = ""
    """Where OpenTelemetry traces go: the base URL of an OTLP collector, `http://otel:4318`; empty
    means nowhere. Prompts, questions and replies are never in them."""
    trace_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of the traces that begin here; a caller's decision about its own holds."""
    host: str = "127.0.0.1"
    port: int = 8080
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the embedder; 0 means one per core."""

    chunk_tokens: Annotated[int, Field(ge=50, le=2000)] = 200
    max_file_mb: Annotated[float, Field(gt=0)] = 10
    max_removal_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """A sync that would remove more of a source than this holds, and says so, until it is told to
    go on."""
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
    handoff_targets: list[dict[str, Any]] = []
    """Where handoffs go: JSON, `[{"kind": "webhook", "url": …, "secret_env": NAME}, …]`."""
    handoff_attempts: Annotated[int, Field(ge=1)] = 10
    """Attempts at a delivery until a person has to look at it."""
    widget_secret: SecretStr = SecretStr("")
    """What tokens of the widget are made from, 32 characters or more; empty means one that is kept
    in a file under `home`. Processes that serve one widget together need the same."""
    widget_url: str = ""
    """Where browsers reach the widget, as `https://support.example.com`; empty means by the name
    they ask for."""
    answer_url: str = ""
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
    proxies: list[Annotated[str, AfterValidator(_network)]] = []
    """Addresses or networks of the proxies in front, such as `10.0.0.0/8`: what they say of who
    connects is believed, where requests, bodies and keys that are tried are counted by address."""
    source_ports: list[Annotated[int, Field(ge=1, le=65535)]] = [80, 443]
    """Ports that sources may be read from."""
    source_private_hosts: list[str] = []
    """Hosts of your own network that sources may be read from; all others must be public."""
    source_roots: list[Path] = []
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
    embedder_url: str = ""
    """Base URL of an OpenAI-compatible `/v1/embeddings`; empty means a packaged model."""
    embedder_model: str = ""
    embedder_key: SecretStr = SecretStr("")

    context_chunks: Annotated[int, Field(ge=1, le=20)] = 6
    """Passages that a reply is made from, each with the rest of a list that its end cuts."""
    context_chars: Annotated[int, Field(ge=200)] = 6000
    """Of all of them together: about 1,500 tokens. A model with a short context needs less."""

    model_url: str = ""
    """Base URL of an OpenAI-compatible chat server; empty means the extractive composer."""
    model_name: str = ""
    """The base model, asked with the `full` prompt."""
    model_adapter: str = ""
    """A tuned adapter (or model), asked first, with the `tuned` prompt. Set, it stands in place of
    the releases that the registry says are live."""
    model_adapter_url: str = ""
    """The server of that one, where it is not the base's: merged weights have one of their own."""
    model_key: SecretStr = SecretStr("")
    model_admin_url: str = ""
    """Where `twofold model` loads adapters into a running vLLM; never a public address."""
    model_admin_key: SecretStr = SecretStr("")
    """What is shown there; no other key ever is."""
    model_calls: Annotated[int, Field(ge=1)] = 32
    """Replies a model writes at once; `model_queue` more wait, the rest is composed."""
    model_queue: Annotated[int, Field(ge=0)] = 16
    model_first_token_s: Annotated[float, Field(gt=0)] = 5.0
    reranker_url: str = ""
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
    if name in os.environ or folder is None:
        return os.environ.get(name, "")
    # Accepts only a name: no path leads out of the folder.
    path = folder / Path(name).name
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def secrets_folder() -> Path | None:
    """Returns where files with secrets lie, each of the name of its variable."""
    found = os.environ.get("TWOFOLD_SECRETS_DIR")
    return Path(found) if found else None
