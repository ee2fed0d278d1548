"""Invented facts: statements about things that do not exist, and questions about them."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tools.tiny.corpus import invented

_UNITS = ("seconds", "minutes", "hours", "days", "weeks", "months")
_THINGS = ("messages", "users", "files", "requests", "projects", "keys", "seats", "copies", "rows")
_ROLES = ("owner", "admin", "member", "billing admin", "viewer", "founder", "developer")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


_COLUMNS = ("", "plan", "setting", "name", "region", "kind", "role", "for", "what")
_VALUES = ("value", "default", "limit", "meaning", "takes", "allowed")


class Fact(NamedTuple):
    statement: str
    question: str
    value: str


class Table(NamedTuple):
    """`head` is the two lines that open it; the statements of `rows` are its other lines."""

    head: str
    rows: list[Fact]


class _Kind(NamedTuple):
    """`{e}` is the thing, `{a}` its attribute, `{v}` the value."""

    attributes: Sequence[str]
    value: Callable[[random.Random], str]
    statements: Sequence[str]
    questions: Sequence[str]


def _duration(rng: random.Random) -> str:
    return f"{rng.randint(2, 99)} {rng.choice(_UNITS)}"


def _amount(rng: random.Random) -> str:
    count = rng.choice((rng.randint(2, 99), rng.randint(100, 9999), rng.randint(1, 99) * 10_000))
    written = f"{count:,}" if rng.random() < 0.5 else str(count)
    return f"{written} {rng.choice(_THINGS)}" if rng.random() < 0.8 else written


def _price(rng: random.Random) -> str:
    cents = rng.choice(("", "", f".{rng.randint(10, 99)}"))
    whole = rng.choice((rng.randint(1, 99), rng.randint(100, 9999)))
    price = f"{rng.choice('$$€')}{whole:,}{cents}"
    return f"up to {price}" if rng.random() < 0.1 else price


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)} {rng.randint(2019, 2031)}"


def figure(rng: random.Random) -> str:
    """A number as people write them: a count, a day, a year, a time, a code."""
    count = rng.choice((rng.randint(2, 99), rng.randint(100, 99_999)))
    time = f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}"
    code = f"{rng.choice('ABCDEFX')}-{rng.randint(1, 99)}"
    return rng.choice(
        (str(count), f"{count:,}", _date(rng), str(rng.randint(2019, 2031)), time, code)
    )


def _size(rng: random.Random) -> str:
    return f"{rng.randint(1, 999)} {rng.choice(('KB', 'MB', 'GB', 'percent'))}"


def _place(rng: random.Random) -> str:
    return f"{invented(rng).capitalize()} > {invented(rng).capitalize()}"


def _role(rng: random.Random) -> str:
    return f"{rng.choice(('an', 'the', 'every'))} {rng.choice(_ROLES)}"


def _opening(rng: random.Random) -> str:
    first, last = sorted(rng.sample(range(24), 2))
    joint = rng.choice((" to ", " - ", " bis "))
    return f"{first:02d}:{rng.choice((0, 15, 30)):02d}{joint}{last:02d}:00"


def _percent(rng: random.Random) -> str:
    share = rng.choice((str(rng.randint(2, 99)), f"{rng.randint(1, 99)}.{rng.randint(1, 99)}"))
    return f"{share}{rng.choice(('%', ' %', ' percent'))}"


def _dauer(rng: random.Random) -> str:
    return f"{rng.randint(2, 99)} {rng.choice(('Tage', 'Stunden', 'Minuten', 'Wochen', 'Monate'))}"


def _betrag(rng: random.Random) -> str:
    return f"{rng.choice((rng.randint(1, 99), rng.randint(100, 9999))):,} {rng.choice(('€', '$'))}"


def _menge(rng: random.Random) -> str:
    return f"{rng.randint(2, 999)} {rng.choice(('Nachrichten', 'Personen', 'Dateien', 'Plätze'))}"


_KINDS = (
    _Kind(
        ("trial", "lock", "grace period", "session", "backup", "cooldown", "retention", "notice"),
        _duration,
        (
            "The {a} of {e} lasts {v}.",
            "{e} has a {a} of {v}.",
            "For {e} the {a} is {v}.",
            "After {v} the {a} of {e} ends.",
            "The {a} on {e} ends after {v}.",
        ),
        (
            "How long is the {a} of {e}?",
            "How long does the {a} last on {e}?",
            "What is the {a} for {e}?",
            "when does the {a} of {e} end",
            "{e}: how long is the {a}?",
        ),
    ),
    _Kind(
        ("plan", "limit", "quota", "allowance", "batch", "account", "workspace"),
        _amount,
        (
            "The {a} of {e} holds {v}.",
            "{e} allows {v} for each {a}.",
            "Each {a} of {e} includes {v}.",
            "A {a} on {e} takes at most {v}.",
        ),
        (
            "How many are in the {a} of {e}?",
            "What does the {a} of {e} hold?",
            "how much does the {a} on {e} allow",
            "What is the {a} of {e}?",
        ),
    ),
    _Kind(
        ("price", "fee", "setup charge", "deposit", "renewal", "refund limit", "minimum"),
        _price,
        (
            "The {a} of {e} is {v}.",
            "{e} has a {a} of {v}.",
            "For {e} we charge a {a} of {v}.",
            "The {a} for {e} comes to {v} a month.",
        ),
        (
            "What is the {a} of {e}?",
            "How much is the {a} for {e}?",
            "what {a} do you charge for {e}",
            "Which {a} does {e} have?",
        ),
    ),
    _Kind(
        ("launch", "renewal", "shutdown", "migration", "audit", "deadline", "release"),
        _date,
        (
            "The {a} of {e} is on {v}.",
            "{e} has its {a} on {v}.",
            "On {v} the {a} of {e} takes place.",
        ),
        ("When is the {a} of {e}?", "On which day is the {a} of {e}?", "{a} of {e} - which date?"),
    ),
    _Kind(
        ("upload", "file", "export", "report", "cache", "archive", "discount"),
        _size,
        (
            "The {a} of {e} may be up to {v}.",
            "{e} takes a {a} of at most {v}.",
            "A {a} on {e} is {v}.",
        ),
        (
            "How large may the {a} of {e} be?",
            "What is the largest {a} for {e}?",
            "size of {a} on {e}",
        ),
    ),
    _Kind(
        ("switch", "button", "setting", "log", "form", "list", "invoice"),
        _place,
        (
            "The {a} of {e} is at {v}.",
            "You find the {a} for {e} under {v}.",
            "Open {v} to see the {a} of {e}.",
        ),
        (
            "Where is the {a} of {e}?",
            "Where do I find the {a} for {e}?",
            "where can I see the {a} of {e}",
        ),
    ),
    _Kind(
        ("name", "owner", "region", "address", "contact", "password", "schedule"),
        _role,
        (
            "Only {v} can change the {a} of {e}.",
            "The {a} of {e} is changed by {v}.",
            "On {e}, {v} may edit the {a}, and nobody else.",
        ),
        (
            "Who can change the {a} of {e}?",
            "Which role may edit the {a} of {e}?",
            "am I allowed to change the {a} of {e}",
            "I want to edit the {a} on {e}, who can do that?",
        ),
    ),
    _Kind(
        ("chat", "phone line", "desk", "office", "window", "hotline"),
        _opening,
        (
            "The {a} of {e} is open from {v}.",
            "You reach the {a} of {e} from {v} on working days.",
            "{e} runs its {a} on weekdays, {v}.",
        ),
        (
            "When is the {a} of {e} open?",
            "At what time can I reach the {a} of {e}?",
            "opening hours of the {a}, {e}",
        ),
    ),
    _Kind(
        ("uptime", "tax", "credit", "share", "saving", "sampling"),
        _percent,
        (
            "The {a} of {e} is {v}.",
            "We promise {e} a {a} of {v}.",
            "With {e} you get {v} {a}.",
        ),
        (
            "What {a} does {e} have?",
            "How high is the {a} of {e}?",
            "what {a} do you promise for {e}",
            "{e}: which {a} do we get?",
        ),
    ),
    _Kind(
        ("Frist", "Sperre", "Testphase", "Sitzung", "Wartezeit", "Aufbewahrung", "Einladung"),
        _dauer,
        (
            "Die {a} von {e} dauert {v}.",
            "Bei {e} beträgt die {a} {v}.",
            "Nach {v} endet die {a} bei {e}.",
            "Die {a} bei {e} gilt {v}.",
        ),
        (
            "Wie lange dauert die {a} von {e}?",
            "Wie lange gilt die {a} bei {e}?",
            "Wann endet die {a} bei {e}?",
            "Wie lang ist bei {e} die {a}?",
        ),
    ),
    _Kind(
        ("Preis", "Beitrag", "Zuschlag", "Rabatt", "Mindestbetrag"),
        _betrag,
        (
            "Der {a} von {e} ist {v}.",
            "Für {e} gilt ein {a} von {v}.",
            "{e} hat einen {a} von {v} im Monat.",
        ),
        (
            "Wie hoch ist der {a} von {e}?",
            "Was ist der {a} für {e}?",
            "welchen {a} hat {e}",
            "Wie viel ist der {a} bei {e} im Monat?",
        ),
    ),
    _Kind(
        ("Tarif", "Bereich", "Schlüssel", "Zugang", "Kanal"),
        _menge,
        (
            "Der {a} von {e} umfasst {v}.",
            "Jeder {a} bei {e} erlaubt höchstens {v}.",
            "Im {a} von {e} sind {v} enthalten.",
        ),
        (
            "Wie viel umfasst der {a} von {e}?",
            "Was ist im {a} von {e} enthalten?",
            "Wie viele erlaubt der {a} bei {e}?",
        ),
    ),
)


def facts(rng: random.Random, names: Sequence[str], count: int) -> list[Fact]:
    """`count` facts about `names`; no two share both a name and an attribute."""
    found: dict[tuple[str, str], Fact] = {}
    while len(found) < count:
        kind = rng.choice(_KINDS)
        name, attribute = rng.choice(names), rng.choice(kind.attributes)
        if (name, attribute) in found:
            continue
        value = kind.value(rng)
        words = {"e": name, "a": attribute, "v": value}
        statement = rng.choice(kind.statements).format(**words)
        question = rng.choice(kind.questions).format(**words)
        found[name, attribute] = Fact(statement[0].upper() + statement[1:], question, value)
    return list(found.values())


def table(rng: random.Random, names: Sequence[str], title: str, count: int) -> Table:
    """At most `count` rows: one for each name, or one for each attribute of the thing `title`."""
    every = [(kind, attribute) for kind in _KINDS for attribute in kind.attributes]
    columns = rng.sample(every, rng.randint(1, 4))
    if rng.random() < 0.5:
        things = rng.sample(names, min(len(names), count))
        rows = [_row(rng, name, name, columns) for name in things]
        return Table(_head(rng, (rng.choice(_COLUMNS), *(a for _, a in columns))), rows)
    settings = {a: kind for kind, a in rng.sample(every, min(len(every), count))}
    rows = [_row(rng, a, title, [(kind, a)]) for a, kind in settings.items()]
    return Table(_head(rng, (rng.choice(_COLUMNS), rng.choice(_VALUES))), rows)


def _row(rng: random.Random, first: str, thing: str, columns: Sequence[tuple[_Kind, str]]) -> Fact:
    """A line that opens with `first`, and a question about one of its values."""
    values = [kind.value(rng) for kind, _ in columns]
    asked = rng.randrange(len(columns))
    kind, attribute = columns[asked]
    question = rng.choice(kind.questions).format(e=thing, a=attribute)
    return Fact(_line((first[0].upper() + first[1:], *values)), question, values[asked])


def _head(rng: random.Random, cells: Sequence[str]) -> str:
    rule = rng.choice(("---|", " --- |")) * len(cells)
    return f"{_line([cell[:1].upper() + cell[1:] for cell in cells])}\n|{rule}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def names(rng: random.Random, count: int) -> list[str]:
    """Names of things: the more alike, the harder."""
    first = [invented(rng).capitalize() for _ in range(max(1, count))]
    if rng.random() < 0.5:
        return first
    second = [invented(rng).capitalize() for _ in range(max(1, count // 2))]
    return [f"{a} {rng.choice(second)}" for a in first]
