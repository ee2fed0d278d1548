"""Reports as tables, for a person at a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from models.evaluate import answers
from models.evaluate.answerability import AnswerabilityReport
from models.evaluate.answers import AnswerReport
from models.evaluate.attribute import CAUSES
from models.evaluate.customer import CustomerReport, JudgedTurn
from models.evaluate.grounding import GroundingReport
from models.evaluate.ranking import METRICS
from models.evaluate.retrieval import RetrievalReport
from models.evaluate.scope import PUBLISHED, ScopeReport
from models.evaluate.sufficiency import SufficiencyReport
from models.stats import Estimate
from models.suite.customer import OUTCOMES
from twofold.counted import counted
from twofold.reply import ACTIONS


def show_answers(console: Console, report: AnswerReport) -> None:
    table = _table(counted(report.cases, "question"), "metric", "share", "95% interval", "n")
    for name, label in answers.METRICS.items():
        found = report.metrics[name]
        if found.n:
            table.add_row(label, _share(found), _interval(found), str(found.n))
    console.print(table)
    console.print(
        f"Latency p50 {report.latency_p50 * 1000:.1f} ms, p95 {report.latency_p95 * 1000:.1f} ms;"
        f" served by {', '.join(f'{name} {n}' for name, n in report.served_by.items())}."
    )
    matrix = _table("Actions", "expected", *(f"got {action}" for action in ACTIONS))
    for expected in ACTIONS:
        row = [report.confusion.get((expected, got), 0) for got in ACTIONS]
        if any(row):
            matrix.add_row(expected, *(str(n) if n else "." for n in row))
    console.print(matrix)
    console.print(_groups("By expected action", report.by_action))
    console.print(_groups("By tag", report.by_tag))


def show_customer(console: Console, report: CustomerReport) -> None:
    table = _table(counted(report.turns, "turn"), "outcome", "all", "95% interval", *report.by_file)
    for name, found in report.shares.items():
        files = [_share(shares[name]) for shares in report.by_file.values()]
        table.add_row(name.replace("_", " "), _share(found), _interval(found), *files)
    console.print(table)
    tags = _table("Turns by tag", "tag", *(name.replace("_", " ") for name in OUTCOMES))
    for tag, counts in report.by_tag.items():
        tags.add_row(tag, *(str(counts[name] or ".") for name in OUTCOMES))
    console.print(tags)


def show_turns(console: Console, replies: Iterable[JudgedTurn]) -> None:
    """Prints each turn with what was said before, the reply, and what is wrong with it."""
    for each in replies:
        turn, judged = each.turn, each.judgement
        said = [f"    > {asked}\n    < {answered}" for asked, answered in each.before]
        wanted = "/".join(turn.action)
        lines = [
            f"{turn.id} [{', '.join(turn.tags)}] wanted {wanted}, got {each.action}",
            *said,
            f"  > {turn.message}",
            *(f"  < {line}" for line in each.text.splitlines()),
            f"  from {', '.join(each.documents) or 'nothing'}; gold {', '.join(turn.gold)}",
        ]
        if judged.missing or judged.said:
            lines.append(f"  missing {list(judged.missing)}, said {list(judged.said)}")
        if judged.words > turn.max_words:
            lines.append(f"  {counted(judged.words, 'word')}, at most {turn.max_words}")
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        console.print()


def show_retrieval(console: Console, report: RetrievalReport) -> None:
    left_out = f", {report.unlabelled:,} without a label left out" if report.unlabelled else ""
    queries, documents = report.queries, counted(report.documents, "document")
    title = f"{counted(queries, 'query', 'queries')} on {documents}{left_out}"
    table = _table(title, "run", *METRICS)
    for run, found in report.runs.items():
        cells = [f"{_share(found[name])}\n[dim]{_interval(found[name])}[/dim]" for name in METRICS]
        table.add_row(run, *cells)
    console.print(table)
    for run, gain in report.gains.items():
        console.print(f"full - {run}: nDCG@10 {gain.value:+.3f} {_interval(gain)}")


def show_answerability(console: Console, report: AnswerabilityReport) -> None:
    area = report.area
    table = _table(counted(area.n, "question"), "", *ACTIONS)
    for kind, counts in (
        ("answerable", report.answerable),
        ("not answerable", report.unanswerable),
    ):
        table.add_row(kind, *(str(counts.get(action, 0)) for action in ACTIONS))
    console.print(table)
    console.print(f"AUROC of P(answerable) {_share(area)} {_interval(area)}")


def show_sufficiency(console: Console, report: SufficiencyReport) -> None:
    area = report.area
    console.print(f"{counted(area.n, 'row')}: AUROC {_share(area)} {_interval(area)}")
    console.print(f"Insufficient rows caught where 95% of the others are kept: {report.caught:.3f}")


def show_scope(console: Console, report: ScopeReport) -> None:
    title = f"{counted(report.inside, 'text')} in scope, {report.outside:,} out of scope"
    table = _table(title, "", "in-scope accuracy", "in scope, let through", "oos recall")
    ours, at95 = report.recall, report.recall_at_kept
    table.add_row("ours", _both(report.accuracy), _both(report.kept), _both(ours), end_section=True)
    for name, (accuracy, recall) in PUBLISHED.items():
        table.add_row(f"published: {name}", f"{accuracy:.3f}", "", f"{recall:.3f}")
    console.print(table)
    console.print(
        f"AUROC {report.auroc:.4f}; recall {_both(at95)} where 95% of the in-scope test texts are"
        " let through. The threshold of the row above was set on the validation texts."
    )


def show_grounding(console: Console, report: GroundingReport) -> None:
    table = _table(counted(report.n, "answer"), "", "figure")
    low, high = report.auroc_ci
    table.add_row("AUROC", f"{report.auroc:.3f} [{low:.3f}, {high:.3f}]")
    table.add_row("sentences of supported answers taken out", _both(report.removed))
    table.add_row("unsupported answers that lose a sentence", _both(report.caught))
    for name, (value, low, high) in (
        ("balanced accuracy", report.balanced),
        ("F1 of unsupported answers", report.f1),
    ):
        table.add_row(name, f"{value:.3f} [{low:.3f}, {high:.3f}]")
    console.print(table)


def show_findings(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the findings. `rows`: lines of a run file with a finding."""
    table = _table(counted(len(rows), "failed answer"), "layer", "cause", "answers", "smallest fix")
    for cause, layer in CAUSES.items():
        found = [row["finding"] for row in rows if row["finding"]["cause"] == cause]
        if found:
            fixes = _most_common(finding["fix"] for finding in found)
            table.add_row(layer, cause, str(len(found)), fixes)
    console.print(table)
    detail = _table("Each of them", "question", "layer/cause", "evidence")
    for row in rows:
        finding = row["finding"]
        place = f"{finding['layer']}/{finding['cause']}"
        detail.add_row(row["id"], place, f"{'; '.join(row['problems'])}: {finding['evidence']}")
    console.print(detail)


def _groups(title: str, groups: Mapping[str, Mapping[str, Estimate]]) -> Table:
    names = ("action", "gold_cited", "facts", "all_facts", "quotes_true")
    table = _table(title, "", "n", *names)
    for group, found in groups.items():
        cells = [_share(found[name]) if found[name].n else "" for name in names]
        table.add_row(group, str(found["action"].n), *cells)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _share(found: Estimate) -> str:
    return f"{found.value:.3f}"


def _interval(found: Estimate) -> str:
    return f"[{found.low:.3f}, {found.high:.3f}]".replace("[", "\\[", 1)


def _both(found: Estimate) -> str:
    return f"{_share(found)} {_interval(found)}"


def _most_common(texts: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    best = sorted(counts.items(), key=lambda item: -item[1])[:3]
    return "\n".join(f"{n}x {text}" for text, n in best)
