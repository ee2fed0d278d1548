"""Colours that can be read: WCAG 2.2's contrast, checked when a site is saved."""

import re
from typing import Final

AA: Final = 4.5
"""Contrast that text of any size needs (WCAG 2.2, 1.4.3)."""
WHITE: Final = "#ffffff"
BLACK: Final = "#000000"
"""Pure: nothing lighter reads on every colour that white does not read on."""
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}){1,2}")


def colour(value: str) -> str:
    """Returns `#rgb` or `#rrggbb` as lower-case `#rrggbb`. Raises ValueError for anything else."""
    if not _HEX.fullmatch(value):
        raise ValueError(f"{value!r} is not a colour. Write it as #rrggbb")
    digits = value[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(2 * c for c in digits))


def contrast(one: str, other: str) -> float:
    """Returns the contrast ratio of two colours, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink(background: str) -> str:
    """Returns white or black, whichever reads better on `background`."""
    return max((WHITE, BLACK), key=lambda text: contrast(text, background))


def check(text: str, background: str, what: str) -> None:
    """Raises ValueError where `text` cannot be read on `background`."""
    ratio = contrast(text, background)
    if ratio < AA:
        raise ValueError(
            f"{what}: {text} on {background} has a contrast of {ratio:.1f}:1; text needs {AA}:1."
            f" {ink(background)} would have {contrast(ink(background), background):.1f}:1"
        )


def lighter(value: str, background: str) -> str:
    """Returns `value` mixed with white until it stands out from a dark `background` as text
    does."""
    mixed = value
    for tenth in range(11):
        mixed = _mix(value, WHITE, tenth / 10)
        if contrast(mixed, background) >= AA:
            break
    return mixed


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _luminance(value: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(value))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _channels(value: str) -> tuple[int, int, int]:
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
