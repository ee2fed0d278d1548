"""Questions with their answers, however a page writes them, as headings with text below.

A heading opens a section, and a section is never cut or joined with another one: so an answer
stays with its question, and with no other.
"""

import re
from collections.abc import Iterator, Sequence

from ingestion.extract.document import Block, Heading, Located

ENTRY_LEVEL = 100
"""Below every heading that a page writes, and below what it unfolds."""
_LONGEST = 300
_MARKS = "?？؟;"
_BOLD = re.compile(r"(?:\d{1,3}[.)]\s+)?(\*\*|__)([^*_\n]{2,300}?[?？؟])\s*\1[ \t]*:?[ \t]*")
_QUESTION = re.compile(
    r"(?:\*\*|__)?(?:Q|Question|Frage|F|P|D|Pregunta|Pergunta|Domanda|问|問|В|Вопрос|S|Soru|Pytanie)"
    r"[ \t]?\d{0,3}[ \t]?[:：.)][ \t]*(?:\*\*|__)?[ \t]*([^\n]{2,300})"
)
_ANSWER = re.compile(
    r"(?:\*\*|__)?(?:A|Answer|Antwort|R|Respuesta|Resposta|Réponse|Risposta|答|О|Ответ|C|Cevap|Odpowiedź|O)"
    r"[ \t]?\d{0,3}[ \t]?[:：.)][ \t]*(?:\*\*|__)?[ \t]*"
)
_ITEM = re.compile(r"^(?:[-*+]|\d{1,3}[.)])[ \t]+", re.MULTILINE)


def entries(parts: Sequence[Heading | Located]) -> list[Heading | Located]:
    """Returns the parts with every question that its answer follows made a heading."""
    found: list[Heading | Located] = []
    at = 0
    plain = sum(_plain_entry(part) is not None for part in parts) > 1
    while at < len(parts):
        part = parts[at]
        following = parts[at + 1] if at + 1 < len(parts) else None
        made = None if isinstance(part, Heading) else _entry(part, following, plain=plain)
        if made is None:
            found.append(part)
            at += 1
        else:
            taken, said = made
            found += said
            at += taken
    return found


def _entry(
    part: Located, following: Heading | Located | None, *, plain: bool
) -> tuple[int, list[Heading | Located]] | None:
    """Returns how many parts the entry takes, and what they become."""
    text = part.block.text
    if part.block.kind == "list":
        return _listed(part)
    if part.block.kind != "paragraph":
        return None
    answered = isinstance(following, Located)
    if bold := _BOLD.match(text):
        rest = text[bold.end() :].strip()
        if rest or answered:
            return 1, list(_made(bold[2], rest, part.line))
    if (asked := _QUESTION.match(text)) is not None:
        question, _, rest = asked[1].partition("**")
        rest = (rest + text[asked.end() :]).strip()
        if answer := _ANSWER.match(rest):
            return 1, list(_made(question, rest[answer.end() :], part.line))
        if not rest and isinstance(following, Located) and following.block.kind == "paragraph":
            answer = _ANSWER.match(following.block.text)
            if answer is not None:
                said = following.block.text[answer.end() :]
                return 2, list(_made(question, said, part.line))
    if plain and (entry := _plain_entry(part)) is not None:
        return 1, list(_made(*entry, part.line))
    return None


def _plain_entry(part: Heading | Located) -> tuple[str, str] | None:
    """Returns the question and its answer where a paragraph's first line asks and the others
    answer; else None."""
    if isinstance(part, Heading) or part.block.kind != "paragraph":
        return None
    question, _, rest = part.block.text.partition("\n")
    asks = question.rstrip().endswith(("?", "？", "؟")) and len(question) <= _LONGEST
    return (
        (question, rest) if asks and rest.strip() and "?" not in rest.partition("\n")[0] else None
    )


def _listed(part: Located) -> tuple[int, list[Heading | Located]] | None:
    """Returns a list whose every item asks in bold and answers."""
    starts = [match.start() for match in _ITEM.finditer(part.block.text)]
    if not starts or starts[0] != 0:
        return None
    ends = [*starts[1:], len(part.block.text)]
    said: list[Heading | Located] = []
    for start, end in zip(starts, ends, strict=True):
        item = part.block.text[start:end]
        marker = _ITEM.match(item)
        body = item[marker.end() if marker else 0 :].strip()
        bold = _BOLD.match(body)
        if bold is None or not body[bold.end() :].strip():
            return None
        indent = " " * (marker.end() if marker else 0)
        lines = body[bold.end() :].strip().split("\n")
        said += _made(bold[2], "\n".join(line.removeprefix(indent) for line in lines), part.line)
    return 1, said


def _made(question: str, answer: str, line: int) -> Iterator[Heading | Located]:
    yield Heading(ENTRY_LEVEL, " ".join(question.strip("*_ ").split()), line)
    if answer.strip():
        yield Located(Block("paragraph", answer.strip("\n")), line)
