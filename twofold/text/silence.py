"""Sentences that state nothing of the world: "the passages do not say", "here is how:".

They are recognised by closed lists of words, so that nothing can be stated in their shape.
"""

import re

_OPENS = (
    r"^\W*(?:(?:unfortunately|regrettably|however|but|sorry|i'm sorry|i am sorry|leider|aber"
    r"|based on the (?:provided |given |available )*(?:passages|documents|sources|context"
    r"|information)),?\s+(?:but\s+|aber\s+)?){0,3}"
)
_WHO = (
    r"(?:(?:the|these|this|our|any|none|of)\s+){0,3}(?:(?:provided|given|available|above)\s+){0,2}"
    r"(?:passages?|documents?|sources?|contexts?|information|texts?|excerpts?|articles?"
    r"|documentation|help cent(?:er|re)|i|we|it|that|this|there)\s+"
)
_HOW = r"(?:(?:explicitly|specifically|directly|clearly|currently|enough|any|mentioned)\s+){0,3}"
_SAYS = (
    r"(?:say|state|mention|contain|include|provide|specify|cover|describe|discuss|address|answer"
    r"|find|have|know|see|tell|give|offer|indicate|explain|stated|mentioned|specified|clear"
    r"|covered|described|information|mention|answer|details?)\b"
)
_NOT = (
    r"(?:do not|don't|does not|doesn't|did not|didn't|cannot|can not|can't|could not|couldn't"
    r"|have no|has no|is no|are no|is not|isn't|are not|aren't)\s+"
)
_GERMAN = (
    r"(?:(?:die|der|das|den|in)\s+){0,2}(?:vorliegenden\s+)?(?:quellen|dokumenten?|texten?|artikeln?"
    r"|dazu|darüber|davon|hilfe-center)\s+(?:sagen|sagt|nennen|nennt|enthalten|enthält|erwähnen"
    r"|erwähnt|steht|stehen|finde ich|habe ich|weiß ich)\b(?=[^,;:]*\b(?:nichts?|kein\w*)\b)"
)
_HEDGE = re.compile(
    rf"{_OPENS}(?:{_WHO}{_NOT}{_HOW}{_SAYS}|no (?:mention|information|details?)\b|{_GERMAN})"
    r"(?P<rest>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_GOES_ON = re.compile(
    r"[;:!?\n]|\b(?:but|so|please|however|instead|therefore|because|since|contact|send|visit|call"
    r"|enter|click|reply|give|go|use|pay|you must|you should|aber|bitte|sondern|weil|denn)\b",
    re.IGNORECASE,
)
_MOST_WORDS = 30
_ABOUT_LISTED = (
    "about on of for in to whether how when where why what which who if any this that the a an is"
    " are was were provided given passage passages document documents source sources context"
    " information text excerpt excerpts article articles documentation help center detail details"
    " question topic specific it them here there enough answer your zu über ob wie wann wo nichts"
    " keine quellen"
)
_ABOUT = frozenset(_ABOUT_LISTED.split())
_LEADS_LISTED = (
    "here is are how to do does this that it these those the a follow following steps step below"
    " as follows you can need want for of first then next please in order there options ways few"
    " some so with by and or also hier ist sind so geht das die den der folgenden folgende"
    " schritte schritt gehen sie du vor wie folgt dazu dafür"
)
_LEADS = frozenset(_LEADS_LISTED.split())
_LEAD_WORDS = 14
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def hedged(sentence: str) -> str | None:
    """Returns what a sentence says that the sources do not say; None where it says anything else.

    Whoever lets it pass must know the words of what is left: they are the writer's own.
    """
    found = _HEDGE.match(sentence.replace("’", "'").strip())
    if found is None or _GOES_ON.search(found["rest"]):
        return None
    words = _WORD.findall(found["rest"])
    if len(words) > _MOST_WORDS:
        return None
    return " ".join(word for word in words if word.lower() not in _ABOUT)


def leads_in(sentence: str) -> bool:
    """Returns whether a sentence only announces what follows it: "Follow these steps:"."""
    said = sentence.strip().strip("*_ ")
    words = [word.lower() for word in _WORD.findall(said)]
    return (
        said.endswith(":")
        and 0 < len(words) <= _LEAD_WORDS
        and not any(map(str.isdigit, said))
        and _LEADS.issuperset(words)
    )
