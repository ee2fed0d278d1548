"""What a job is, before it is taken and while it is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

QUEUES = ("push", "files", "web")
"""One for each class of source: what is pushed never waits for what is crawled."""
JOB_SECONDS = 180.0
"""A worker that dies on another machine holds its job for so long; on this one, not."""
KEPT_SECONDS = 3 * 86_400.0
"""How long a finished job can be asked about, and a webhook's second delivery is known."""
FINISHED = ("done", "dead", "superseded")


def queue_of(kind: str) -> str:
    """Returns the queue of a source's class."""
    return {"push": "push", "folder": "files"}.get(kind, "web")


class NewJob(NamedTuple):
    """Work to accept. Two waiting jobs of one source about the same `subject`: the newer wins."""

    workspace: str
    source: str
    queue: str
    task: str
    subject: str
    payload: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Claimed:
    """A job that is ours to do until its lease ends."""

    id: str
    workspace: str
    source: str
    queue: str
    task: str
    subject: str
    payload: Mapping[str, Any]
    attempts: int
    owner: str
