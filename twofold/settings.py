"""The only module that reads the environment."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated

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
    redis_url: str = ""
    """Celery's broker; empty means that this process itself does its jobs."""
    port: int = 8080
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the embedder; 0 means one per core."""

    chunk_tokens: Annotated[int, Field(ge=50, le=2000)] = 200
    max_file_mb: Annotated[float, Field(gt=0)] = 10
    max_question_chars: Annotated[int, Field(gt=0)] = 4000

    source_ports: list[Annotated[int, Field(ge=1, le=65535)]] = [80, 443]
    """Ports that sources may be read from."""
    source_private_hosts: list[str] = []
    """Hosts of your own network that sources may be read from; all others must be public."""

    qdrant_url: str = ""
    """A Qdrant server; empty means the in-process engine under `home`."""
    qdrant_key: SecretStr = SecretStr("")
    keep_stores_days: Annotated[float, Field(ge=0)] = 7
    """How long a retired index is kept to roll back to."""
    embedder_url: str = ""
    """Base URL of an OpenAI-compatible `/v1/embeddings`; empty means the packaged MiniLM."""
    embedder_model: str = ""
    embedder_key: SecretStr = SecretStr("")

    @cached_property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"
