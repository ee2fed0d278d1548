"""`twofold decide`: what is next for a system that is not Twofold, over HTTP and from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from models.diagnosis.decide.judge import judge
from models.diagnosis.decide.tasks import Wanted, load_tasks
from tests.chat_server import Reply, chat_server
from twofold.commands import build
from twofold.errors import InvalidInput

EXAMPLES = Path(__file__).parents[3] / "examples"
N = 30
CONTEXT = "Context:"
STRONG = "Answer from the context alone"


def _suite(folder: Path, context: bool = True) -> Path:
    tasks = [
        {"id": f"t{n}", "input": f"What is the code of shelf {n}?",
         "expect": {"facts": [f"SH-{n}"]},
         **({"context": f"The code of shelf {n} is SH-{n}."} if context else {})}
        for n in range(N)
    ]  # fmt: skip
    path = folder / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return path


def _shelf(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"].rpartition("shelf ")[2].rstrip("?")


def _seen(messages: list[dict[str, str]]) -> bool:
    return CONTEXT in messages[-1]["content"]


def _told(messages: list[dict[str, str]]) -> bool:
    return STRONG in messages[0]["content"]


def _stale(messages: list[dict[str, str]]) -> str:
    """Well-behaved, and without the documents."""
    return f"SH-{_shelf(messages)}" if _seen(messages) else "I do not know that shelf."


def _sloppy(messages: list[dict[str, str]]) -> str:
    """Has what it needs, and does not use it."""
    return "Shelves have codes."


def _needs_telling(messages: list[dict[str, str]]) -> str:
    return f"SH-{_shelf(messages)}" if _told(messages) else "Shelves have codes."


def _half(messages: list[dict[str, str]]) -> str:
    return _stale(messages) if int(_shelf(messages)) % 2 else _sloppy(messages)


def _healthy(messages: list[dict[str, str]]) -> str:
    return f"It is SH-{_shelf(messages)}."


def _run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(build(), ["decide", *map(str, arguments)], env=env)


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path / "home"))
    return tmp_path


def _asked(home: Path, reply: Reply, *more: str, context: bool = True) -> Any:
    with chat_server(reply) as server:
        suite = _suite(home, context)
        return _json(_run(suite, "--endpoint", server.url, "--model", "m", "--json", *more))


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (_stale, "retrieval"),
        (_sloppy, "fine_tuning"),
        (_needs_telling, "prompt"),
        (_half, "both"),
        (_healthy, "nothing"),
    ],
)
def test_made_situations(
    home: Path, reply: Callable[[list[dict[str, str]]], str], advice: str
) -> None:
    found = _asked(home, reply)
    assert found["recommendation"]["advice"] == advice
    assert [arm["name"] for arm in found["arms"]] == ["as_is", "gold", "gold_prompt"]
    if advice == "retrieval":
        assert {v["cause"] for v in found["verdicts"]} == {"not_retrieved"}
        assert found["fixes"][0]["flipped"] == N
        assert found["comparisons"][0]["only_a"] == N


def test_what_no_context_is_given_for_is_not_guessed(home: Path) -> None:
    found = _asked(home, _sloppy, context=False)
    assert found["recommendation"]["advice"] == "cannot_tell"
    assert found["arms"][1]["why_not"] == "no task of the suite has a context"
    assert any(f"{N} cases fail" in each for each in found["recommendation"]["unsure"])


def test_a_broken_run_goes_on_where_it_was_and_asks_nothing_twice(home: Path) -> None:
    broken = [True]

    def reply(messages: list[dict[str, str]]) -> str | int:
        return 400 if broken[0] and int(_shelf(messages)) == 20 else _healthy(messages)

    with chat_server(reply) as server:
        suite = _suite(home)
        arguments = (
            suite,
            "--endpoint",
            server.url,
            "--model",
            "m",
            "--concurrency",
            "3",
            "--json",
        )
        first = _run(*arguments)
        assert first.exit_code == 2
        assert "gave status 400" in first.stderr
        before = len(server.asked)
        broken[0] = False
        _json(_run(*arguments))
        kept = [json.dumps(body) for body in server.asked]
        assert len(set(kept)) >= 3 * N
        assert len(kept) - before < 3 * N
        _json(_run(*arguments))
        assert len(server.asked) == len(kept)
        assert server.most_inside <= 3


def test_an_endpoint_that_stumbles_is_asked_again(home: Path) -> None:
    seen: set[str] = set()

    def reply(messages: list[dict[str, str]]) -> str | int:
        text = json.dumps(messages)
        if "shelf 7" in text and text not in seen:
            seen.add(text)
            return 503
        return _healthy(messages)

    assert _asked(home, reply)["recommendation"]["advice"] == "nothing"
    assert len(seen) == 3


def test_the_key_comes_from_the_environment_alone(home: Path) -> None:
    with chat_server(_healthy) as server:
        arguments = (_suite(home), "--endpoint", server.url, "--model", "m", "--key-env", "MY_KEY")
        assert "has no MY_KEY" in _run(*arguments).stderr
        shown = _run(*arguments, env={"MY_KEY": "s3cret-of-ours"})
        assert shown.exit_code == 0
        assert server.keys == {"Bearer s3cret-of-ours"}
    kept = "".join(path.read_text() for path in (home / "home").rglob("*.json"))
    assert "s3cret-of-ours" not in shown.output + kept


def test_cost_and_the_prefix_cache_are_told(home: Path) -> None:
    (home / "system.txt").write_text("Be exact. " * 40)
    found = _asked(
        home, _healthy, "--system", str(home / "system.txt"), "--price-in", "1", "--price-out", "10"
    )
    assert found["arms"][0]["cost"] == pytest.approx((100 * 1 + 10 * 10) / 1000)
    assert found["facts"]["cached_tokens"] == 75
    assert found["facts"]["instruction_tokens_full"] == pytest.approx(100, abs=1)


def _recorded(home: Path, row: Callable[[int], dict[str, Any]]) -> Any:
    path = home / "run.jsonl"
    path.write_text("".join(json.dumps({"id": f"t{n}", **row(n)}) + "\n" for n in range(N)))
    return _json(_run(_suite(home), "--outputs", path, "--json"))


def test_recorded_outputs_are_judged_as_far_as_they_allow(home: Path) -> None:
    unseen = _recorded(home, lambda n: {"output": "No idea.", "context": "Shelves are blue."})
    assert unseen["recommendation"]["advice"] == "retrieval"
    assert unseen["fixes"][0]["flipped"] == 0
    ignored = _recorded(home, lambda n: {"output": "No idea.", "context": f"It is SH-{n}."})
    assert ignored["recommendation"]["advice"] == "prompt"
    assert any("better prompt" in each for each in ignored["recommendation"]["unsure"])
    blind = _recorded(home, lambda n: {"output": "No idea."})
    assert blind["recommendation"]["advice"] == "cannot_tell"
    assert "was not recorded" in blind["verdicts"][0]["evidence"]


def test_a_suite_that_wants_what_its_context_lacks_is_doubted(home: Path) -> None:
    path = home / "tasks.yaml"
    path.write_text(
        "".join(
            f"- {{id: t{n}, input: 'shelf {n}?', context: 'No.', expect: {{facts: [SH-{n}]}}}}\n"
            for n in range(N)
        )
    )
    with chat_server(_sloppy) as server:
        found = _json(_run(path, "--endpoint", server.url, "--model", "m", "--json"))
    assert found["recommendation"]["advice"] == "suite"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--endpoint URL or --outputs"),
        (("--endpoint", "http://x/v1"), "--model"),
        (("--endpoint", "ftp://x", "--model", "m"), "no address"),
        (("--outputs", "none.jsonl"), "There is no"),
        (("--outputs", "none.jsonl", "--price-in", "1"), "both"),
    ],
)
def test_bad_input_is_told(home: Path, arguments: tuple[str, ...], said: str) -> None:
    result = _run(_suite(home), *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("output", "kinds"),
    [
        ('{"days": 30, "party": "either", "firm": true}', set()),
        ('{"days": 30.0, "party": "Either", "firm": true}', set()),
        ('```json\n{"days": 30, "party": "either", "firm": true}\n```', {"form"}),
        ('Sure: {"days": 30, "party": "either", "firm": true}', {"form"}),
        ('{"days": "30 days", "party": "either", "firm": "yes"}', {"form"}),
        ('{"Days": 30, "party": "either", "firm": true}', {"form"}),
        ('{"days": 31, "party": "either", "firm": true}', {"wrong"}),
        ('{"days": null, "party": "either", "firm": true}', {"wrong"}),
        ('{"days": 30, "party": "A-1", "firm": true}', {"wrong"}),
        ("[1]", {"form"}),
        ("thirty days", {"form"}),
        ("", {"missing"}),
    ],
)
def test_json_fields_are_compared_and_drift_is_told_from_error(
    output: str, kinds: set[str]
) -> None:
    wanted = Wanted.model_validate({"json": {"days": 30, "party": "either", "firm": True}})
    assert {problem.kind for problem in judge(wanted, output)} == kinds


def test_texts_facts_and_what_must_not_be_said() -> None:
    wanted = Wanted(facts=(("12 hours", "twelve hours"),), forbidden=("guarantee",))
    assert judge(wanted, "It works for **twelve hours**.") == []
    assert {p.kind for p in judge(wanted, "We guarantee 112 hours.")} == {"missing", "forbidden"}
    assert judge(Wanted(text="Yes, on Tuesday."), "yes,  on  Tuesday.") == []
    assert judge(Wanted(text="Yes"), "No") != []


def test_a_task_file_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.md").write_text("x")
    suite = tmp_path / "in" / "tasks.yaml"
    suite.write_text("- {id: a, input: b, context_files: [../secret.md], expect: {facts: [x]}}\n")
    with pytest.raises(InvalidInput, match="leads out of"):
        load_tasks(suite)
    suite.write_text("- {id: a, input: b, expect: {}}\n")
    with pytest.raises(InvalidInput, match="say what is wanted"):
        load_tasks(suite)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("brackwater/eval", "--pages", "brackwater/help-center",
          "--outputs", "brackwater/outputs.jsonl"), "retrieval"),
        (("contracts/tasks.yaml", "--outputs", "contracts/outputs.jsonl"), "both"),
        (("runbooks/eval", "--pages", "runbooks/help-center",
          "--outputs", "runbooks/outputs.jsonl"), "both"),
    ],
)  # fmt: skip
def test_the_examples_come_to_what_their_pages_say(arguments: tuple[str, ...], advice: str) -> None:
    paths = [a if a.startswith("--") else str(EXAMPLES / a) for a in arguments]
    assert _json(_run(*paths, "--json"))["recommendation"]["advice"] == advice


def test_the_page_is_written_in_its_other_forms(home: Path) -> None:
    html, summary = home / "page.html", home / "page.md"
    with chat_server(_half) as server:
        shown = _run(
            _suite(home), "--endpoint", server.url, "--model", "m", "--html", html,
            "--markdown", summary,
        )  # fmt: skip
    assert shown.exit_code == 0
    assert "Before spending engineering time" in shown.output
    assert "gold_prompt" in html.read_text()
    assert "## Knowledge first, then behaviour" in summary.read_text()
