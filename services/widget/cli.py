"""`twofold site`: the places where the widget stands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.options import Json
from twofold.terminal import print_json

if TYPE_CHECKING:
    from services.widget.sites import Placed, Sites
    from twofold.settings import Settings

site = typer.Typer(help="Sites: where the support widget stands, and how it looks there.")

Which = Annotated[str, typer.Argument(help="Its key, or its name.")]
Origins = Annotated[
    list[str] | None,
    typer.Option("--origin", help="A page that may embed it: https://www.example.com; repeatable."),
]
File = Annotated[
    Path | None,
    typer.Option(help="YAML or JSON with any fields of a site, as `site show --json` prints them."),
]
Locales = Annotated[
    list[str] | None, typer.Option("--locale", help="A language it offers; repeatable.")
]
Audiences = Annotated[
    list[str] | None,
    typer.Option("--audience", help="What a signed-in visitor may see beyond public; repeatable."),
]
Primary = Annotated[str, typer.Option(help="Its colour, as #rrggbb.")]
Logo = Annotated[str, typer.Option(help="An https:// link, or a data: image.")]
Quota = Annotated[int | None, typer.Option("--daily-quota", help="Questions a day; 0: any.")]
Retention = Annotated[float | None, typer.Option("--retention-days", help="0 keeps conversations.")]
Webview = Annotated[
    bool | None, typer.Option("--webview/--no-webview", help="Mobile apps may open it by itself.")
]


def register(app: typer.Typer) -> None:
    """Add this package's commands to the `twofold` command."""
    app.add_typer(site, name="site")
    app.command("widget")(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any.", min=0)] = 8090,
) -> None:
    """Serve the widget's backend alone; it asks the service at TWOFOLD_ANSWER_URL. Ctrl+C stops."""
    from services.http.server import address, bind, run
    from services.widget.app import served

    bound = bind(host, port)
    url = address(host, bound)
    with bound:
        run(served(), bound, url, lambda: typer.echo(f"The widget is ready: {url}", err=True))


@site.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What its visitors read in the chat's head.")],
    origin: Origins = None,
    locale: Locales = None,
    audience: Audiences = None,
    primary: Primary = "",
    logo: Logo = "",
    daily_quota: Quota = None,
    retention_days: Retention = None,
    webview: Webview = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Add a site, and print the script tag for its pages."""
    from services.widget.sites import read_config

    settings, sites = _open()
    given = _given(origin, locale, audience, primary, logo, daily_quota, retention_days, webview)
    made = sites.add(read_config({**_read(file), "name": name, **given}))
    _show(made, settings, json)
    if not made.config.origins:
        typer.echo("No page may embed it yet: twofold site edit … --origin https://…", err=True)


@site.command("list")
def list_all(json: Json = False) -> None:
    """Every site of the workspace."""
    _, sites = _open()
    found = sites.all()
    if json:
        print_json([_told(each) for each in found])
        return
    for each in found:
        origins = ", ".join(each.config.origins) or "nowhere"
        typer.echo(f"{each.id}  {each.config.name}  {origins}")
    if not found:
        typer.echo("No sites: twofold site add NAME --origin https://www.example.com")


@site.command("show")
def show(which: Which, json: Json = False) -> None:
    """A site, and the script tag for its pages."""
    settings, sites = _open()
    _show(sites.get(which), settings, json)


@site.command("edit")
def edit(
    which: Which,
    name: Annotated[str, typer.Option(help="A new name.")] = "",
    origin: Origins = None,
    locale: Locales = None,
    audience: Audiences = None,
    primary: Primary = "",
    logo: Logo = "",
    daily_quota: Quota = None,
    retention_days: Retention = None,
    webview: Webview = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Change what is given, and nothing else. Lists are replaced as a whole."""
    from twofold.errors import InvalidInput

    settings, sites = _open()
    given = _given(origin, locale, audience, primary, logo, daily_quota, retention_days, webview)
    changes = {**_read(file), **given, **({"name": name} if name else {})}
    if not changes:
        raise InvalidInput("Say what to change: see `twofold site edit --help`.")
    _show(sites.edit(which, changes), settings, json)


@site.command("remove")
def remove(
    which: Which, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Remove a site with its visitors and their threads; answers stay on record."""
    _, sites = _open()
    found = sites.get(which)
    if not yes:
        asked = f"Remove {found.config.name} ({found.id}) and all that was said there?"
        typer.confirm(asked, abort=True)
    sites.remove(found.id)
    typer.echo(f"Removed {found.config.name}.")


@site.command("secret")
def secret(
    which: Which,
    rotate: Annotated[
        bool, typer.Option(help="Make a new one; the last one is taken until the next rotation.")
    ] = False,
) -> None:
    """What the site's own server signs identity tokens with. Never send it to a browser."""
    from services.widget.secrets import open_secret
    from services.widget.tokens import Tokens

    settings, sites = _open()
    found = sites.rotate(which) if rotate else sites.get(which)
    typer.echo(Tokens(open_secret(settings)).identity_secret(found.id, found.generation))


def _given(
    origin: list[str] | None,
    locale: list[str] | None,
    audience: list[str] | None,
    primary: str,
    logo: str,
    daily_quota: int | None,
    retention_days: float | None,
    webview: bool | None,
) -> dict[str, Any]:
    theme = {name: value for name, value in (("primary", primary), ("logo", logo)) if value}
    found = {
        "origins": origin,
        "locales": locale,
        "identity": {"audiences": audience} if audience else None,
        "theme": theme or None,
        "daily_quota": daily_quota,
        "retention_days": retention_days,
        "webview": webview,
    }
    return {name: value for name, value in found.items() if value is not None}


def _read(file: Path | None) -> dict[str, Any]:
    """Raises InvalidInput for a file that holds no fields."""
    import yaml

    from twofold.errors import InvalidInput

    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} holds no fields of a site.")
    config: dict[str, Any] = found.get("config", found)
    return config


def _show(found: "Placed", settings: "Settings", json: bool) -> None:
    if json:
        print_json(_told(found))
        return
    origins = ", ".join(found.config.origins) or "no page yet"
    typer.echo(f"{found.config.name}: {found.id}, for {origins}")
    typer.echo(f"All of its fields: twofold site show {found.id} --json")
    typer.echo("Put this on every page of it:\n")
    src = f"{_address(settings)}/widget/loader.js?site={found.id}"
    typer.echo(f'<script async src="{src}"></script>')


def _address(settings: "Settings") -> str:
    """Returns where browsers find the widget: as it is set, else where a server runs, else where
    one would."""
    from twofold import server_file

    if settings.widget_url:
        return settings.widget_url.rstrip("/")
    server = server_file.find(settings.home)
    return server.url if server else f"http://{settings.host}:{settings.port}"


def _told(found: "Placed") -> dict[str, Any]:
    return {"site": found.id, "config": found.config.model_dump(mode="json")}


def _open() -> "tuple[Settings, Sites]":
    from services.widget.sites import Sites
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    return settings, Sites(Ledger(settings.ledger), settings.workspace)
