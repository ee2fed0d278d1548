"""Splits a message into the questions that it asks: each gets its own answer."""

import re
from dataclasses import replace
from typing import Final

from services.answer.contract import Question

MOST: Final = 3
"""Questions of one message that are answered."""
LEAST_WORDS: Final = 3
"""A shorter piece is no question of its own."""
FRAGMENT_WORDS: Final = 6

_END = re.compile(
    r"(?:\A|\n++)[^\S\n]{0,8}(?:[1-9a-c][.)]|[-*•])\s+|(?<=\s)\(?[1-9a-c]\)\s+|\n+"
    r"|(?<=[?!])\s+|(?<!i\.e\.)(?<!e\.g\.)(?<!z\.B\.)(?<=[.;])\s+(?=\S+ )"
    r"|,\s+(?=(?:do|does|can|could|will|is|are|kann|darf)\s+(?:you|i|we|it|they|ich|wir|es)\b)"
    r"|,\s+(?=how\s+(?:long|many|much|often|do|can)\b|wie\s+(?:lange|viele?|oft)\b)",
    re.IGNORECASE,
)
_ASKING = (
    r"how|what|whats|which|who|when|where|why|can|could|do|does|did|is|are|will|may|should|must"
    r"|wie|was|welche[rsn]?|wer|wann|wo|warum|kann|können|darf|ist|sind|gibt|muss"
)
_AND = re.compile(
    rf"(?<!\s)(?:\s*+[,;–-])?\s++(?:and|und)\s++(?:(?:also|auch)\s++)?"
    rf"(?=(?:{_ASKING}|for|at|in|from|by|until|ab|bis)\b\s++\S)",
    re.IGNORECASE,
)
_JOINED = re.compile(
    r"\A\W*+(?:(?:and|also|und|auch)\b[\s,:]*+)++"
    rf"(?=(?:{_ASKING})\b(?! (?:if|about)\b))",
    re.IGNORECASE,
)
"""What only joins a question to the one before."""
_JOINS = re.compile(r"\A\W*+(?:and|but|or|und|aber|oder)\b", re.IGNORECASE)
_ELLIPSIS = re.compile(
    r"\A\W*+(?:and|und|(?:what|how) about|was ist mit)\b.*\?\W*\Z", re.IGNORECASE
)
"""So short a piece asks again, of something else, what was asked before it."""
_STARTS = re.compile(
    r"\A\W*+(?:(?:and|or|but|so|also|then|und|oder|aber|auch|dann|for|at|in|from|by|until|ab|bis)"
    r"\s++)*+"
    rf"(?:{_ASKING})\b",
    re.IGNORECASE,
)
_ONLY_POLITE = re.compile(
    r"\A\W*+(?:hi|hello|hey|hallo|thanks?|thank you|danke|ok(?:ay)?|please|bitte)\b"
    r"[\w ,]{0,20}\W*+",
    re.IGNORECASE,
)


_AROUND = re.compile(
    r"\A(?:\W*+(?:(?:hi|hello|hey|hallo|there|ok(?:ay)?|no|nope|nein|yes|yeah|wait|sorry|actually"
    r"|well|please|bitte|quick one|quick question|one more thing|thanks|thank you|danke|alright"
    r"|cool|great)\b\s*+)++[,:;.!–-]++\s*+)*+"
    r"(?:(?:(?:first|just|please|now) )*+(?:(?:(?:can|could) you )?(?:tell|let) me(?: know)?"
    r"|i(?:.d| would)? (?:like|want) to know) )?",
    re.IGNORECASE,
)


def bare(message: str) -> str:
    """Returns the message without what only leads into it ("no wait, first tell me ..."); whole
    where no question is left."""
    left = _AROUND.sub("", message)
    return left if len(left.split()) >= LEAST_WORDS else message


def sentence_that_asks(message: str) -> str:
    """Returns the first sentence of a message that asks something; the whole one where none
    does."""
    sentences = map(str.strip, _END.split(bare(message)))
    return next(filter(is_question, sentences), message)


def is_fragment(message: str) -> bool:
    """Returns whether a message goes on with what was said and asks nothing by itself."""
    few = len(message.split()) <= FRAGMENT_WORDS
    return few and _JOINS.match(message) is not None and _STARTS.match(message) is None


def questions_in(question: Question) -> dict[str, Question]:
    """Returns what is answered one by one, by its words: with what it leans on, or without what
    only leads into it."""
    if question.parts or question.leans:
        parts = question.parts or (question,)
        return {each.standalone if each.leans else each.asked: each for each in parts}
    apart = asks(bare(question.asked))
    return {text: replace(question, asked=text, standalone=text) for text in apart}


def asks(message: str) -> tuple[str, ...]:
    """Returns the questions of a message, each with the statement that leads to it; one where
    there is but one, which is then the whole message."""
    found: list[str] = []
    lead = ""
    for sentence in filter(None, map(str.strip, _END.split(message))):
        if _ONLY_POLITE.fullmatch(sentence):
            continue
        first, *more = _AND.split(sentence)
        whole = [first]
        for piece in more:
            if is_question(piece) and is_question(whole[-1]):
                whole.append(piece)
            else:
                whole[-1] = f"{whole[-1]} and {piece}"
        for piece in whole:
            piece = _JOINED.sub("", piece) if found else piece
            if is_question(piece) or (found and _ELLIPSIS.match(piece)):
                found.append(f"{lead} {piece}".strip())
                lead = ""
            else:
                lead = f"{lead} {piece}".strip()
    if lead and found:
        found[-1] = f"{found[-1]} {lead}"
    return tuple(found[:MOST]) if len(found) > 1 else (message,)


def is_question(text: str) -> bool:
    """Returns whether the sentence asks something by its first word or its mark."""
    if len(text.split()) < LEAST_WORDS:
        return False
    return _STARTS.match(text) is not None or text.rstrip().endswith("?")
