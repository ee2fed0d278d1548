"""Tells ingestion what the house policy says of it: time zone and languages."""

from functools import lru_cache
from pathlib import Path

from twofold.house_file import load_house
from twofold.policy import HousePolicy


def house_zone(house: Path | None) -> str:
    """Returns the time zone that a house policy names, the neutral one's where there is none: a day
    without a time is a day there.

    Raises NotFound or InvalidInput where the policy cannot be read.
    """
    return _house(house).hours.timezone


def house_languages(house: Path | None) -> tuple[str, ...]:
    """Returns the house's languages, the first one first. Raises as `house_zone` does."""
    return _house(house).locales


def _house(house: Path | None) -> HousePolicy:
    return _loaded(house, house.stat().st_mtime_ns if house is not None and house.exists() else 0)


@lru_cache(maxsize=16)
def _loaded(house: Path | None, _changed: int) -> HousePolicy:
    return load_house(house)
