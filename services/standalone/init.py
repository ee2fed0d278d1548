"""`twofold init`: a folder becomes the home of a company's own assistant; `twofold house`."""

import json as jsonlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from twofold.counted import counted
from twofold.terminal import bar

if TYPE_CHECKING:
    from twofold.index.contract import Chunk
    from twofold.settings import Settings
    from twofold.stack import Stack

HOUSE = "house.yaml"
SCHEMA = "house.schema.json"
TRIED = 3
"""Questions asked about the pages, so that their owner sees what a customer will."""

HEADING_WORDS = 9

house = typer.Typer(no_args_is_help=True, help="The house policy: who you are, how you speak.")


def register(app: typer.Typer) -> None:
    app.command("init")(init)
    app.add_typer(house, name="house")


def init(
    source: Annotated[
        str, typer.Argument(help="Where your help pages are: a folder, or https://… to crawl.")
    ] = "",
    company: Annotated[str, typer.Option(help="Your company's name.")] = "",
    product: Annotated[
        str, typer.Option(help="What you support; the company's name if empty.")
    ] = "",
    language: Annotated[
        list[str] | None, typer.Option(help="Language of replies, first one first: en, de, fr, …")
    ] = None,
    team: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME='what it does'; again for more.")
    ] = None,
    timezone: Annotated[
        str, typer.Option(help="Of your office hours, such as Europe/Berlin.")
    ] = "",
    hours: Annotated[str, typer.Option(help="Such as 09:00-17:00; Monday to Friday.")] = "",
    tone: Annotated[
        list[str] | None, typer.Option(help="How you speak, one sentence; again for more.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Host that replies may link to; again for more.")
    ] = None,
) -> None:
    """Make an assistant for your own company in this folder: house policy, index, first answers.

    Asks at a terminal for what is not given. Nothing that is there already is overwritten.
    """
    from twofold import telemetry
    from twofold.errors import Conflict
    from twofold.home import make_private
    from twofold.settings import Settings

    telemetry.configure()
    settings = Settings()
    path = settings.house or Path(HOUSE)
    if path.exists():
        raise Conflict(
            f"{path} is there already. Edit it and check it with: twofold house check; index pages"
            f" with: twofold ingest {source or 'FOLDER'} --source NAME"
        )
    company = company or _asked("Your company's name", "our company")
    text = render(
        company=company,
        product=product or _asked("The product you support", company),
        locales=language or _asked("Languages of replies", "en").replace(",", " ").split(),
        teams=dict(map(_team, team or ())),
        timezone=timezone or _asked("Time zone of your office hours", "UTC"),
        hours=hours or _asked("Office hours, Monday to Friday", "09:00-17:00"),
        tone=tone or (),
        hosts=host or (),
    )
    source = source or _asked(
        "Where your help pages are: a folder, or https://… (empty: later)", ""
    )
    _check_source(source)
    _write_checked(path, text)
    with _taken_back(path):
        make_private(settings.home)
        (settings.home / SCHEMA).write_text(_schema(), encoding="utf-8")
        pages = _index_and_try(settings, source) if source else None
    typer.echo(f"Wrote {path}: who you are and when a person takes over. Edit it as you like.")
    if pages == 0:
        again = f"twofold {_again(source)}"
        typer.echo(f"No page of {source} was indexed. Mend that, then: {again}", err=True)
        raise typer.Exit(1)
    _say_next(settings, bool(source))


@house.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(help="Default: the one that is in use.")] = None,
) -> None:
    """Check a house policy: every mistake with its line, or what it comes to."""
    from twofold.house_file import load_house
    from twofold.settings import Settings

    path = file or Settings().house_file
    policy = load_house(path, thorough=True)
    teams, reasons = ", ".join(policy.teams), ", ".join(policy.reasons)
    typer.echo(f"{path or 'the neutral house policy'} is right: {policy.company}, {policy.product}")
    typer.echo(f"  languages: {', '.join(policy.locales)}\n  teams: {teams}\n  reasons: {reasons}")


@house.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of house.yaml, for your editor."""
    typer.echo(_schema(), nl=False)


def render(
    *,
    company: str,
    product: str,
    locales: Sequence[str],
    teams: dict[str, str],
    timezone: str,
    hours: str,
    tone: Sequence[str],
    hosts: Sequence[str],
) -> str:
    """Returns a short house.yaml that extends the neutral policy."""
    opens, _, closes = hours.partition("-")
    topics = sorted({company.lower(), product.lower()})
    parts = [
        f"# yaml-language-server: $schema=.twofold/{SCHEMA}\n"
        "# Who you are, how you speak, and when a person takes over. What is not said here comes\n"
        "# from the neutral house policy: its escalation reasons (anger, law, privacy, account\n"
        "# takeover, money, ...), its fixed sentences, its style.\n"
        "# Check it with: twofold house check",
        _dump(
            {"extends": "neutral", "company": company, "product": product, "locales": [*locales]}
        ),
        "# What support answers, in one sentence.\n"
        + _dump(
            {"scope": f"Questions about {product}, and about customers' accounts at {company}."}
        ),
        "# Words that show a question is about you, whatever your pages hold.\n"
        + _dump({"topics": topics}),
        "# When people are there; outside, customers are told when to expect a reply.\n"
        + _dump(
            {"hours": {"timezone": timezone, "opens": opens.strip(), "closes": closes.strip()}}
        ),
        "# Hosts that replies may link to, beside those of your own pages.\n"
        + _dump({"allowed_hosts": [*hosts]}),
    ]
    if teams:
        parts.append("# Who takes over. A reason names its team.\n" + _dump({"teams": teams}))
    if tone:
        parts.append(_dump({"style": {"voice": [*tone]}}))
    parts.append(
        "# A reason of your own: `examples` are what customers write; `null` takes one away.\n"
        "# reasons:\n"
        "#   parcel_lost:\n"
        f"#     team: {next(iter(teams), 'support')}\n"
        "#     when: A parcel did not arrive.\n"
        "#     examples:\n"
        "#       - my parcel never came\n"
        "#   outage_report: null"
    )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _write_checked(path: Path, text: str) -> None:
    """Writes a policy that is right; else leaves none behind, and raises in the words of the
    flags' values."""
    from twofold.errors import InvalidInput
    from twofold.house_file import load_house

    path.write_text(text, encoding="utf-8")
    try:
        load_house(path)
    except InvalidInput as error:
        path.unlink()
        raise InvalidInput(
            f"{error.message}\nNothing was written. Mend the option and try again."
        ) from None


@contextmanager
def _taken_back(path: Path) -> Iterator[None]:
    """Removes the policy again where what follows fails: else the next try would find it."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _index_and_try(settings: "Settings", source: str) -> int:
    """Returns how many pages are indexed."""
    from ingestion.sync.pipeline import sync
    from services.standalone.serve import opened

    with opened(settings) as stack:
        found = _source(settings, stack, source)
        typer.echo(f"Indexing {source} as source {found.name!r}")
        with bar("documents", say=typer.echo) as advance:
            report = sync(stack, settings.workspace, found, advance)
        pages = report.added + report.changed + report.unchanged
        typer.echo(
            f"  {counted(pages, 'page')}, {counted(report.chunks, 'passage')},"
            f" {report.seconds:.0f} s"
        )
        for note in report.failures:
            typer.echo(f"  not read: {note.document} ({note.step}): {note.reason}", err=True)
        for left_out in report.left_out:
            typer.echo(f"  left out: {left_out.document}: {left_out.reason}", err=True)
        _try(stack)
        return pages


def _check_source(source: str) -> None:
    """Raises InvalidInput before anything is written: else the next try finds a house.yaml."""
    from ingestion.sources.folder import MEDIA_TYPES, Folder
    from twofold.errors import InvalidInput

    if source and not _is_site(source) and not any(Folder("pages", Path(source)).discover()):
        kinds = ", ".join(f".{each}" for each in MEDIA_TYPES)
        raise InvalidInput(
            f"{source} holds no page: files that are read end in {kinds}. Name the folder that"
            " holds yours, or none, and index them later."
        )


def _again(source: str) -> str:
    from services.standalone.app import source_of

    if _is_site(source):
        return "sync website"
    return f"ingest {source} --source {source_of(Path(source))}"


def _is_site(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _source(settings: "Settings", stack: "Stack", source: str) -> Any:
    from ingestion.sources import open_source
    from ingestion.sources.by_path import open_folder
    from ingestion.sync.lease import register as keep
    from services.standalone.app import source_of

    if not _is_site(source):
        path = Path(source)
        return open_folder(settings, stack.ledger, settings.workspace, source_of(path), path)
    site = open_source(settings, "website", "website", {"url": source})
    keep(stack.ledger, settings.workspace, site.name, site.kind, dict(site.config))
    return site


def _try(stack: "Stack") -> None:
    import asyncio

    from services.answer.app import open_parts
    from services.answer.contract import Ask
    from services.answer.pipeline import ask_once

    chunks = stack.index.retrieve(list(stack.index.ids(stack.settings.workspace)))
    public = [chunk for chunk in chunks if "public" in chunk.audience]
    if chunks and not public:
        who = min(audience for chunk in chunks for audience in chunk.audience)
        typer.echo(
            "\nNone of these pages is public: customers get nothing of them. Ask as who may see"
            f' them: twofold ask --audience {who} "…"'
        )
    questions = _questions(public)
    if not questions:
        return
    typer.echo("\nAsked as a customer would:")
    parts = open_parts(stack)

    async def ask_all() -> None:
        for question in questions:
            answered = await ask_once(
                Ask(question, stack.settings.workspace, evaluation=True), parts
            )
            sources = ", ".join(dict.fromkeys(c.document for c in answered.citations))
            typer.echo(f"\n  Q: {question}\n  {answered.action}: {answered.text}")
            typer.echo(f"  source: {sources}" if sources else "  no source")
        await parts.aclose()

    asyncio.run(ask_all())


def _questions(chunks: Iterable["Chunk"]) -> list[str]:
    """Returns questions about the sections with most to say, one a page; those that the pages
    themselves ask come first."""
    seen: dict[str, tuple[bool, int, str]] = {}
    for chunk in chunks:
        heading = next(
            (h for h in reversed(chunk.heading_path) if 2 <= len(h.split()) <= HEADING_WORDS), ""
        )
        asks = heading.endswith("?")
        question = heading if asks else f"{heading.rstrip(' .:!…')}?"
        if heading and heading != chunk.title:
            best = (asks, len(chunk.text), question)
            seen[chunk.title] = max(seen.get(chunk.title, best), best)
    best_first = (question for *_, question in sorted(seen.values(), reverse=True))
    return list(dict.fromkeys(best_first))[:TRIED]


def _say_next(settings: "Settings", indexed: bool) -> None:
    typer.echo("\nNext:")
    if not indexed:
        typer.echo("  twofold ingest FOLDER --source help     your pages")
    typer.echo('  twofold ask "…"                         one question, as a customer')
    typer.echo("  twofold serve                           the API, the widget and the desk")
    typer.echo(f"  {HOUSE}                              how you speak, when a person takes over")
    if not settings.handoff_targets:
        typer.echo(
            "\nHand-overs reach nobody's inbox yet: they wait at the desk (/desk) and in `twofold"
            " handoffs list`.\nSet TWOFOLD_HANDOFF_TARGETS to a webhook, Zendesk or Slack."
        )


def _asked(what: str, default: str) -> str:
    """Returns the answer of a person at a terminal; elsewhere the default."""
    import sys

    if not sys.stdin.isatty():
        return default
    return str(typer.prompt(what, default=default, show_default=bool(default)))


def _team(given: str) -> tuple[str, str]:
    name, _, what = given.partition("=")
    return name, what or f"The {name} team"


def _schema() -> str:
    from twofold.house_file import schema

    return jsonlib.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _dump(data: dict[str, Any]) -> str:
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))
