"""What a site is: who may embed it, how it looks and speaks, and what it allows."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.widget import theme
from services.widget.hours import Hours

MOST_ORIGINS = 50
DARK_PANEL = "#14161b"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]")
_LOGO = re.compile(r"data:image/(png|webp|svg\+xml);base64,[A-Za-z0-9+/]+=*")
_LOGO_LINK = re.compile(
    r"https://(?:[a-z0-9-]++\.)*+[a-z0-9-]++(?::[0-9]{1,5}+)?(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
"""Its host becomes a word of the frame's policy, a header of ASCII."""
MAX_LOGO = 48_000


def check_origin(value: str) -> str:
    """Returns an origin as a browser writes it; `https://*.example.com` stands for its subdomains.

    Raises ValueError. Plain http is for this machine alone.
    """
    parts = urlsplit(value.strip().lower().rstrip("/"))
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.path or parts.query:
        raise ValueError(f"{value!r} is not an origin. Write it as https://www.example.com")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{value!r} has a port that is none") from None
    host = parts.netloc.rsplit(":", 1)[0] if port is not None else parts.netloc
    if not _HOST.fullmatch(host) or "@" in parts.netloc:
        raise ValueError(f"{value!r} is not an origin. Write it as https://www.example.com")
    if parts.scheme == "http" and host not in LOOPBACK and not host.endswith(".localhost"):
        raise ValueError(f"{value!r}: a page that embeds us needs https (http is for localhost)")
    standard = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, standard) else f":{port}")


def check_link(value: str) -> str:
    if value and urlsplit(value).scheme not in ("https", "http"):
        raise ValueError(f"{value!r} is not a link. Begin it with https://")
    return value


def _logo(value: str) -> str:
    if not value or _LOGO.fullmatch(value):
        return value
    if _LOGO_LINK.fullmatch(value):
        return value
    raise ValueError("a logo is an https:// link, or a data:image/…;base64 of at most 48 kB")


Origin = Annotated[str, AfterValidator(check_origin)]
Link = Annotated[str, Field(max_length=500), AfterValidator(check_link)]
Colour = Annotated[str, AfterValidator(theme.colour)]
Locale = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Audience = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
Text = Annotated[str, Field(max_length=2000)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Theme(Part):
    """Colours of a site. What is left out is computed so that it can be read."""

    primary: Colour = "#1d4ed8"
    on_primary: Colour = ""
    primary_dark: Colour = ""
    on_primary_dark: Colour = ""
    radius: Annotated[int, Field(ge=0, le=32)] = 14
    scheme: Literal["auto", "light", "dark"] = "auto"
    logo: Annotated[str, Field(max_length=MAX_LOGO), AfterValidator(_logo)] = ""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        self.on_primary = self.on_primary or theme.ink(self.primary)
        self.primary_dark = self.primary_dark or theme.lighter(self.primary, DARK_PANEL)
        self.on_primary_dark = self.on_primary_dark or theme.ink(self.primary_dark)
        theme.check(self.on_primary, self.primary, "on_primary on primary")
        theme.check(self.on_primary_dark, self.primary_dark, "on_primary_dark on primary_dark")
        return self


class Position(Part):
    side: Literal["right", "left"] = "right"
    x: Annotated[int, Field(ge=0, le=400)] = 20
    y: Annotated[int, Field(ge=0, le=400)] = 20
    z_index: Annotated[int, Field(ge=0, le=2_147_483_647)] = 2_147_483_000


class Consent(Part):
    """What a visitor is told before the first question, and where more of it stands."""

    text: dict[Locale, Text]
    privacy_url: Link = ""
    required: bool = Field(default=False, description="Nothing is asked before they agree.")


class Handoff(Part):
    enabled: bool = True
    email: Literal["off", "optional", "required"] = Field(
        default="optional", description="Whether out of hours an address is asked for."
    )


class Identity(Part):
    """Visitors that the host signs in by a token of its own."""

    mode: Literal["none", "optional", "required"] = "optional"
    audiences: Annotated[list[Audience], Field(max_length=16)] = Field(
        default_factory=list, description="What a signed token may claim beyond `public`."
    )


class SiteConfig(Part):
    """Everything about a site that its owner decides."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    origins: Annotated[list[Origin], Field(max_length=MOST_ORIGINS)] = Field(
        default_factory=list, description="Pages that may embed it; without any, none may."
    )
    theme: Theme = Field(default_factory=Theme)
    position: Position = Field(default_factory=Position)
    hidden_paths: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = (
        Field(default_factory=list, description="Paths without the widget; * stands for anything.")
    )
    locales: Annotated[list[Locale], Field(min_length=1, max_length=40)] = ["en"]
    locale: Locale = Field(default="", description="For visitors of no other language.")
    texts: dict[Locale, dict[Annotated[str, Field(max_length=60)], Text]] = {}
    starters: dict[Locale, Annotated[list[Text], Field(max_length=8)]] = {}
    hours: Hours | None = Field(default=None, description="When people are there; None: always.")
    consent: Consent | None = None
    handoff: Handoff = Field(default_factory=Handoff)
    identity: Identity = Field(default_factory=Identity)
    retention_days: Annotated[float, Field(ge=0, le=3650)] = Field(
        default=0, description="Threads untouched for longer are deleted; 0 keeps them."
    )
    daily_quota: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Questions a day, in the time zone of `hours`; 0: any number."
    )
    webview: bool = Field(default=False, description="It may be opened by itself, in an app.")

    @model_validator(mode="after")
    def _spoken(self) -> Self:
        self.locale = self.locale or self.locales[0]
        if self.locale not in self.locales:
            raise ValueError(
                f"locale {self.locale!r} is not among locales: {', '.join(self.locales)}"
            )
        return self

    def allows(self, origin: str) -> bool:
        """Returns whether a page of `origin` may embed the widget."""
        return origin in self.origins or any(
            _subdomain(origin, allowed) for allowed in self.origins if "*" in allowed
        )

    def public(self, site: str, max_chars: int) -> dict[str, Any]:
        """Returns what anybody may know of it: the loader's and the frame's configuration."""
        names = {"name", "theme", "position", "hidden_paths", "locales", "locale", "texts"}
        return {
            "site": site,
            **self.model_dump(mode="json", include=names | {"starters", "consent", "handoff"}),
            "identity": self.identity.mode,
            "max_chars": max_chars,
        }


def _subdomain(origin: str, allowed: str) -> bool:
    scheme, _, host = allowed.partition("://*.")
    return origin.startswith(f"{scheme}://") and origin.endswith(f".{host}")
