"""How many steps a pattern of `re` takes on strings made to make it backtrack.

`re` says nothing of its steps, and time measures the machine. So the patterns, parsed by `re`
itself, are matched here by the same rules (leftmost, greedy, backtracking), and every attempt at a
node and every character of a run is counted.
"""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

SIZES = (120, 240, 480, 960)
WORST_RATIO = 2.8
"""Steps for twice the string: 2 is linear, 4 quadratic. Bounded repeats lie a little above 2."""
MOST_STEPS = 4_000_000
"""That judging one pattern may take: a few seconds."""
FIRST_STEPS = 40_000
"""The same for a look in passing: some hundredths of a second."""
LONGEST = 2_000
"""Characters of a pattern that is judged."""
MOST_WAYS = 300
"""In which repeats that end may be taken without a closer look."""
TOO_MANY = 1_500_000
"""Steps at which a string counts as the worst, whatever the ratio: exponential patterns."""
DEEPEST = 50_000
"""Calls within calls while a string is matched."""
FEW = 8
"""Steps a character below which a string need not be tried at twice its length."""
USUAL = ("a", "A", "z", "1", " ", "\n", ".", "-", "_", "*", "`", "|", "<", "[", "(", "!", ":", "ä")

Next = Callable[[int], bool]
Node = Callable[[int, Next], bool]


class TooManySteps(Exception):
    pass


class Machine:
    """One pattern, matched step by step."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        written = pattern.pattern
        text = written.decode("latin-1") if isinstance(written, bytes) else written
        self.flags = pattern.flags
        self.tree = parser.parse(text, pattern.flags & ~re.DEBUG)
        self.start = self._sequence(list(self.tree))
        self.text = ""
        self.steps = 0
        self.found: tuple[int, int] | None = None
        self.groups: dict[int, str] = {}

    def search(self, text: str) -> int:
        """Returns the steps of finding nothing, or the first match, from every start that `re`
        tries."""
        self.text, self.steps, self.found = text, 0, None
        try:
            for at in range(len(text) + 1):
                self.groups = {}
                ends: list[int] = []
                if self.start(at, lambda end, ends=ends: not ends.append(end)):  # type: ignore[misc]
                    self.found = (at, ends[-1])
                    break
        except (TooManySteps, RecursionError):
            return TOO_MANY
        return self.steps

    def _tick(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > TOO_MANY:
            raise TooManySteps

    def _sequence(self, nodes: Sequence[Any]) -> Node:
        steps = [self._node(op, value) for op, value in nodes]

        def run(at: int, then: Next, index: int = 0) -> bool:
            if index == len(steps):
                return then(at)
            return steps[index](at, lambda end: run(end, then, index + 1))

        return run

    def _node(self, op: Any, value: Any) -> Node:
        if (fits := self._one(op, value)) is not None:
            return self._single(fits)
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            return self._repeat(op, *value)
        if op is c.SUBPATTERN:
            return self._group(value[0], self._sequence(list(value[3])))
        if op is c.ATOMIC_GROUP:
            return self._atomic(self._sequence(list(value)))
        if op is c.BRANCH:
            ways = [self._sequence(list(way)) for way in value[1]]
            return lambda at, then: any(way(at, then) for way in ways)
        if op is c.AT:
            return self._place(value)
        if op in (c.ASSERT, c.ASSERT_NOT):
            return self._look(op is c.ASSERT, value[0], value[1])
        if op is c.GROUPREF:
            return self._reference(value)
        raise NotImplementedError(str(op))

    def _one(self, op: Any, value: Any) -> Callable[[str], bool] | None:
        """Returns the test of a node that takes one character."""
        fold = str.casefold if self.flags & re.IGNORECASE else str
        if op is c.LITERAL:
            return lambda char: fold(char) == fold(chr(value))
        if op is c.NOT_LITERAL:
            return lambda char: fold(char) != fold(chr(value))
        if op is c.ANY:
            return (lambda _char: True) if self.flags & re.DOTALL else (lambda char: char != "\n")
        if op is c.IN:
            return self._set(value)
        return None

    def _set(self, parts: Sequence[Any]) -> Callable[[str], bool]:
        ignore = bool(self.flags & re.IGNORECASE)
        negated = parts[0][0] is c.NEGATE

        def holds(char: str) -> bool:
            forms = {char, char.lower(), char.upper()} if ignore else {char}
            known = [form for form in forms if len(form) == 1]
            return any(_in(op, value, form) for op, value in parts for form in known) != negated

        return holds

    def _single(self, fits: Callable[[str], bool]) -> Node:
        def run(at: int, then: Next) -> bool:
            self._tick()
            return bool(at < len(self.text) and fits(self.text[at]) and then(at + 1))

        return run

    def _repeat(self, op: Any, least: int, most: Any, body: Any) -> Node:
        most = sys.maxsize if most is c.MAXREPEAT else int(most)
        inner = list(body)
        fits = self._one(*inner[0]) if len(inner) == 1 else None
        if op is c.POSSESSIVE_REPEAT:
            return self._atomic(self._repeat(c.MAX_REPEAT, least, most, body))
        if fits is not None:
            return self._run_of(fits, least, most, lazy=op is c.MIN_REPEAT)
        return self._again(self._sequence(inner), least, most, lazy=op is c.MIN_REPEAT)

    def _run_of(self, fits: Callable[[str], bool], least: int, most: int, *, lazy: bool) -> Node:
        def run(at: int, then: Next) -> bool:
            end = at
            while end < len(self.text) and end - at < most and fits(self.text[end]):
                self._tick()
                end += 1
                if lazy and end - at >= least and then(end - 1 if end - 1 - at >= least else end):
                    return True
            ways = range(at + least, end + 1) if lazy else range(end, at + least - 1, -1)
            for stop in ways:
                self._tick()
                if then(stop):
                    return True
            return False

        return run

    def _again(self, body: Node, least: int, most: int, *, lazy: bool) -> Node:
        def run(at: int, then: Next, count: int = 0) -> bool:
            self._tick()

            def once_more() -> bool:
                return count < most and body(
                    at, lambda end: (end > at or count < least) and run(end, then, count + 1)
                )

            def enough() -> bool:
                return count >= least and then(at)

            return (enough() or once_more()) if lazy else (once_more() or enough())

        return run

    def _group(self, number: int | None, body: Node) -> Node:
        def run(at: int, then: Next) -> bool:
            def close(end: int) -> bool:
                if number is not None:
                    self.groups[number] = self.text[at:end]
                return then(end)

            return body(at, close)

        return run

    def _atomic(self, body: Node) -> Node:
        def run(at: int, then: Next) -> bool:
            ends: list[int] = []
            return body(at, lambda end: not ends.append(end)) and then(ends[-1])  # type: ignore[func-returns-value]

        return run

    def _place(self, value: Any) -> Node:
        def word(at: int) -> bool:
            return 0 <= at < len(self.text) and (self.text[at].isalnum() or self.text[at] == "_")

        def holds(at: int) -> bool:
            lines = bool(self.flags & re.MULTILINE)
            if value in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
                starts = lines and value is c.AT_BEGINNING and at > 0 and self.text[at - 1] == "\n"
                return at == 0 or starts
            if value in (c.AT_END, c.AT_END_STRING):
                ends = value is c.AT_END and self.text[at:] == "\n"
                inside = lines and value is c.AT_END and self.text[at : at + 1] == "\n"
                return at == len(self.text) or ends or inside
            edge = word(at - 1) != word(at)
            return edge if value is c.AT_BOUNDARY else not edge

        def run(at: int, then: Next) -> bool:
            self._tick()
            return holds(at) and then(at)

        return run

    def _look(self, wanted: bool, direction: int, body: Any) -> Node:
        inside = self._sequence(list(body))
        width = body.getwidth()[0]

        def run(at: int, then: Next) -> bool:
            self._tick()
            start = at - width if direction < 0 else at
            found = start >= 0 and inside(start, lambda _end: True)
            return found == wanted and then(at)

        return run

    def _reference(self, number: int) -> Node:
        def run(at: int, then: Next) -> bool:
            known = self.groups.get(number)
            self._tick(len(known or "") + 1)
            return known is not None and self.text.startswith(known, at) and then(at + len(known))

        return run


@lru_cache(maxsize=1024)
def superlinear(pattern: re.Pattern[Any], *, thorough: bool = True) -> str | None:
    """Returns what is wrong with a pattern that may hold a process, as a sentence; None where
    nothing is.

    Bounded itself: a pattern that cannot be judged in MOST_STEPS is not let through. Where it is
    not `thorough`, in a small part of that, what is not found by then is let through.
    """
    if len(pattern.pattern) > LONGEST:
        return f"this pattern is over {LONGEST} characters long: write several shorter ones"
    if _ways(list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))) <= MOST_WAYS:
        return None
    ratio, recipe = worst(pattern, MOST_STEPS if thorough else FIRST_STEPS, thorough)
    if ratio <= WORST_RATIO:
        return None
    return (
        f"a text such as {recipe.partition(':')[0]} would hold the process; give the repeat an end,"
        " such as {0,40} in place of *, or begin with a word that stands before it"
    )


def _ways(nodes: Sequence[Any]) -> float:
    """Returns in how many ways the repeats can be taken, at most; infinite where one has no end."""
    ways = 1.0
    for op, value in nodes:
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            least, most, body = value
            if most is c.MAXREPEAT:
                return math.inf
            inner = _ways(list(body))
            ways *= (int(most) - least + 1) * (inner ** min(int(most), 64) if inner > 1 else 1)
        elif op is c.SUBPATTERN:
            ways *= _ways(list(value[3]))
        elif op is c.ATOMIC_GROUP:
            ways *= _ways(list(value))
        elif op in (c.ASSERT, c.ASSERT_NOT):
            ways *= _ways(list(value[1]))
        elif op is c.BRANCH:
            ways *= sum(_ways(list(way)) for way in value[1])
    return ways


def worst(
    pattern: re.Pattern[Any], most_steps: float = math.inf, refuse: bool = True
) -> tuple[float, str]:
    """Returns the largest growth of steps for a string of twice the length, and the string's
    recipe. Where `most_steps` do not suffice, what was found by then, or with `refuse` that it
    is too many."""
    before_limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before_limit, DEEPEST))
    try:
        return _worst(Machine(pattern), most_steps, refuse)
    finally:
        sys.setrecursionlimit(before_limit)


def _worst(machine: Machine, most_steps: float, refuse: bool) -> tuple[float, str]:
    found = (0.0, "")
    spent = 0
    for before, pump, after in recipes(machine):
        if spent > most_steps and not refuse:
            break
        if spent > most_steps:
            return 99.0, f"{before!r} + {pump!r} * n: too many steps"
        steps: list[int] = []
        ratio = 0.0
        for size in SIZES:
            steps.append(machine.search(before + pump * max(2, size // len(pump)) + after))
            spent += steps[-1]
            if steps[-1] < FEW * len(machine.text):
                ratio = 0.0
                break
            if steps[-1] >= TOO_MANY:
                ratio = 99.0
                break
            ratio = steps[-1] / steps[-2] if len(steps) > 1 else 0.0
            # Bounded repeats grow faster until their bound is reached: the last doubling counts.
            if 0 < ratio <= WORST_RATIO:
                break
        if ratio > found[0]:
            found = (ratio, f"{before!r} + {pump!r} * n + {after!r}: steps {steps}")
        if ratio > WORST_RATIO:
            break
    return found


def recipes(machine: Machine) -> Iterator[tuple[str, str, str]]:
    """Strings that the pattern begins to match again and again, and never finishes."""
    tree = list(machine.tree)
    starts = [_sample(tree[:end], longer) for end in range(1, len(tree) + 1) for longer in (0, 1)]
    bodies = [_sample(list(body), 0) for body in _bodies(tree)]
    made = dict.fromkeys(text for text in [*starts, *bodies] if text)
    pumps = dict.fromkeys(
        [*USUAL, *(text + between for text in made for between in ("", " ", "-"))]
    )
    befores = dict.fromkeys(["", *(_sample(tree[:end], 0) for end in range(1, len(tree)))])
    for pump in pumps:
        for before in list(befores)[:4]:
            for after in ("", "\x00"):
                yield before, pump, after


def _bodies(nodes: Sequence[Any]) -> Iterator[Any]:
    """Yields the bodies of all repeats, and all branches."""
    for op, value in nodes:
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            yield value[2]
            yield from _bodies(list(value[2]))
        elif op is c.SUBPATTERN:
            yield from _bodies(list(value[3]))
        elif op is c.ATOMIC_GROUP:
            yield from _bodies(list(value))
        elif op is c.BRANCH:
            for way in value[1][:6]:
                yield way
                yield from _bodies(list(way))


def _sample(nodes: Sequence[Any], longer: int) -> str:
    """Returns a string that the nodes match, as short as may be, each repeat `longer` than it
    must be."""
    made = ""
    for op, value in nodes:
        if op is c.LITERAL:
            made += chr(value)
        elif op is c.NOT_LITERAL or op is c.ANY:
            made += "a"
        elif op is c.IN:
            made += next((ch for ch in (*USUAL, *map(chr, range(32, 127))) if _fits(value, ch)), "")
        elif op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            made += _sample(list(value[2]), longer) * min(value[0] + longer, int(value[1]))
        elif op is c.SUBPATTERN:
            made += _sample(list(value[3]), longer)
        elif op is c.ATOMIC_GROUP:
            made += _sample(list(value), longer)
        elif op is c.BRANCH:
            made += _sample(list(value[1][0]), longer)
    return made


def _fits(parts: Sequence[Any], char: str) -> bool:
    negated = parts[0][0] is c.NEGATE
    return any(_in(op, value, char) for op, value in parts) is not bool(negated)


def _in(op: Any, value: Any, char: str) -> bool:
    if op is c.LITERAL:
        return bool(ord(char) == value)
    if op is c.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    if op is c.CATEGORY:
        return bool(_CATEGORIES[value](char))
    return False


_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    c.CATEGORY_DIGIT: str.isdecimal,
    c.CATEGORY_NOT_DIGIT: lambda char: not char.isdecimal(),
    c.CATEGORY_SPACE: str.isspace,
    c.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    c.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    c.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}
