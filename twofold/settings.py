"""The only module that reads the environment."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting, as `TWOFOLD_<NAME>` in the environment or in `.env`.

    The defaults are the embedded size: one process, everything under `home`.
    """

    model_config = SettingsConfigDict(env_prefix="TWOFOLD_", env_file=".env", extra="ignore")

    home: Path = Path(".twofold")
    """Embedded data: ledger, index, built weights, lock."""
    workspace: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """The workspace that CLI commands and key-less local requests act in."""
    house: Path = Path("examples/brackwater/house.yaml")
    """The house policy file."""
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
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where a Celery worker tells on `host` what it counts; 0 means nowhere."""
    host: str = "127.0.0.1"
    port: int = 8080
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the embedder; 0 means one per core."""

    chunk_tokens: Annotated[int, Field(ge=50, le=2000)] = 200
    max_file_mb: Annotated[float, Field(gt=0)] = 10
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
    source_ports: list[Annotated[int, Field(ge=1, le=65535)]] = [80, 443]
    """Ports that sources may be read from."""
    source_private_hosts: list[str] = []
    """Hosts of your own network that sources may be read from; all others must be public."""
    keep_stores_days: Annotated[float, Field(ge=0)] = 7
    """How long a retired index is kept to roll back to."""

    embedder_url: str = ""
    """Base URL of an OpenAI-compatible `/v1/embeddings`; empty means the packaged MiniLM."""
    embedder_model: str = ""
    embedder_key: SecretStr = SecretStr("")

    context_chunks: Annotated[int, Field(ge=1, le=20)] = 6
    """Passages that a reply is made from."""
    context_chars: Annotated[int, Field(ge=200)] = 6000
    """Of all of them together: about 1,500 tokens. A model with a short context needs less."""

    model_url: str = ""
    """Base URL of an OpenAI-compatible chat server; empty means the extractive composer."""
    model_name: str = ""
    """The base model, asked with the `full` prompt."""
    model_adapter: str = ""
    """A tuned adapter (or model) of the same server, asked first, with the `tuned` prompt. Set, it
    stands in place of the releases that the registry says are live."""
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

    deadline_s: Annotated[float, Field(gt=0)] = 20.0
    """Within these seconds every question ends in an answer or an escalation."""
    searches: Annotated[int, Field(ge=1)] = 8
    """Questions searched for at once; `search_queue` more wait, the rest gets 429."""
    search_queue: Annotated[int, Field(ge=0)] = 32

    @cached_property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"


def secret(name: str) -> str:
    """The variable that a source's config names; "" where it is not set."""
    return os.environ.get(name, "")
