"""The house policy: who we are, how we speak, and when a person takes over.

One YAML file is the single source of the prompt, the decoding grammar, the style checks, the
escalation rules and the composer's sentences. Teams and reasons are closed sets.
"""

import re
from datetime import datetime, time
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from twofold.errors import InvalidInput, NotFound
from twofold.index import content_hash

NOT_IN_SOURCES = "not_in_sources"
"""The reason every house policy has: nothing we may show answers the question."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,40}$")]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reason(_Model):
    """Why a person takes over.

    `patterns` are case-insensitive regular expressions, any one decides. `examples` are what
    customers say; they train the classifier. `consent` asks first instead of handing over at once.
    """

    team: Name
    when: str
    patterns: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    consent: bool = False

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns

    @cached_property
    def matcher(self) -> re.Pattern[str] | None:
        return re.compile("|".join(self.patterns), re.IGNORECASE) if self.patterns else None


class Hours(_Model):
    """When people are there. Teams in `always` never sleep."""

    timezone: str
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...]
    opens: time
    closes: time
    always: tuple[Name, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is not a time zone such as Europe/Berlin") from error
        return name

    def open_at(self, moment: float, team: str) -> bool:
        """Whether `team` is there at `moment` (epoch seconds)."""
        if team in self.always:
            return True
        local = datetime.fromtimestamp(moment, ZoneInfo(self.timezone))
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
    """What a message that only greets or thanks gets; empty says `clarify`."""
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
    scope: str
    """What support answers, in one sentence."""
    topics: tuple[str, ...]
    """Words that show a question is about us, whatever the sources hold."""
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
        if NOT_IN_SOURCES not in self.reasons:
            raise ValueError(f"reasons needs {NOT_IN_SOURCES!r}: it is how a gap is handed over")
        for name, reason in self.reasons.items():
            if reason.team not in self.teams:
                raise ValueError(f"reason {name!r} names team {reason.team!r}, not in teams")
        for key in (self.limits.money_reason, self.limits.failures_reason):
            if key not in self.reasons:
                raise ValueError(f"limits name reason {key!r}, not in reasons")
        for locale in self.locales:
            if locale not in self.templates:
                raise ValueError(f"locale {locale!r} has no templates")
            missing = self.teams.keys() - self.templates[locale].teams.keys()
            if missing:
                raise ValueError(f"templates.{locale}.teams lacks {sorted(missing)}")
        return self

    @cached_property
    def reason_teams(self) -> dict[str, str]:
        """Reason -> team: the closed sets, as the reply parser and grammar take them."""
        return {name: reason.team for name, reason in self.reasons.items()}

    @cached_property
    def digest(self) -> str:
        return content_hash(self.model_dump_json())[:12]

    def say(self, locale: str) -> Templates:
        """The sentences in `locale`, or in the first language of the house."""
        return self.templates.get(locale) or self.templates[self.locales[0]]


def load_house(path: Path) -> HousePolicy:
    """Read and check a house policy. Raises NotFound or InvalidInput naming file, key and fix."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no house policy at {path}. Set TWOFOLD_HOUSE to yours.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid YAML: {error}") from error
    try:
        return HousePolicy.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidInput(f"{path}: {where}: {first['msg']}") from error
