"""What kind of answer a question wants, and which pieces look like one: in English and German."""

import re
from collections.abc import Sequence, Set
from typing import Final, NamedTuple

_ANY_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|zwei|drei|fünf|zehn)\b",
    re.IGNORECASE,
)
"""Whether there is a number at all, also `one`: these patterns say what a piece looks like, for
weights that were fitted to them; which value it is, `twofold.text.numbers` says."""
_UNITS = (
    r"(?:days?|hours?|minutes?|seconds?|months?|weeks?|years?|ms|h|s"
    r"|tage?n?|stunden?|minuten?|sekunden?|monaten?|wochen?|jahren?|werktagen?)"
)
_ANSWERS: Final = {
    # what is asked for -> (how it is asked, what answers it)
    "number": (
        r"\bhow (?:long|many|much|often|large|big|fast|soon|late|old|far|quick(?:ly)?|high)\b"
        r"|\bwhen\b|\bcosts?\b|\bprices?\b|\blimits?\b|\bm(?:ax|in)(?:imum)?\b|\btimeout\b|\bpercent|\bfee\b"
        r"|\bversion\b|\bwie (?:lange|viele?|oft|groß|hoch|schnell|weit)\b|\bwann\b|\bkostet\b"
        r"|\bhöchstens\b",
        _ANY_NUMBER.pattern,
    ),
    "time": (
        r"\bhow (?:long|soon|late|old|quick(?:ly)?|fast|often|far (?:back|ahead))\b"
        r"|\bwhen\b|\bexpir|\bvalid\b|\buntil\b|\btimeout|\bwie (?:lange|oft|schnell)\b|\bwann\b"
        r"|\bgültig",
        rf"\b(?:\d+|one|two|three|five|seven|ten|twelve)[ -]?(?:(?:business|calendar|working) )?"
        rf"{_UNITS}\b|\b(?:immediately|at once|never|sofort|nie)\b",
    ),
    "money": (
        r"\b(?:costs?|prices?|pricing|pay|fee|charge[ds]?|much|discount|credit|refund|save|kostet"
        r"|kosten|preis|rabatt)\b|[$€]",
        r"[$€]\s?\d|\d\s?(?:€|%|USD|EUR|euro|dollars?)|\b(?:free|kostenlos)\b",
    ),
    "count": (
        r"\bhow (?:many|large|big|much)\b|\bmax|\blimit|\bat most\b|\bwie viele\b|\bhöchstens\b",
        _ANY_NUMBER.pattern,
    ),
    "polar": (
        r"^\W*(?:(?:and|so|but|und|ok|hi|hello)\W+)*(?:do|does|did|is|are|can|could|will|would|may"
        r"|should|am|was|has|have|kann|können|darf|ist|sind|gibt|muss|geht|habt|haben)\b"
        r"|, (?:is|are|do|does|can) "
        r"|\b(?:can|may|do|does|is|are) (?:i|we|you|it|they|he|she|one|somebody)\b",
        r"\b(?:not|no|cannot|never|only|can|may|must|allowed|supported|available|yes|free|nicht"
        r"|kein\w*|nur|kann|können)\b",
    ),
    "who": (
        r"\bwho|\bwhich roles?\b|\bwer\b|\bwhom\b",
        r"\b(?:owners?|admins?|developers?|viewers?|billing|team|administrators?|support"
        r"|eigentümer)\b",
    ),
    "plan": (
        r"\b(?:which|what|welche[rsmn]?) (?:plans?|tiers?|editions?|tarif\w*)\b|\bfree plan\b",
        r"\b(?:available on|part of|included|all plans|every plan|paid plans|plans?|tarif\w*)\b",
    ),
    "version": (r"\bversions?\b|\bversion\w*\b", r"\b\d+\.\d+\b"),
    "where": (r"\bwhere\b|\bwo\b", r"→|\*\*[A-Z]|https?://|`/|\bunder \*\*|\bpage\b"),
}
_PATTERNS = {
    name: (re.compile(asked, re.IGNORECASE), re.compile(answer, re.IGNORECASE))
    for name, (asked, answer) in _ANSWERS.items()
}
_STEPS = re.compile(
    r"\bhow (?:do|can|should|would|could|does one|am|to) |\bhow to\b|\bwhere (?:do|can|is|are|to)\b"
    r"|\bsteps?\b|\bset ?up\b|\bhow\W*$|\b(?:i|we) (?:want|need) to\b"
    r"|\bwie (?:kann|richte|ändere|lade|stelle|mache|füge|prüfe|kündige|bekomme|lege)\b"
    r"|\bwie \w+e (?:ich|wir)\b"
    r"|\bwo (?:finde|kann|ist|sehe|stelle)\b",
    re.IGNORECASE,
)
_PROCEDURE = re.compile(
    r"\bhow (?:do|can|could|should|would) (?:i|we|you|one|people|my|our)\b|\bhow to\b"
    r"|\bwie (?:kann|können|muss|soll|\w+e) (?:ich|wir|man)\b"
    r"|\bwalk (?:me|us) through\b|\bstep[- ]by[- ]step\b|\b(?:every|each|all(?: of)?(?: the)?) "
    r"(?:clicks?|steps?)\b|\b(?:full|whole|complete|entire) (?:list|procedure|process|thing|steps?"
    r"|instructions?)\b|\bwhat(?:'?s| is| are) the (?:procedure|process|steps?)\b"
    r"|\bwhat (?:now|next)\b|\bnow what\b|\bhow (?:this|that|it) (?:is|would be|can be) done\b"
    r"|\bwhere (?:do|can|should) (?:i|we) (?:click|press|start)\b|\bwas (?:nun|jetzt)\b"
    r"|\bin (?:what|which) order\b|\bwhat (?:exactly )?(?:do|should|must) (?:i|we|you|they)"
    r"(?: (?:both|all|have to|need to))*+ (?:do|click|press|enter|change)\b"
    r"|\bshow (?:me|us) how to\b|\binstructions\b|\bschritt für schritt\b|\balle schritte\b"
    r"|\bwas (?:muss|soll|kann) (?:ich|man|wir) (?:\w+ )?(?:tun|machen)\b",
    re.IGNORECASE,
)
_WHY = re.compile(
    r"\bwhy\b|\bhow come\b|\breasons?\b|\bcauses?\b|\bwrong\b|\bbug\b|\bwarum\b|\bweshalb\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\bdiffer(?:s|ent|ences?)?\b|\bversus\b|\bvs\b|\bcompared? (?:to|with)\b|\bunterschied\w*"
    r"|\b(?:works?|behaves?) (?:like|as)\b|\bthe same as\b|\bwhich is which\b",
    re.IGNORECASE,
)
_NAME = r"(?:(?:the|a|an|your|my|our) )?(?P<{}>[^\s,;.:?!]+(?: [^\s,;.:?!]+){{0,3}}?)"
_BETWEEN = re.compile(
    rf"\b(?:between|zwischen) {_NAME.format('one')} (?:and|or|und|oder|vs\.?) {_NAME.format('two')}"
    r"(?=[,;.:?!]|\Z|,? (?:the|in|on|for|when|if|please|exactly|here|i|we)\b)",
    re.IGNORECASE,
)
_VERSUS = re.compile(r"\b(?P<one>\w++) (?:vs\.?|versus) (?P<two>\w++)", re.IGNORECASE)
"""Two things that are to be told apart."""
_DOING = re.compile(r"\bhow (?:do|can|to)\b|\bwie kann\b", re.IGNORECASE)
_FIGURES = re.compile(r"\d[\d.,]*")
"""Numbers as they stand, for the clue that a piece repeats the question's: its weight was fitted to
this pattern. Which values are equal, `twofold.text.numbers` says."""
_VALUES: Final = frozenset({"number", "time", "money", "count", "version"})
TOLD_EXACTLY: Final = frozenset({"money", "time"})
"""Kinds of values of which a piece plainly says one or none."""
STEM: Final = 5
"""Letters by which two forms of a word are one."""
ROOT: Final = 4
"""The same of a verb ("pausing", "paused")."""
_COUNTED = re.compile(
    r"\b(?:how many|number of|max(?:imum)?(?: number of)?|wie viele?) ((?:\w+ ?){1,2})"
)
_COUNT = re.compile(
    r"\b(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|twelve|unlimited|no) "
    r"((?:\w+ ?){1,2})"
)
_NEGATED = re.compile(
    r"\b(?:not|no|cannot|never|none|without|nicht|nie|kein\w*)\b|n't\b", re.IGNORECASE
)
_OPEN = re.compile(
    r"(?:^|[,;.!?])\W{0,5}+(?:(?:and|so|but|ok|hi|hello)\W{1,5}+){0,3}+(?:how|what|when|where|why|who|which)\b"
    r"[^,;.!?]*\b(?:can|may|do|does|is|are)\b",
    re.IGNORECASE,
)
"""How, what, where ... something can be done: no question for a yes."""
_EITHER = re.compile(r"\bor\b(?! (?:something|so|similar|the like|anything)\b)", re.IGNORECASE)
_NONE = re.compile(
    r"\bthere (?:is|are|will be) no (?P<what>.+?)"
    r"(?=\b(?:for|of|on|in|to|at|with|yet|that|which|from|by|or|and)\b|[,;:.!?(]|$)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:^|[,;:.!?(–])(?P<who>[^,;:.!?(–]*?)\b(?P<how>cannot|never|no longer"
    r"|(?:can|is|are|does|do|will|was|were|has|have|may)(?: not|n't| never| no longer))\b"
    r"(?P<rest>[^,;:.!?(–]*)",
    re.IGNORECASE,
)
"""What is plainly denied: that there is something, or that something is done."""
_OBLIGED = re.compile(r"\b(?:need|have to|has to|must|required?|necessary)\b", re.IGNORECASE)
_PASSIVE = re.compile(r"\A\W*+(?:yet |also |longer )?(?:be|been|being)\b", re.IGNORECASE)
_SKIPPED = frozenset({"be", "been", "being", "yet", "to", "get", "also", "still", "currently"})
_GENERIC = re.compile(r"offer|support|provid|allow|includ|accept|possib|availab|permitt|have$")
"""Words that deny whatever it is: what that is stands beside them."""
_LIMITED = re.compile(
    r"\b(?:unless|except|if|until|but|other than|otherwise|(?:no|not) (?:more|less|only|just))\b",
    re.IGNORECASE,
)
"""Words by which it is denied for some cases alone."""
_LEAVE = re.compile(
    r"\A\W*+(?:(?P<who>\w[\w ]*?) (?:can|may|kann|können|darf|dürfen) (?:also |be |always )*"
    r"|(?P<of>\w[\w ]*?) (?:is|are) (?:allowed|supported|possible|permitted|included|accepted))"
    r"\b(?P<rest>[\w ]{0,200}+)[.!]?\W*+",
    re.IGNORECASE,
)
_MAY = re.compile(
    r"\b(?:can|could|may|possible|allowed|ok|okay|fine|supported?|kann|können|darf|dürfen)\b",
    re.IGNORECASE,
)
_EMPTY = frozenset(
    """the and for you our your can are does not any all has have with this that its from there was
    were will may der die das ein eine und können kann dürfen""".split()  # noqa: SIM905  a list of so many is no list
)
_ANYWAY = frozenset({"time", "yourself", "always"})
_POLAR_CELL = re.compile(r"\A\W*+(?:(?P<no>no|not|never|nein)|(?P<yes>yes|ja))\b", re.IGNORECASE)
_CELL_LIMITED = re.compile(r"\b(?:but|only|except|unless|aber|nur)\b", re.IGNORECASE)
NEAR: Final = 8
"""Words behind a denial that say what is denied."""

_CLAUSE = re.compile(r"[,;:.!?()–]\s?")
_WORDS = re.compile(r"[\w-]+")
_LONG = re.compile(r"[^\W_]{4,}")
BESIDE: Final = 4
"""Words on either side of a negation that say what is negated."""


class WantedAnswer(NamedTuple):
    """What a question wants. `kinds` are names of answers; `steps`: how something is done;
    `counted`: beginnings of the words of which it asks how many there are."""

    text: str
    kinds: frozenset[str]
    steps: bool
    figures: frozenset[str]
    counted: tuple[str, ...] = ()

    def value_in(self, text: str) -> bool:
        """Returns whether the text holds a value of the kind that is asked for."""
        return not self.steps and not self.kinds.isdisjoint(_VALUES & self.answered_by(text))

    def counted_in(self, text: str) -> bool:
        """Returns whether the text says a number of what is counted ("2 seats", "20 live keys")."""
        return (
            any(
                word.startswith(self.counted)
                for match in _COUNT.finditer(text.lower())
                for word in match[1].split()
            )
            if self.counted
            else False
        )

    def answered_by(self, text: str) -> frozenset[str]:
        """Returns those of `kinds` that the text looks like."""
        return frozenset(kind for kind in self.kinds if _PATTERNS[kind][1].search(text))

    def told_in(self, text: str) -> bool:
        """Returns whether a price or a time is asked for, and the text says one."""
        return not TOLD_EXACTLY.isdisjoint(self.answered_by(text))

    def priced_in(self, text: str) -> bool:
        """Returns whether a price is asked for, and the text says one."""
        return "money" in self.answered_by(text)

    def shares_figure(self, text: str) -> bool:
        return bool(self.figures) and not self.figures.isdisjoint(_FIGURES.findall(text))


def asks_to_do(message: str) -> bool:
    """Returns whether a message wants to be told all that has to be done."""
    return _PROCEDURE.search(message) is not None


def compares(message: str) -> bool:
    """Returns whether a message wants two things told apart."""
    return _COMPARES.search(message) is not None


def told_apart(message: str) -> tuple[str, str] | None:
    """Returns the beginnings of the first words of two things that a message wants told apart; None
    where it names no two."""
    for form in (_BETWEEN, _VERSUS):
        if (held := form.search(message)) is not None:
            one, two = (_LONG.findall(held[each].lower())[:1] for each in ("one", "two"))
            if one and two and one[0][:ROOT] != two[0][:ROOT]:
                return one[0][:ROOT], two[0][:ROOT]
    return None


def asks_why(message: str) -> bool:
    return _WHY.search(message) is not None


def read(text: str) -> WantedAnswer:
    """Returns what the question wants."""
    kinds = frozenset(name for name, (asked, _) in _PATTERNS.items() if asked.search(text))
    steps = _STEPS.search(text) is not None or asks_to_do(text)
    if steps and kinds & {"time", "count"}:
        steps = _DOING.search(text) is not None
    counted = tuple(
        word[:STEM]
        for match in _COUNTED.finditer(text.lower())
        for word in match[1].split()[:1]
        if len(word) > 3
    )
    return WantedAnswer(text, kinds, steps, frozenset(_FIGURES.findall(text)), counted)


def denies(asked: WantedAnswer, sentence: str) -> bool:
    """Returns whether a sentence that is about all that is asked for denies some of it."""
    if not _polar(asked) or _LIMITED.search(sentence):
        return False
    return any(_about(asked.text, sentence, match) for match in _NEGATED.finditer(sentence))


def plain_verdict(asked: WantedAnswer, sentence: str) -> str:
    """Returns `no` or `yes` where the sentence denies or grants, in plain words and for every case,
    the very thing that is asked for: its verb is the question's, and what it is done to."""
    if not _polar(asked) or _LIMITED.search(sentence):
        return ""
    own = _words(asked.text)
    if (none := _NONE.search(sentence)) is not None:
        return "no" if all(_in(word, own) for word in _words(none["what"])) else ""
    if (denied := _DENIED.search(sentence)) is not None:
        return "no" if _is_denied(own, _OBLIGED.search(asked.text) is not None, denied) else ""
    granted = _LEAVE.fullmatch(sentence)
    if granted is None or _OBLIGED.search(asked.text) or not _MAY.search(asked.text):
        return ""
    said = _words(" ".join(filter(None, granted.group("who", "of", "rest"))))
    return "yes" if said and all(_in(word, own) or word in _ANYWAY for word in said) else ""


def _is_denied(own: Set[str], owed: bool, denied: re.Match[str]) -> bool:
    """Returns whether what is denied is what a question of these words asks for; `owed`: it asks
    whether it must be so."""
    rest = [word for word in _WORDS.findall(denied["rest"].lower()) if word not in _SKIPPED]
    if not rest or owed != (_OBLIGED.match(denied["rest"].strip()) is not None):
        return False
    who, what = _words(denied["who"]), _words(" ".join(rest[1 : 1 + NEAR]))
    if owed:
        return any(_in(word, own) for word in what)
    if _GENERIC.match(rest[0]):
        return sum(_in(word, own) for word in who | what) > 1
    state = denied["how"].lower().startswith(("is", "are", "was", "were"))
    passive = state or _PASSIVE.match(denied["rest"])
    beside = who if passive else what or who
    return _in(rest[0], own) and any(_in(word, own) for word in beside)


def row_verdict(asked: WantedAnswer, head: Sequence[str], cells: Sequence[str]) -> str:
    """Returns `no` or `yes` as a row of a table says it: in the one column that the question names,
    or in the only one beside the first."""
    if not _polar(asked):
        return ""
    own = _words(asked.text)
    named = [i for i, name in enumerate(head) if i and any(_in(w, own) for w in _words(name))]
    at = named if len(head) > 2 else [1]
    if len(at) != 1 or at[0] >= len(cells):
        return ""
    said = _POLAR_CELL.match(cells[at[0]])
    if said is None or _CELL_LIMITED.search(cells[at[0]]):
        return ""
    return "no" if said["no"] else "yes"


def _polar(asked: WantedAnswer) -> bool:
    """Returns whether a yes or a no is wanted."""
    other = (_OPEN, _NEGATED, _EITHER)
    return "polar" in asked.kinds and not any(each.search(asked.text) for each in other)


def _words(text: str) -> set[str]:
    words = _WORDS.findall(text.lower())
    return {word for word in words if len(word) > 2 and word not in _EMPTY}


def _in(word: str, words: Set[str]) -> bool:
    """Returns whether the word, in one form or another, is among the words."""
    stem = word[: max(4, len(word) - 2)]
    return len(word) > 2 and any(
        other == word or other.startswith(stem) or (len(other) > 3 and word.startswith(other[:-1]))
        for other in words
    )


def _about(question: str, sentence: str, negated: re.Match[str]) -> bool:
    """Returns whether what is negated is in the question: a client "with no dependencies" does not
    say that there is none."""
    before = _CLAUSE.split(sentence[: negated.start()])[-1].split()[-BESIDE:]
    after = _CLAUSE.split(sentence[negated.end() :])[0].split()[:BESIDE]
    return not _stems(question).isdisjoint(_stems(" ".join((*before, *after))))


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in _LONG.findall(text.lower())}
