"""The product itself under the evals: a small corpus and a small help center, really indexed."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select

from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from models.evaluate.answers import ask_all, score
from models.evaluate.labelled import load_labelled
from models.evaluate.local import Labels
from models.evaluate.retrieval import report
from models.suite.client import AnswerClient
from models.suite.suite import Case
from services.standalone.evals import Local
from tests.cross_encoder import write_cross_encoder
from tests.services.standalone.serving import needs_weights
from twofold.errors import InvalidInput, SetupError
from twofold.house_file import NEUTRAL
from twofold.ledger.models import Answer, Conversation, Handoff
from twofold.settings import Settings
from twofold.stack import open_stack

pytestmark = needs_weights

CORPUS = """\
{"id": "keys", "title": "API keys", "text": "A rotated key keeps working for 24 hours."}
{"id": "seats", "title": "Seats", "text": "The Creek plan has ten seats for your team."}
{"id": "refunds", "title": "Refunds", "text": "Money comes back within ten business days."}
"""
QUERIES = """\
{"id": "q1", "text": "how long does an old key work after rotation"}
{"id": "q2", "text": "and how many?", "history": [{"role": "user", "text": "seats on Creek"}]}
"""


def _silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.tsv").write_text("q1\t0\tkeys\t1\nq2\t0\tseats\t1\n")
    return tmp_path


def test_every_run_finds_the_document_and_a_second_run_embeds_nothing_new(folder: Path) -> None:
    settings = Settings(home=folder / "home")
    labelled = load_labelled(folder)
    local = Local(settings)
    rankings = local.rankings(labelled, "history", "en", _silent)
    assert [ranking[0] for ranking in rankings["full"]] == ["keys", "seats"]
    runs = report(labelled, rankings).runs
    assert {run: found["mrr"].value for run, found in runs.items()} == dict.fromkeys(runs, 1)
    (home,) = (settings.home / "cache" / "retrieval").iterdir()
    before = (home / "ledger.db").stat().st_ino
    assert local.rankings(labelled, "history", "en", _silent) == rankings
    assert (home / "ledger.db").stat().st_ino == before


def test_the_full_run_is_in_the_reranker_s_order(folder: Path) -> None:
    model = write_cross_encoder(folder / "model", "team")
    settings = Settings(home=folder / "home", reranker_folder=model, reranker_s=30)
    (folder / "queries.jsonl").write_text(
        '{"id": "q1", "text": "how long does a rotated key of the team work"}\n'
    )
    labelled = load_labelled(folder)
    rankings = Local(settings).rankings(labelled, "none", "en", _silent)
    assert rankings["full"][0][0] == "seats"
    assert set(rankings["full"][0]) == set(rankings["fusion"][0])
    plain = Local(Settings(home=folder / "home")).rankings(labelled, "none", "en", _silent)
    assert plain["fusion"] == rankings["fusion"]
    assert set(plain["full"][0]) == set(plain["fusion"][0])
    assert plain["full"][0][0] == "keys"


def test_a_cached_index_that_something_else_made_is_made_again(folder: Path) -> None:
    labelled = load_labelled(folder)
    other = Settings(home=folder / "home", chunk_tokens=60)
    Local(other).rankings(labelled, "none", "en", _silent)
    found = Local(Settings(home=folder / "home")).rankings(labelled, "none", "en", _silent)
    assert found["full"][0][0] == "keys"


def test_a_corpus_that_cannot_all_be_indexed_is_refused(folder: Path) -> None:
    bad = CORPUS + '{"id": "nul", "title": "Nul", "text": "a\\u0000b"}\n'
    (folder / "corpus.jsonl").write_text(bad)
    with pytest.raises(InvalidInput, match=r"Of 4 documents 1 could not.*'nul'.*extract"):
        Local(Settings(home=folder / "home")).rankings(load_labelled(folder), "none", "en", _silent)


def test_a_suite_is_asked_of_the_whole_service_in_this_process(tmp_path: Path) -> None:
    articles = tmp_path / "articles"
    articles.mkdir()
    (articles / "keys.md").write_text("# API keys\n\nA rotated key keeps working for 24 hours.\n")
    settings = Settings(home=tmp_path / "home")
    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder("hc", articles))
    case = Case.model_validate(
        {
            "id": "a",
            "question": "How long does a rotated API key keep working?",
            "expect": {"action": "ANSWER", "documents": ["keys.md"], "facts": ["24 hours"]},
        }
    )

    async def run() -> dict[str, float]:
        async with Local(settings).service() as http:
            outcomes = await ask_all(AnswerClient(http), [case], progress=lambda _done: None)
        return {name: found.value for name, found in score(outcomes).metrics.items() if found.n}

    found = asyncio.run(run())
    assert found == dict.fromkeys(found, 1) | {"over_escalated": 0}
    assert {"facts", "gold_cited", "quotes_true"} <= found.keys()


@pytest.mark.parametrize(("source", "documents"), [("help-center", 2), ("other", 1)])
def test_a_suite_is_asked_of_a_whole_help_center_though_its_sync_was_interrupted(
    tmp_path: Path, source: str, documents: int
) -> None:
    pages = tmp_path / "help-center"
    pages.mkdir()
    (pages / "keys.md").write_text("# API keys\n\nA rotated key keeps working for 24 hours.\n")
    house = tmp_path / "house.yaml"
    house.write_text(NEUTRAL.read_text("utf-8"), "utf-8")
    settings = Settings(home=tmp_path / "home", house=house)
    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder(source, pages))
    (pages / "seats.md").write_text("# Seats\n\nThe Creek plan has ten seats for your team.\n")

    async def found() -> int:
        async with Local(settings).service() as http:
            answer = await http.get("/v1/sources")
            return sum(each["documents"] for each in answer.json())

    assert asyncio.run(found()) == documents


def test_an_eval_calls_nobody_and_leaves_nothing_behind(tmp_path: Path) -> None:
    articles = tmp_path / "articles"
    articles.mkdir()
    (articles / "keys.md").write_text("# API keys\n\nA rotated key keeps working for 24 hours.\n")
    settings = Settings(home=tmp_path / "home")
    hacked = Case.model_validate(
        {
            "id": "hacked",
            "question": "My account was hacked and someone changed my password",
            "expect": {"action": "ESCALATE", "team": "security", "reason": "account_takeover"},
        }
    )

    def kept() -> list[int]:
        with open_stack(settings) as stack, stack.ledger.session() as session:
            tables = (Conversation, Answer, Handoff)
            return [session.scalar(select(func.count()).select_from(each)) or 0 for each in tables]

    def escalations() -> float:
        labels = {"reason": "account_takeover"}
        name = "twofold_behaviour_escalations_total"
        return REGISTRY.get_sample_value(name, labels) or 0.0

    async def ask() -> None:
        async with Local(settings).service() as http:
            body = {"message": hacked.question, "customer": "jo"}
            assert (await http.post("/v1/chat", json=body)).status_code == 200
            before = escalations()
            (outcome,) = await ask_all(AnswerClient(http), [hacked], progress=lambda _done: None)
            assert outcome.action == "ESCALATE"
            assert escalations() == before
            await http.post("/v1/chat", json=body | {"evaluation": True})

    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder("hc", articles))
    asyncio.run(ask())
    # Two conversations of Jo's; the eval's is gone, and its hand-over never was one.
    assert kept() == [2, 2, 1]


def test_an_empty_index_says_what_to_do(tmp_path: Path) -> None:
    async def run() -> None:
        async with Local(Settings(home=tmp_path)).service():
            pass

    with pytest.raises(SetupError, match="twofold ingest"):
        asyncio.run(run())


def test_scope_is_judged_by_the_products_classifier(tmp_path: Path) -> None:
    topics = {"keys": "rotate my api key", "seats": "add a seat for my team", "oos": "sing a song"}
    words = ("please", "now", "today", "can you", "how do i")
    train = [Labels(f"{word} {text}", label) for label, text in topics.items() for word in words]
    found = Local(Settings(home=tmp_path)).scoped(
        train, "oos", ["rotate an api key", "sing me a song"], _silent
    )
    assert found[0].label == "keys"
    assert found[0].outside < found[1].outside
