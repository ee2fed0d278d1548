"""When people are there: office hours in a site's own time zone."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD_DAYS: Final = 15
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class Office(NamedTuple):
    """Whether somebody is there; where not, when (epoch seconds), as far as that is known."""

    open: bool
    opens_at: float | None = None


class Hours(BaseModel):
    """Spans of each weekday, local time; `closed` days have none."""

    model_config = ConfigDict(extra="forbid")

    timezone: str = "UTC"
    week: dict[Day, list[tuple[Clock, Clock]]] = Field(
        description="Opening and closing time of each span of a day, such as 09:00 and 17:00."
    )
    closed: Annotated[list[date], Field(max_length=400)] = Field(
        default_factory=list, description="Days without anybody, such as holidays."
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{value!r} is no time zone. Write one such as Europe/Berlin"
            ) from error
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for day, spans in self.week.items():
            for start, end in spans:
                if end <= start:
                    raise ValueError(f"{day}: {start} to {end} ends before it begins")
        return self

    def at(self, now: float) -> Office:
        """Returns the office at `now` (epoch seconds)."""
        zone = ZoneInfo(self.timezone)
        here = datetime.fromtimestamp(now, zone)
        for ahead in range(LOOK_AHEAD_DAYS):
            for start, end in self._spans(here.date() + timedelta(days=ahead), zone):
                if start <= here < end:
                    return Office(open=True)
                if here < start:
                    return Office(open=False, opens_at=start.timestamp())
        return Office(open=False)

    def _spans(self, day: date, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
        if day in self.closed:
            return []
        return [
            (_moment(day, start, zone), _moment(day, end, zone))
            for start, end in sorted(self.week.get(DAYS[day.weekday()], []))
        ]


def _moment(day: date, clock: str, zone: ZoneInfo) -> datetime:
    if clock == "24:00":
        day, clock = day + timedelta(days=1), "00:00"
    return datetime.combine(day, time.fromisoformat(clock), zone)
