"""Splits a message into the questions that it asks: each gets its own answer."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from services.answer.contract import Question

MOST: Final = 3
"""Questions of one message that are answered."""
LEAST_WORDS: Final = 3
"""A shorter piece is no question of its own."""
FRAGMENT_WORDS: Final = 6
LONG: Final = 45
"""Words of a message that may want two things told apart."""
SHORT: Final = 25
"""Words of a message that may ask of two things with one verb; a longer one tells of more."""

_END = re.compile(
    r"(?:\A|\n++)[^\S\n]{0,8}(?:[1-9a-c][.)]|[-*•])\s+|(?<=\s)\(?[1-9a-c]\)\s+|\n+"
    r"|(?<=[?!])\s+|(?<!i\.e\.)(?<!e\.g\.)(?<!z\.B\.)(?<=[.;])\s+(?=\S+ )"
    r"|,\s+(?=(?:do|does|can|could|will|is|are|kann|darf)\s+(?:you|i|we|it|they|ich|wir|es)\b"
    r"|(?:do|does|can|could|will)\s+(?:that|this|he|she|my|our|(?:some|any)(?:body|one))\b)"
    r"|,\s+(?=how\s+(?:long|many|much|often|big|fast|large|soon|do|can)\b"
    r"|wie\s+(?:lange|viele?|oft)\b)",
    re.IGNORECASE,
)
_ASKING = (
    r"how|what|whats|which|who|when|where|why|can|could|do|does|did|is|are|will|may|should|must"
    r"|(?:would|were) (?:i|we|you|it|he|she|they|that|this|there|my|our|any\w*)"
    r"|(?:has|have|had) (?:i|we|you|they|any\w*)"
    r"|wie|was|welche[rsn]?|wer|wann|wo|warum|kann|können|darf|ist|sind|gibt|muss"
)
_BEFORE_ASKING = (
    "for|at|in|on|from|by|until|after|within|since|with|about|per|under|ab|bis|nach|mit"
)
"""What may stand before the word that asks ("after how long")."""
_AND = re.compile(
    rf"(?<!\s)(?:\s*+[,;–-])?\s++(?:and|und)\s++(?:(?:also|auch)\s++)?"
    rf"(?=(?:{_ASKING}|{_BEFORE_ASKING})\b\s++\S)",
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
    r"\A\W*+(?:(?:and|und|(?:what|how) about|was ist mit)\b.*\?\W*\Z"
    r"|(?:and )?(?:the )?same (?:q|question|thing)?\b ?(?:for|with|about|goes for)\b)",
    re.IGNORECASE,
)
"""So short a piece asks again, of something else, what was asked before it."""
_STARTS = re.compile(
    r"\A\W*+(?:(?:and|or|but|so|also|then|und|oder|aber|auch|dann)\s++)*+"
    rf"(?:(?:{_BEFORE_ASKING})\s++)?+"
    rf"(?:{_ASKING})\b",
    re.IGNORECASE,
)
_VERB = r"(?:is|are|was|were|do|does|did|can|could|will|would|should|may|must|happens?)"
_SAYS = re.compile(
    rf"\b(?:{_VERB}|\w*s|have|kann|können|darf|ist|sind|gibt|muss|kostet|gilt)\b", re.IGNORECASE
)
_CLAUSE = re.compile(
    r"\A\W*+(?:if|once|after|while|because|since"
    r"|(?:when|where|what|who|how)(?=\s+(?:i|we|you|they|he|she|it|my|our|your|their|the|an?)\b))\s",
    re.IGNORECASE,
)
"""What only says when a question holds ("when we upgrade, ..."), or names a thing."""
_INVERTED = re.compile(
    rf"\b(?:(?:how(?: \w+)?|how (?:many|much)(?: \w+){{1,4}}|what|which \w+|who|when|where|why)"
    rf" {_VERB}|(?:what|how)'?s)\b",
    re.IGNORECASE,
)
"""Words in the order of a question, wherever they stand."""
_ALSO = re.compile(
    r"(?:(?:[,;–-]|\sand)\s+(?:and\s+)?|\A)(?:also|besides|plus|(?:one more|another) thing)\b"
    r"[\s,:]*+(?=(?:i|we|my|our|the|your)\b)",
    re.IGNORECASE,
)
"""What adds something to a question or a wish: another one, or what leads to it."""
_WANTS = re.compile(
    r"\A\W*+(?:(?:i|we)(?:'d| would)? (?:want|need|like|wish|have to|must|cannot|cant|can't)"
    r"|please|show|tell|give|send|explain)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[\w']+")
_JUST_TOLD = frozenset(
    """a always an any are be been bug can cause clue could did do does doing done end error even
    expected fault going happen happened happening happens has have here i idea intended is issue
    it known matter me might mistake my normal not now of on or our part please possible problem
    really reason right should side so suddenly that the then there they this usual us was we what
    whats why would wrong you your das daran es falsch fehler ich ist liegt normal richtig so warum
    weshalb wir woran""".split()  # noqa: SIM905  a list of so many is no list
)
"""Words of a question that asks no second thing, but of what was just told: why it is so, whether
that is normal."""
_WHY = frozenset(
    {"any", "how", "is", "ist", "warum", "was", "weshalb", "what", "whats", "why", "woran"}
)
_HOW = re.compile(
    r"\A\W*+how\b(?! come\b| (?:can|could|did|does|is) (?:that|this|it)\b)", re.IGNORECASE
)
_OF = r"(?:for|of|on|with|in|at|from|to|per|under)"
_NAMED = rf"(?:(?!(?:{_OF}|{_VERB}|which|what|how|when|who|where|why)\b)\S*[^\s.,;:?!] )"
_BOTH = re.compile(
    rf"\b(?P<ask>how (?:many|much)|which|what) (?P<one>{_NAMED}{{1,3}}?)and "
    rf"(?P<two>{_NAMED}{{1,3}}?)"
    rf"(?=(?:is|are|do|does|can|could|should|may|come|comes|fit|a|i|we|you|{_OF})\b)",
    re.IGNORECASE,
)
_TWICE = re.compile(
    rf"\b(?P<ask>{_OF}) (?P<one>{_NAMED}{{1,5}}?)and (?P=ask) (?P<two>[^,;:?!]{{1,60}}+)\W*\Z",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    rf"\b(?P<ask>{_OF}) (?P<one>{_NAMED}{{1,4}}?)"
    rf"(?:compared (?:to|with)|next to|versus|vs\.?|as opposed to) (?:{_OF} )?"
    r"(?P<two>[^,;:?!]{1,60}+)\W*\Z",
    re.IGNORECASE,
)
"""Two things of which one verb asks: behind a word that comes twice, compared, or one after the
other."""
_TELLS_APART = re.compile(
    r"\bdiffer(?:s|ences?)?\b|\bwhat'?s different\b|\bwhich is which\b|\bversus\b|\bvs\b"
    r"|\bcompar(?:e|es|ed|ison)\b|\b(?:in|for) (?:each|either) (?:case|of them)\b"
    r"|\bthe same(?=\W*\Z)|\bunterschied\w*",
    re.IGNORECASE,
)
_SIDE = rf"(?:(?!(?:{_OF}|{_VERB}|and|or|which|what|how|if|when|who|where|why)\b)[^\s,.;:?!()]+)"
_SIDES = re.compile(
    rf"(?:\b(?:the )?differences? between |\b(?:between|zwischen) )?"
    rf"(?<!\S)(?P<one>{_SIDE}(?: {_SIDE}){{0,3}}) "
    r"(?:and|or|und|oder|vs\.?|versus|against|compared? (?:to|with)) "
    rf"(?P<two>{_SIDE}(?: {_SIDE}){{0,3}})",
    re.IGNORECASE,
)
_BEFORE_SIDE = re.compile(
    r"\A(?:(?:what'?s|whats|should|can|could|difference|different|someone|somebody|explain|trying"
    r"|pick|choose|decide|i|we|you|to|me|us|please|does|do|whether)\s+)+",
    re.IGNORECASE,
)
"""Words before the first of two things that are no part of it."""
_ONLY_POLITE = re.compile(
    r"\A\W*+(?:hi|hello|hey|hallo|thanks?|thank you|danke|ok(?:ay)?|please|bitte)\b"
    r"[\w ,]{0,20}\W*+",
    re.IGNORECASE,
)


_ANNOUNCED = re.compile(
    rf"\A[^:?.!]{{4,80}}+:\s++(?=(?:(?:{_BEFORE_ASKING}) )?"
    r"(?:how|what|whats|which|who|when|where|why|wie|was|welche[rsn]?|wer|wann|wo|warum)\b"
    r"|(?:can|could|do|does|did|is|are|will|may|should|must|would|kann|darf|ist|sind)"
    r" (?:i|we|you|it|they|there|this|that|my|our|ich|wir|es|das)\b)",
    re.IGNORECASE,
)
"""What says that something is asked ("two things about the log: how far ...")."""
_AROUND = re.compile(
    r"\A(?:\W*+(?:(?:hi|hello|hey|hallo|there|ok(?:ay)?|no|nope|nein|yes|yeah|wait|sorry|actually"
    r"|well|please|bitte|quick one|quick question|one more thing|thanks|thank you|danke|alright"
    r"|cool|great|btw|by the way|while we'?re at it|unrelated|separately|something else"
    r"|(?:different|other|another|new) (?:topic|question|thing))\b\s*+)++[,:;.!–-]++\s*+)*+"
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
    """Returns whether a message goes on with what was said and asks nothing by itself ("and the
    other", "how much max")."""
    words = len(message.split())
    if words <= LEAST_WORDS and _STARTS.match(message):
        return _SAYS.search(message) is None
    return words <= FRAGMENT_WORDS and bool(_JOINS.match(message)) and not _STARTS.match(message)


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
    lead, added = "", False
    for piece, adds in _pieces(message):
        if adds and _WANTS.match(lead):
            found.append(lead)
            lead = ""
        added |= adds
        piece = _JOINED.sub("", piece) if found else piece
        lead = f"{lead} {piece}".strip()
        if found and lead == piece and _of_what_was_told(piece):
            found[-1] = f"{found[-1]} {lead}"
            lead, added = "", False
        elif is_question(piece) or (found and _ELLIPSIS.match(piece)):
            found.append(lead)
            lead, added = "", False
    if lead and found:
        if added and _WANTS.match(lead):
            found.append(lead)
        else:
            found[-1] = f"{found[-1]} {lead}"
    return tuple(found[:MOST]) if len(found) > 1 else (message,)


def _of_what_was_told(piece: str) -> bool:
    words = _WORDS.findall(_JOINS.sub("", piece).lower())
    asks_why = bool(words) and words[0] in _WHY and not _HOW.match(piece)
    return asks_why and _JUST_TOLD.issuperset({*words} - {"how", "come"})


def of_two_things(message: str) -> tuple[str, ...]:
    """Returns what a message may ask of two things with one verb ("the limit for A and for B"), a
    question for each; nothing where it has no such form. Evidence says whether it does."""
    if len(message.split()) > SHORT or len(_END.split(message)) > 1:
        return ()
    for form in (_BOTH, _TWICE, _COMPARED):
        if held := form.search(message):
            before, after = message[: held.start()], message[held.end() :]
            asked = (f"{before}{held['ask']} {held[each]}{after}" for each in ("one", "two"))
            return tuple(map(str.strip, asked))
    return ()


def sides_of(message: str) -> tuple[str, ...]:
    """Returns what a message that wants two things told apart may ask of each, a question for each;
    nothing where it names no two. Evidence says whether each has an answer of its own."""
    if not _TELLS_APART.search(message) or len(message.split()) > LONG:
        return ()
    for held in _SIDES.finditer(message):
        one, two = _BEFORE_SIDE.sub("", held["one"]), held["two"]
        # "if I enter a fixed price or a percentage": both begin with the same word.
        one = one[max(0, f" {one}".rfind(f" {two.split(' ')[0]} ")) :]
        if one and one.lower() != two.lower():
            before = message[: held.start()] + held["one"].removesuffix(one)
            # What both share stands behind the second: "cancelling and deleting a workspace".
            shared = "" if " " in one else two.removeprefix(two.split(" ")[0])
            return tuple(f"{before}{x}{message[held.end() :]}".strip() for x in (one + shared, two))
    return ()


def _pieces(message: str) -> Iterator[tuple[str, bool]]:
    """Yields sentences, and parts of one where it asks several things; and of each, whether it is
    said to come on top."""
    for sentence in filter(None, map(str.strip, _END.split(message))):
        if _ONLY_POLITE.fullmatch(sentence):
            continue
        for place, addition in enumerate(_ALSO.split(sentence)):
            first, *more = _AND.split(addition)
            whole = [first]
            for piece in more:
                if is_question(piece) and is_question(whole[-1]):
                    whole.append(piece)
                else:
                    whole[-1] = f"{whole[-1]} and {piece}"
            for piece in filter(None, map(str.strip, whole)):
                yield piece, place > 0 and piece == whole[0].strip()


def is_question(text: str) -> bool:
    """Returns whether the sentence asks something by its mark, its first word or, behind a clause,
    the order of its words."""
    if len(text.split()) < LEAST_WORDS:
        return False
    if text.rstrip().endswith("?"):
        return True
    text = _ANNOUNCED.sub("", text)
    return bool((_INVERTED.search if _CLAUSE.match(text) else _STARTS.match)(text))
