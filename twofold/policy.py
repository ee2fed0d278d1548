"""The house policy: who we are, how we speak, and when a person takes over.

One YAML file is the single source of the prompt, the decoding grammar, the style checks, the
escalation rules and the composer's sentences. Teams and reasons are closed sets.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from twofold.index.contract import content_hash
from twofold.text.languages import ENGLISH, base

NOT_IN_SOURCES = "not_in_sources"
"""The reason every house policy has: nothing we may show answers the question."""

PERSON_REQUESTED = "person_requested"
"""The reason, where a house has it, that a person is all that is wanted."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,40}$")]
Word = Annotated[str, Field(min_length=1)]
Locale = Annotated[str, Field(pattern=r"^[a-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
_TAG = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


Place = tuple[str, ...]
"""Keys from the top of a policy down."""


class PolicyProblems(ValueError):
    """What does not fit together in a house policy: each one's place, and what is wrong there."""

    def __init__(self, problems: Sequence[tuple[Place, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(where)}: {what}" for where, what in problems))
        self.problems = problems


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reason(_Model):
    """Why a person takes over.

    `patterns` are case-insensitive regular expressions, any one decides; what matches one of
    `unless` is no match. `examples` are what customers say; they train the classifier. `consent`
    asks first instead of handing over at once. `meanwhile`, by language, is said with the
    hand-over: what to do until somebody comes.
    """

    team: Name
    when: str
    patterns: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    """What looks like one of `patterns` and is none: somebody else's anger, a question about it."""
    examples: tuple[str, ...] = ()
    consent: bool = False
    meanwhile: dict[Locale, Word] = {}
    grave: bool = False
    """Missing it costs more than an agent's time: an account in wrong hands, a court's deadline."""
    pages: bool = False
    """Below the hand-over stands what the sources say, where they clearly answer: fitting for who
    asks how something is done, not for who is threatened or sues."""
    firm: bool = False
    """Where a pattern matches, no example outweighs it; so with every grave reason."""

    @field_validator("patterns", "unless")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns

    def match(self, text: str) -> str:
        """Returns what of the text matches one of `patterns`; empty where nothing does."""
        unless, patterns = self._matchers
        left = unless.sub(" … ", text) if unless else text
        found = patterns.search(left) if patterns else None
        return found.group().strip() if found else ""

    @cached_property
    def _matchers(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        either = ("|".join(each) for each in (self.unless, self.patterns))
        unless, patterns = (re.compile(one, re.IGNORECASE) if one else None for one in either)
        return unless, patterns


def _clock(value: Any) -> Any:
    """Returns a time of a day as it was written: YAML takes 17:00 without quotes for a number, of
    minutes."""
    if not isinstance(value, int | float):
        return value
    hours, minutes = divmod(int(value), 60)
    if not 1 <= hours < 24:
        said = f"{hours}:{minutes:02}" if hours else value
        raise ValueError(f"{said} is not a time of a day, such as 09:00 or 17:30")
    return time(hours, minutes)


Clock = Annotated[time, BeforeValidator(_clock)]


class Hours(_Model):
    """When people are there. Teams in `always` never sleep."""

    timezone: str
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...]
    opens: Clock
    closes: Clock
    always: tuple[Name, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is not a time zone such as Europe/Berlin") from error
        return name

    @field_validator("closes")
    @classmethod
    def _later(cls, closes: time, before: ValidationInfo) -> time:
        opens = before.data.get("opens")
        if opens is not None and closes <= opens:
            raise ValueError(f"{opens:%H:%M} to {closes:%H:%M} ends before it begins")
        return closes

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def open_at(self, moment: float, team: str) -> bool:
        """Returns whether `team` is there at `moment` (epoch seconds)."""
        if team in self.always:
            return True
        local = datetime.fromtimestamp(moment, self.zone)
        return WEEKDAYS[local.weekday()] in self.days and self.opens <= local.time() < self.closes


class Templates(_Model):
    """Fixed sentences in one language. `{team}` and `{topic}` are filled in where they stand."""

    clarify: str
    clarify_between: str
    """Asks which of the named topics is meant; `{topics}` is filled in."""
    not_in_sources: str
    decline: str
    escalate: str
    escalate_again: str = ""
    """For what belongs to what `{team}` has already; empty says `escalate`."""
    unavailable: str = ""
    """Hands over to `{team}` while the help center cannot be searched; empty says `escalate`."""
    consent: str
    courtesy: str = ""
    """What a message that only greets gets; empty says `clarify`."""
    thanks: str = ""
    """What thanks and goodbyes get, that ask nothing; empty says `courtesy`."""
    about: str = ""
    """What a question about the assistant itself gets: who it is, what it answers, and how to reach
    a person. `{company}` and `{product}` are filled in; empty says `courtesy`."""
    off_hours: str
    teams: dict[str, str]
    """What to call each team when speaking to a customer."""


class Limits(_Model):
    money: float
    """An amount above this is decided by a person, in the house's currency."""
    money_reason: Name
    failures: int = Field(default=2, ge=1)
    """So many failed answers in a row in one conversation hand it over."""
    failures_reason: Name


class Style(_Model):
    max_words: int = Field(gt=0)
    voice: tuple[str, ...]
    structure: tuple[str, ...]
    banned: tuple[str, ...] = ()
    """Phrases that never stand in a reply."""
    promises: tuple[str, ...] = ()
    """Regular expressions of deeds that a reply must not claim."""


class HousePolicy(_Model):
    company: str
    product: str
    locales: tuple[str, ...]
    """Languages of the pages and of those who ask, the first one first. One that has no templates
    is told the fixed sentences of another."""
    scope: str
    """What support answers, in one sentence."""
    topics: tuple[str, ...]
    """Words that show a question is about us, whatever the sources hold."""
    synonyms: tuple[Annotated[tuple[Word, ...], Field(min_length=2)], ...] = ()
    """Groups of words that mean one thing here, the pages' own word last: a question with one of
    them is also searched for with the others, and that counts only where it finds better."""
    teams: dict[Name, str]
    reasons: dict[Name, Reason]
    limits: Limits
    hours: Hours
    style: Style
    allowed_hosts: tuple[str, ...]
    """Hosts a reply may link to."""
    plain_examples: tuple[str, ...] = ()
    """Ordinary questions: what the escalation classifier must leave alone."""
    off_topic_examples: tuple[str, ...] = ()
    vague_examples: tuple[str, ...] = ()
    templates: dict[str, Templates]

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if problems := list(open_ends(self.model_dump())):
            raise PolicyProblems(problems)
        return self

    @cached_property
    def reason_teams(self) -> dict[str, str]:
        """Reason -> team: the closed sets, as the reply parser and grammar take them."""
        return {name: reason.team for name, reason in self.reasons.items()}

    @cached_property
    def grave(self) -> frozenset[str]:
        return frozenset(name for name, reason in self.reasons.items() if reason.grave)

    def is_matter(self, reason: str) -> bool:
        """Returns whether a reason is a matter of its own, and not only that a person is needed."""
        return reason not in (PERSON_REQUESTED, NOT_IN_SOURCES, self.limits.failures_reason)

    @cached_property
    def digest(self) -> str:
        """The same for as long as it says the same to a model: a new version of ours, with options
        that this house does not use, makes nobody train again, nor do words that no model is
        shown."""
        unseen = {
            "reasons": {"__all__": {"meanwhile", "unless", "pages"}},
            "templates": {"__all__": {"about", "thanks"}},
        }
        return content_hash(self.model_dump_json(exclude_defaults=True, exclude=unseen))[:12]

    def say(self, locale: str) -> Templates:
        """Returns the sentences in `locale`, or its language; else in English, which most can
        read, else in the first language of the house that has some."""
        return next(
            self.templates[name] for name in self._nearest(locale) if name in self.templates
        )

    def meanwhile(self, reason: str, locale: str) -> str:
        """Returns what a customer does until somebody comes, in a language as `say` finds it; empty
        where the house has no advice."""
        said = self.reasons[reason].meanwhile
        return next((said[name] for name in self._nearest(locale) if name in said), "")

    def _nearest(self, locale: str) -> tuple[str, ...]:
        return (locale, base(locale), ENGLISH, *self.locales, *map(base, self.locales))


def open_ends(policy: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yields what a policy, as plain data, names and does not have: each one's place, and what is
    wrong.

    What has the wrong type is passed over: the schema says so by itself.
    """

    def part(*keys: str) -> Any:
        found: Any = policy
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    teams, reasons, templates = (
        found if isinstance(found := part(key), Mapping) else {}
        for key in ("teams", "reasons", "templates")
    )
    if NOT_IN_SOURCES not in reasons:
        yield ("reasons",), f"needs {NOT_IN_SOURCES!r}: it is how a gap is handed over"
    for name in reasons:
        if isinstance(team := part("reasons", name, "team"), str) and team not in teams:
            yield ("reasons", name, "team"), f"{team!r} is none of {_listed(teams)}"
    for key in ("money_reason", "failures_reason"):
        if isinstance(reason := part("limits", key), str) and reason not in reasons:
            yield ("limits", key), f"{reason!r} is none of {_listed(reasons)}"
    for team in _texts(part("hours", "always")):
        if team not in teams:
            yield ("hours", "always"), f"{team!r} is none of {_listed(teams)}"
    if not (locales := list(_texts(part("locales")))):
        yield ("locales",), "name at least one language, such as en"
    for locale in locales:
        if not _TAG.fullmatch(locale):
            yield ("locales",), f"{locale!r} is no language tag such as en, de or pt-BR"
    if ENGLISH not in templates and not {*locales, *map(base, locales)} & {*templates}:
        yield ("templates",), f"are in none of the house's languages; add {_listed(locales)} or en"
    for locale in templates:
        words = part("templates", locale, "teams")
        if isinstance(words, Mapping) and (missing := teams.keys() - words.keys()):
            yield ("templates", locale, "teams"), f"lacks {_listed(missing)}"


def _texts(value: Any) -> Iterator[str]:
    return (
        (each for each in value if isinstance(each, str))
        if isinstance(value, (list, tuple))
        else iter(())
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
