"""The reply contract: what a reply is, how it stands on the wire, and how it is read back.

On the wire a reply is one header line, and after ANSWER and CLARIFY its text in Markdown:

    ANSWER
    Refunds up to the limit arrive within 5 business days. [1]

    ESCALATE [team=billing reason=refund_over_limit]

The house policy has the words for ESCALATE and DECLINE, so that nobody has to trust a model's. The
action is known before the first word, so routing never depends on prose. `grammar()` gives the
grammar that a model server constrains decoding with; `ReplyParser` survives a reply that was not.
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Action = Literal["ANSWER", "CLARIFY", "ESCALATE", "DECLINE"]
ACTIONS: tuple[Action, ...] = ("ANSWER", "CLARIFY", "ESCALATE", "DECLINE")

SILENT: frozenset[Action] = frozenset(("ESCALATE", "DECLINE"))
"""Actions whose words are the house's: what a model writes after them is read by nobody."""
OURS = "ours"
"""The signal of an answer that names those pieces of its text that are the service's own, and speak
of the answer. Only who puts them there names them: whoever else writes the same is judged."""
MAX_HEADER = 200
"""Characters after which a first line cannot be a header any more."""

_HEADER = re.compile(
    r"^(?P<action>ANSWER|CLARIFY|ESCALATE|DECLINE)"
    r"(?:\s*\[\s*team=(?P<team>[a-z_]+)\s+reason=(?P<reason>[a-z_]+)\s*\])?$"
)
_LOOSE_HEADER = re.compile(
    r"^\W*(?:action\W+)?(?P<action>answer|clarify|escalate|decline)\b"
    r"(?:\W+team\W+(?P<team>[a-z_]+))?(?:\W+reason\W+(?P<reason>[a-z_]+))?\W*$",
    re.IGNORECASE,
)
_CODE = r"```+[\s\S]*?(?:```|\Z)|~~~+[\s\S]*?(?:~~~|\Z)|`[^`\n]+`"
_MARK = re.compile(rf"(?P<code>{_CODE})|(?<!\\)\[(?P<n>\d{{1,2}})\](?!\()")
_OWN_MARK = re.compile(rf"({_CODE})|(?<!\\)\[(\d{{1,3}})\](?!\()")


class Escalation(NamedTuple):
    """Who takes over, and why: both from the house policy's closed sets."""

    team: str
    reason: str


@dataclass(frozen=True, slots=True)
class Citation:
    """Mark `[n]` of a reply: the quoted span and the document version it stands in."""

    n: int
    chunk: str
    document_id: str
    document: str
    version: int
    title: str
    url: str
    quote: str


class Header(NamedTuple):
    action: Action
    escalation: Escalation | None


@dataclass(slots=True)
class ReplyParser:
    """Reads a reply from a stream of pieces, cut anywhere.

    `feed` and `finish` give the text that is final so far; `header` is set before the first of it.
    What had to be mended is told in `repairs`, one word each, for metrics:
    `header_loose`, `header_missing`, `reason_unknown`, `team_wrong`, `escalation_missing`.
    `reasons` maps every reason of the house policy to its team; `fallback` is the reason taken when
    an escalation names none that is known.
    """

    reasons: Mapping[str, str]
    fallback: str
    header: Header | None = None
    repairs: list[str] = field(default_factory=list)
    _buffer: str = ""

    def feed(self, piece: str) -> str:
        if self.header is not None:
            return piece
        self._buffer += piece
        line, newline, rest = self._buffer.lstrip().partition("\n")
        if not newline and len(line) <= MAX_HEADER:
            return ""
        return self._start(line, rest, whole=self._buffer)

    def finish(self) -> str:
        """Returns the rest of the text, once the stream has ended."""
        if self.header is not None:
            return ""
        line, _, rest = self._buffer.lstrip().partition("\n")
        return self._start(line, rest, whole=self._buffer)

    def _start(self, line: str, rest: str, whole: str) -> str:
        match = _HEADER.match(line.strip())
        if match is None and (match := _LOOSE_HEADER.match(line.strip())):
            self.repairs.append("header_loose")
        if match is None:
            self.repairs.append("header_missing")
            self.header = Header("ANSWER", None)
            return whole
        action = _action(match["action"].upper())
        self.header = Header(action, self._escalation(action, match["team"], match["reason"]))
        return rest

    def _escalation(
        self, action: Action, team: str | None, reason: str | None
    ) -> Escalation | None:
        if action != "ESCALATE":
            return None
        if reason is None:
            self.repairs.append("escalation_missing")
            reason = self.fallback
        elif reason not in self.reasons:
            self.repairs.append("reason_unknown")
            reason = self.fallback
        elif team != self.reasons[reason]:
            self.repairs.append("team_wrong")
        return Escalation(self.reasons[reason], reason)


def parse(wire: str, reasons: Mapping[str, str], fallback: str) -> tuple[Header, str, list[str]]:
    """Returns a whole reply at once: header, text, repairs."""
    parser = ReplyParser(reasons, fallback)
    text = parser.feed(wire) + parser.finish()
    assert parser.header is not None  # noqa: S101  finish() sets it
    return parser.header, text.strip(), parser.repairs


def render(action: Action, text: str = "", escalation: Escalation | None = None) -> str:
    """Returns the wire form: what training rows hold and what `parse` reads back."""
    who = f" [team={escalation.team} reason={escalation.reason}]" if escalation else ""
    return f"{action}{who}\n{text}" if text else f"{action}{who}"


def split(wire: str) -> tuple[Header | None, str]:
    """Returns a reply read strictly and not mended: its header as it stands, None where it
    breaks the contract, and the text. Teams and reasons are not held against a house policy."""
    line, _, text = wire.partition("\n")
    match = _HEADER.match(line)
    if match is None or (match["action"] == "ESCALATE") != bool(match["team"]):
        return None, text.strip()
    who = Escalation(match["team"], match["reason"]) if match["team"] else None
    return Header(_action(match["action"]), who), text.strip()


def strict(wire: str, reasons: Mapping[str, str]) -> tuple[Header | None, str]:
    """Reads a reply as `split` does, but returns None also for a team or reason that is not the
    house's, or where a text is missing. `reasons`: reason -> team."""
    header, text = split(wire)
    if header is None or not (text or header.action in SILENT):
        return None, text
    who = header.escalation
    return (header if who is None or reasons.get(who.reason) == who.team else None), text


def grammar(reasons: Mapping[str, str]) -> str:
    """Returns the GBNF of every valid reply under a house policy with these reasons (reason ->
    team)."""
    pairs = " | ".join(f'"team={team} reason={reason}"' for reason, team in reasons.items())
    return (
        "root ::= spoken | silent\n"
        'spoken ::= ("ANSWER" | "CLARIFY") "\\n" text\n'
        'silent ::= "DECLINE" | "ESCALATE [" who "]"\n'
        f"who ::= {pairs}\n"
        "text ::= [^\\x00]+\n"
    )


def marks(text: str) -> Iterator[int]:
    """Yields the numbers of the citation marks in `text`, in order, repeats included; code has
    none."""
    for match in _MARK.finditer(text):
        if match["n"]:
            yield int(match["n"])


def renumbered(text: str, new: Mapping[int, int]) -> str:
    """Returns the text with mark `[n]` as `[new[n]]`; a mark that is not in `new` stays."""
    return _MARK.sub(lambda m: m["code"] or f"[{new.get(int(m['n']), int(m['n']))}]", text)


def kept_marks(text: str, kept: Container[int]) -> str:
    """Returns the text without the marks that are not `kept`, and without the space before
    those."""
    pieces: list[str] = []
    at = 0
    for match in _MARK.finditer(text):
        if match["n"] and int(match["n"]) not in kept:
            pieces.append(text[at : match.start()].rstrip())
            at = match.end()
    return "".join([*pieces, text[at:]])


def strip_marks(text: str) -> str:
    """Returns the text without its marks and the space before them."""
    return kept_marks(text, ())


def judged(text: str, ours: Sequence[str]) -> str:
    """Returns what of an answer's text its maker and its sources stand for: the text without the
    pieces that are `ours`, each once and exactly as it stands."""
    # From the end: what is said of an answer stands behind it, and a page may say the same before.
    for piece in reversed(ours):
        before, found, after = text.rpartition(piece)
        text = before + after if found else text
    return text


def escaped(text: str) -> str:
    """Returns a source's Markdown, whose own `[1]` reads the same and is no citation mark; code
    stays."""
    return _OWN_MARK.sub(lambda match: match[1] or rf"\[{match[2]}\]", text)


def _action(name: str) -> Action:
    for action in ACTIONS:
        if action == name:
            return action
    raise ValueError(name)
