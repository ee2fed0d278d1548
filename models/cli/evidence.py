"""`twofold eval answerability`, `sufficiency`: how well the service knows what sources answer."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.options import Json
from twofold.terminal import StepCallback, steps

if TYPE_CHECKING:
    from models.evaluate.answerability import AnswerabilityCase, AnswerabilityResult
    from models.evaluate.labelled import Text
    from models.evaluate.local import Local

Locale = Annotated[str, typer.Option(help="Language of the texts.")]


def register(evals: typer.Typer) -> None:
    evals.command("answerability")(eval_answerability)
    evals.command("sufficiency")(eval_sufficiency)


def eval_answerability(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(help="corpus.jsonl, and queries.jsonl that say which are `answerable`."),
    ],
    history: Annotated[
        bool, typer.Option("--history", help="Ask with the turns before; else the last alone.")
    ] = False,
    locale: Locale = "en",
    as_json: Json = False,
) -> None:
    """Ask questions that a corpus answers, and such that it does not; see which are told apart.

    The corpus is indexed in a home of its own, and asked under the neutral house policy.
    """
    from rich.console import Console

    from models.evaluate import answerability, show
    from models.evaluate.labelled import load_corpus
    from models.evaluate.local import open_local
    from twofold.settings import Settings

    corpus, asked = load_corpus(folder), answerability.load_asked(folder)
    if not history:
        asked = [question._replace(history=()) for question in asked]
    with steps() as progress:
        local = open_local(context.obj, Settings())
        answered = asyncio.run(_ask(local, corpus, asked, locale, progress))
    report = answerability.report(asked, answered)
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        show.show_answerability(Console(), report)


def eval_sufficiency(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="Rows of question, history?, passages and label (JSONL).")
    ],
    locale: Locale = "en",
    as_json: Json = False,
) -> None:
    """Judge whether given passages answer a question, against people's labels."""
    from rich.console import Console

    from models.evaluate import show, sufficiency
    from models.evaluate.local import open_local
    from twofold.settings import Settings

    given = sufficiency.load_given(file)
    with steps() as progress:
        scores = open_local(context.obj, Settings()).sufficient(given, locale, progress)
    report = sufficiency.report(given, scores)
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        show.show_sufficiency(Console(), report)


async def _ask(
    local: "Local",
    corpus: "Sequence[Text]",
    asked: "Sequence[AnswerabilityCase]",
    locale: str,
    progress: StepCallback,
) -> "list[AnswerabilityResult]":
    from models.evaluate import answerability
    from models.suite.client import AnswerClient

    async with local.corpus(corpus, locale, progress) as http:
        return await answerability.ask_all(
            AnswerClient(http), asked, locale, lambda done: progress("Asking", done, len(asked))
        )
