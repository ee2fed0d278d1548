"""What chat clients ask a model for by themselves: titles, tags and follow-up questions.

They send the transcript of a conversation with an order about it. No customer asks there: nothing
is searched, recorded or handed over, and the answer is made of the transcript's own words.
"""

import re
from typing import NamedTuple

import orjson

_TASK = re.compile(
    r"(?:generate|create|write|provide|suggest|give|come up with|summari[sz]e|respond with)\b"
    r"[^\n]{0,200}?\b(?P<kind>titles?|tags?|topics?|categor(?:y|ies)|follow[- ]?ups?|suggestions?"
    r"|(?:next|relevant) questions|emojis?|search quer(?:y|ies)|autocompletion)\b",
    re.IGNORECASE,
)
_TRANSCRIPT = re.compile(
    r"^#{1,4}\s*Task\b|<chat_history>|</?conversation>|\bchat history\b|\btranscript\b"
    r"|\b(?:this|the|our|following|above|previous)"
    r" (?:conversation|chat|dialog(?:ue)?|messages?|exchange)\b"
    r"|^(?:user|human|assistant|ai)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_FIRST = re.compile(
    r"(?:<chat_history>|\A|\n)[^\S\n]*+(?:user|human)[^\S\n]*+:\s*+([^\n]{1,500})", re.IGNORECASE
)
_JSON = re.compile(r"\bjson\b|[\"'](?:title|tags|follow_ups|queries)[\"']\s*:", re.IGNORECASE)
_HEAD = 3000
"""Characters within which an order stands, at either end."""
TITLE_WORDS = 6
NO_TITLE = "Conversation"


class Chore(NamedTuple):
    kind: str
    """title | tags | follow_ups | queries"""
    text: str


def chore(messages: list[tuple[str, str]]) -> Chore | None:
    """Returns the answer to a client's own request about a transcript, such as a title; None where
    a customer asks something.

    `messages` are (role, text); the last one is the user's.
    """
    order = messages[-1][1]
    ends = f"{order[:_HEAD]}\n{order[-_HEAD:]}" if len(order) > 2 * _HEAD else order
    system = " ".join(text[:_HEAD] for role, text in messages[:-1] if role == "system")
    task = _TASK.search(ends) or (_TASK.search(system) if _TRANSCRIPT.search(ends) else None)
    if task is None or not _TRANSCRIPT.search(ends):
        return None
    kind = _kind(task["kind"].lower())
    first = _FIRST.search(order)
    asked = first[1] if first else next((t for role, t in messages[:-1] if role == "user"), "")
    return Chore(kind, _said(kind, asked, as_json=bool(_JSON.search(ends + system))))


def _kind(word: str) -> str:
    for kind, begins in (
        ("title", "titl"),
        ("tags", "tag"),
        ("tags", "topic"),
        ("tags", "categor"),
    ):
        if word.startswith(begins):
            return kind
    if word.startswith(("search", "auto", "emoji")):
        return "queries"
    return "follow_ups"


def _said(kind: str, asked: str, *, as_json: bool) -> str:
    title = " ".join(asked.split()[:TITLE_WORDS]).strip(" .,:;!?\"'") or NO_TITLE
    values: dict[str, object] = {
        "title": title,
        "tags": ["Support"],
        "follow_ups": [],
        "queries": [],
    }
    if as_json:
        return orjson.dumps({kind: values[kind]}).decode()
    return {"title": title, "tags": "Support"}.get(kind, "")
