"""Commands of this plane: `twofold eval` and `diagnose`; others register themselves.

Like every plane's: what is heavy (the ledger, numpy, HTTP, the suites) is imported by the command
that needs it, for all of them are built before any runs, and `--help` shall not wait.
"""

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.cli import (
    base,
    decide,
    economics,
    evidence,
    gate,
    pairs,
    regression,
    release,
    serve,
    train,
)
from models.cli import dataset as data
from models.cli.customer import eval_customer
from models.cli.diagnose import answer_arms, diagnose_suite
from models.cli.inject import eval_inject
from models.cli.live_suite import suites
from models.cli.service import service
from models.diagnosis.compared import ARMS, Prices
from models.jsonl import read_jsonl
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound
from twofold.options import Json
from twofold.terminal import StepCallback, steps

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx

    from models.evaluate.answers import Outcome
    from models.evaluate.attribute import Attribution
    from models.suite.suite import Case

evals = typer.Typer(no_args_is_help=True, help="Measure the assistant on labelled questions.")


class Split(StrEnum):
    ALL = "all"
    TUNE = "tune"
    REPORT = "report"


class Rewriting(StrEnum):
    NONE = "none"
    HISTORY = "history"


def register(app: typer.Typer) -> None:
    app.add_typer(evals, name="eval")
    evals.command("customer")(eval_customer)
    evals.command("inject")(eval_inject)
    evidence.register(evals)
    evals.add_typer(suites, name="suite")
    regression.register(evals)
    evals.command("failures")(eval_failures)
    app.command("diagnose")(diagnose_suite)
    data.register(app)
    pairs.register()
    decide.register(app)
    gate.register(app)
    release.register(app)
    base.register()
    serve.register()
    economics.register()
    train.register(app)


@evals.command("answers")
def eval_answers(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A suite: a YAML or JSONL file, or a folder.")],
    url: Annotated[
        str, typer.Option(help="A running service; without it, one is run in this process.")
    ] = "",
    key: Annotated[str, typer.Option(help="API key for --url.", envvar="TWOFOLD_API_KEY")] = "",
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=0, help="Ask only so many questions; 0: all.")] = 0,
    split: Annotated[
        Split, typer.Option(help="Half of the suite, by hash of the id: tune on one, report other.")
    ] = Split.ALL,
    pass_as_of: Annotated[
        bool, typer.Option(help="Send the date; without it, the question has to be understood.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Questions asked at a time.")] = 1,
    failures: Annotated[
        Path | None,
        typer.Option(help="Write every failed question here, with what happened (JSONL)."),
    ] = None,
    arms: Annotated[
        str, typer.Option(help=f"Ask in these ways, side by side: some of {', '.join(ARMS)}.")
    ] = "",
    price_in: Annotated[
        float, typer.Option(min=0, help="With --arms: money a million tokens of prompt cost.")
    ] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="The same of completion.")] = 0.0,
) -> None:
    """Ask every question of a suite, and score what comes back."""
    from rich.console import Console

    from models.evaluate import answers, show
    from models.evaluate.attribute import record
    from models.suite.suite import load_suite
    from twofold.settings import company_settings

    cases = load_suite(path, split.value)
    cases = cases[:limit] if limit else cases
    if arms:
        prices = Prices(price_in, price_out) if price_in or price_out else None
        at_once, settings = concurrency, company_settings(path)
        answer_arms(context, path, settings, cases, url, key, arms, at_once, prices, as_json)
        return
    console = Console()
    settings = company_settings(path)
    with steps() as progress:
        at = service(context, settings, url, key)
        asked = _ask(cases, at, pass_as_of, concurrency, progress)
        outcomes, findings = asyncio.run(asked)
    report = answers.score(outcomes)
    failed = [
        record(outcome, finding)
        for outcome, finding in zip(outcomes, findings, strict=True)
        if finding is not None
    ]
    if failures is not None:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in failed)
        failures.write_text(lines, encoding="utf-8")
    if as_json:
        causes = [f"{row['finding']['layer']}/{row['finding']['cause']}" for row in failed]
        counts = {cause: causes.count(cause) for cause in sorted(set(causes))}
        typer.echo(json.dumps(report.data() | {"failed": len(failed), "causes": counts}))
        return
    show.show_answers(console, report)
    if failed:
        how = "--failures FILE." if failures is None else f"twofold eval failures {failures}"
        typer.echo(f"{counted(len(failed), 'answer')} failed; see why with: {how}")


@evals.command("retrieval")
def eval_retrieval(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder with corpus, queries and labels.")],
    corpus: Annotated[str | None, typer.Option(help="Default: corpus.jsonl.")] = None,
    queries: Annotated[str | None, typer.Option(help="Default: queries.jsonl.")] = None,
    qrels: Annotated[
        str | None, typer.Option(help="Default: qrels.tsv, or the only qrels*.tsv.")
    ] = None,
    rewrite: Annotated[
        Rewriting, typer.Option(help="Search for the last turn alone, or with its history.")
    ] = Rewriting.NONE,
    split: Annotated[
        str | None, typer.Option(help="Only queries whose `split` is this; default: all.")
    ] = None,
    locale: Annotated[str, typer.Option(help="Language of corpus and queries.")] = "en",
    as_json: Json = False,
) -> None:
    """Measure BM25, dense, fusion and the full pipeline on labelled queries, side by side."""
    from rich.console import Console

    from models.evaluate import retrieval, show
    from models.evaluate.labelled import load_labelled
    from models.evaluate.local import open_local
    from twofold.settings import Settings

    chosen = None if split == Split.ALL else split
    labelled = load_labelled(folder, corpus, queries, qrels, chosen)
    with steps() as progress:
        rankings = open_local(context.obj, Settings()).rankings(
            labelled, rewrite.value, locale, progress
        )
    report = retrieval.report(labelled, rankings)
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        show.show_retrieval(Console(), report)


@evals.command("scope")
def eval_scope(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder with the files of CLINC150.")],
    as_json: Json = False,
) -> None:
    """Measure whether the intent classifier knows what is out of scope."""
    from rich.console import Console

    from models.evaluate import scope, show
    from models.evaluate.local import open_local
    from twofold.settings import Settings

    data = scope.load_scope(folder)
    judged = [*data["val"], *data["test"]]
    with steps() as progress:
        found = open_local(context.obj, Settings()).scoped(
            data["train"], scope.OUTSIDE, [row.text for row in judged], progress
        )
    rows = [scope.JudgedText(row.label, each) for row, each in zip(judged, found, strict=True)]
    report = scope.report(rows[: len(data["val"])], rows[len(data["val"]) :])
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        show.show_scope(Console(), report)


@evals.command("grounding")
def eval_grounding(
    path: Annotated[Path, typer.Argument(help="JSON lines: id, contexts, answer, label.")],
    scores: Annotated[
        Path | None, typer.Option(help="Write each answer's score and its sentences here (JSONL).")
    ] = None,
    locale: Annotated[str, typer.Option(help="Language of contexts and answers.")] = "en",
    as_json: Json = False,
) -> None:
    """Measure whether sentences that their contexts do not hold are found. Needs no home.

    A row's label is 1 where its contexts wholly support the answer. Marks such as [1] may be
    absent; where they stand, they count the contexts from 1.
    """
    from rich.console import Console

    from models.evaluate import grounding, show

    rows = grounding.load_grounding(path)
    with steps() as progress:
        verdicts = []
        for done, row in enumerate(rows, start=1):
            verdicts.append(grounding.judge_answer(row, locale))
            progress("Judging", done, len(rows))
    report = grounding.report(verdicts)
    if scores is not None:
        lines = (
            {
                "id": verdict.row.id,
                "label": verdict.row.label,
                "score": round(verdict.score, 4),
                "sentences": [sentence._asdict() for sentence in verdict.sentences],
            }
            for verdict in verdicts
        )
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        scores.write_text(text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        show.show_grounding(Console(), report)


def eval_failures(
    run: Annotated[Path, typer.Argument(help="The file that `eval answers --failures` wrote.")],
    as_json: Json = False,
) -> None:
    """Say of every failed answer which layer failed it, on what evidence, and the smallest fix."""
    from rich.console import Console

    from models.evaluate import show

    rows = _failures(run)
    if as_json:
        typer.echo(json.dumps({"failed": len(rows), "findings": [row["finding"] for row in rows]}))
    else:
        show.show_findings(Console(), rows)


async def _ask(
    cases: "list[Case]",
    service: "AbstractAsyncContextManager[httpx.AsyncClient]",
    pass_as_of: bool,
    concurrency: int,
    progress: StepCallback,
) -> "tuple[list[Outcome], list[Attribution | None]]":
    from models.evaluate import answers
    from models.evaluate.attribute import attribute
    from models.suite.client import AnswerClient

    async with service as http:
        client = AnswerClient(http)
        outcomes = await answers.ask_all(
            client,
            cases,
            pass_as_of=pass_as_of,
            concurrency=concurrency,
            progress=lambda done: progress("Asking", done, len(cases)),
        )
        findings = [
            attribute(outcome, await answers.indexed(client, outcome)) for outcome in outcomes
        ]
    return outcomes, findings


def _failures(path: Path) -> list[dict[str, Any]]:
    from models.evaluate.attribute import Attribution

    if not path.is_file():
        raise NotFound(
            f"There is no {path}. Write it with: twofold eval answers SUITE --failures {path}"
        )
    rows = []
    for number, row in read_jsonl(path):
        try:
            rows.append({"finding": Attribution(**row["finding"])._asdict(), **row})
        except (KeyError, TypeError):
            raise InvalidInput(
                f"{path}: line {number} is no failed answer of"
                " `twofold eval answers SUITE --failures FILE`."
            ) from None
    return rows
