"""The page as HTML: one file, no script, nothing loaded; what others wrote is text."""

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from models.diagnosis.gaps import Gap
from models.diagnosis.page import charts
from models.diagnosis.page.questions import questions, share
from models.diagnosis.verdicts import LAYERS, MEANINGS, METRICS, Diagnosis, Figure, Verdict
from twofold.counted import counted

HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text(encoding="utf-8")
STYLE_HASH = "sha256-" + b64encode(sha256(STYLE.encode()).digest()).decode()
"""What a Content-Security-Policy allows as the page's only style."""
ADVICE = {
    "nothing": "Do nothing",
    "retrieval": "Mend the knowledge",
    "fine_tuning": "Fine-tune",
    "no_training": "Serve a model, or word the pages",
    "both": "Knowledge first, then behaviour",
    "prompt": "Fix the prompt",
    "policy": "Adjust the house policy",
    "suite": "Fix the suite",
    "cannot_tell": "It cannot be told yet",
}


def render_html(diagnosis: Diagnosis, gaps: Sequence[Gap] = ()) -> str:
    return environment().get_template("page.html.j2").render(**context(diagnosis, gaps))


def context(diagnosis: Diagnosis, gaps: Sequence[Gap] = (), records: str = "") -> dict[str, Any]:
    """Returns what the page's template, or one that extends it, shows. `records`: the address
    below which each case has its record, where it has one."""
    verdicts = {verdict.case: verdict for verdict in diagnosis.verdicts}
    return {
        "d": diagnosis,
        "gaps": gaps,
        "records": records,
        "style": STYLE,
        "style_hash": STYLE_HASH,
        "advice": ADVICE[diagnosis.recommendation.advice],
        "layers": {layer: _causes(found) for layer, found in diagnosis.by_layer().items()},
        "failed": [(case, verdicts.get(case.id)) for case in diagnosis.cases if not case.passed],
        "questions": questions(diagnosis),
        "bars": charts.bars(diagnosis.verdicts),
        "gains": charts.gains(diagnosis),
        "arms": charts.arms(diagnosis),
        "metrics": _metrics(diagnosis),
        "size": charts,
    }


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader([HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"share": share, "counted": counted, "code": _code}
    made.filters |= {"words": _words, "day": _day}
    made.globals |= {"MEANINGS": MEANINGS}
    return made


def _causes(verdicts: tuple[Verdict, ...]) -> list[tuple[str, list[Verdict]]]:
    found = {cause: [v for v in verdicts if v.cause == cause] for cause in LAYERS}
    return [(cause, of) for cause, of in found.items() if of]


def _metrics(diagnosis: Diagnosis) -> list[tuple[str, list[Figure | None]]]:
    """Returns each metric that some arm has, with its figure of every arm that was run."""
    ran = [arm for arm in diagnosis.arms if arm.ran]
    rows = [(label, [arm.metrics.get(name) for arm in ran]) for name, label in METRICS.items()]
    return [(label, figures) for label, figures in rows if any(figures)]


def _code(sentence: str) -> Markup:
    """Returns a sentence of ours with what stands between backticks as code."""
    shown = re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(sentence)))
    return Markup(shown)  # noqa: S704  escaped above


def _words(name: str) -> str:
    return name.replace("_", " ")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%-d %B %Y, %H:%M UTC")
