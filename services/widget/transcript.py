"""A conversation to take along, as text or JSON."""

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from services.widget.schemas import ThreadOut

_WHO = {"visitor": "You", "agent": "Support", "assistant": "Assistant", "system": "Support"}
_STATES = {
    "assistant": "The assistant answers again.",
    "queued": "A person was asked for.",
    "offhours": "A person was asked for; nobody was there at that time.",
    "taken": "{name} took over.",
    "reopened": "The conversation was opened again.",
    "closed": "The conversation was closed.",
}


class TranscriptFile(NamedTuple):
    content: bytes
    media_type: str
    ending: str


def write(thread: ThreadOut, site: str, format: Literal["text", "json"]) -> TranscriptFile:
    """Returns everything that was said, oldest first, with the sources of each answer."""
    if format == "json":
        whole = {"site": site, **thread.model_dump(mode="json", include={"thread_id", "items"})}
        return TranscriptFile(
            orjson.dumps(whole, option=orjson.OPT_INDENT_2), "application/json", "json"
        )
    blocks = [f"Conversation with {site}"]
    for item in thread.items:
        blocks += _blocks(item)
    return TranscriptFile(("\n\n".join(blocks) + "\n").encode(), "text/plain; charset=utf-8", "txt")


def _blocks(item: dict[str, Any]) -> list[str]:
    at = datetime.fromtimestamp(item["at"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    if item["kind"] == "state":
        said = _STATES[item["state"]].format(name=item["name"] or "Support")
        return [f"[{at}] {said}"]
    if item["kind"] == "message":
        who = item["name"] or _WHO[item["from"]]
        return [f"[{at}] {who}:\n{item['text']}"]
    blocks = [f"[{at}] You:\n{item['text']}"]
    answer = item["answer"]
    if answer is not None:
        shown = answer["text"] if answer["stopped"] is None else answer["text"][: answer["stopped"]]
        sources = "".join(f"\n[{c['n']}] {c['title']} {c['url']}" for c in answer["citations"])
        blocks.append(f"[{at}] Assistant:\n{shown.rstrip()}" + ("\n" + sources if sources else ""))
    return blocks
