"""The honesty of the advice: situations that were made on purpose, and two that cannot be told."""

from collections.abc import Callable

import pytest

from models.diagnosis.diagnose import diagnose
from models.diagnosis.faults import behaviour, knowledge
from models.diagnosis.faults.site import Site
from models.diagnosis.replays import ReplayedCase
from models.diagnosis.verdicts import Diagnosis
from models.evaluate.local import Bench, BenchReply
from models.suite.client import AnswerClient
from models.suite.suite import Case
from tests.models.diagnosis.benches import EXAMPLE, Use, right
from tests.services.standalone.serving import needs_weights
from twofold.house_file import load_house
from twofold.reply import strip_marks

pytestmark = [needs_weights, pytest.mark.heavy]
HOUSE = load_house(EXAMPLE / "house.yaml")
OnBench = Callable[[Use], None]


def sloppy(said: BenchReply) -> BenchReply:
    """Cites nothing and talks."""
    if said.action != "ANSWER":
        return said
    text = f"{' '.join(behaviour.PRAISE)}\n\n{strip_marks(said.text)}"
    return said._replace(text=text, citations=())


async def advised(bench: Bench, cases: list[Case]) -> Diagnosis:
    return await diagnose(
        AnswerClient(bench.http), cases, HOUSE, "made", progress=lambda *_: None, clock=lambda: 0.0
    )


def stale(bench: Bench, sound: list[ReplayedCase]) -> list[Site]:
    """A newer version of every page no longer says what was asked of it."""
    sites, done = [], set[str]()
    for replayed in sound:
        documents = set(replayed.case.expect.documents)
        site = Site(bench, HOUSE, replayed, (), "stale")
        if not documents & done and replayed.case.expect.facts:
            done |= documents
            knowledge.superseded(site)
            sites.append(site)
    return sites


def put_back(sites: list[Site]) -> None:
    for site in reversed(sites):
        site.__exit__()


def test_four_situations_and_what_to_do_in_each(on_bench: OnBench) -> None:
    async def use(bench: Bench, cases: list[Case]) -> None:
        sound = await right(AnswerClient(bench.http), cases)
        suite = [replayed.case for replayed in sound]

        healthy = await advised(bench, suite)
        assert healthy.recommendation.advice == "nothing"
        assert not healthy.verdicts

        sites = stale(bench, sound)
        stale_docs = await advised(bench, suite)
        assert stale_docs.recommendation.advice == "retrieval"
        assert {v.layer for v in stale_docs.verdicts} == {"knowledge"}
        assert not {"fine_tune", "fix_prompt"} & {fix.remedy for fix in stale_docs.fixes}
        gains = [fix.gain.value for fix in stale_docs.fixes]
        assert gains[0] is not None
        assert gains[0] > 0

        bench.behave(sloppy)
        both = await advised(bench, suite)
        assert both.recommendation.advice == "both"
        assert {"both", "behaviour"} <= {v.layer for v in both.verdicts}

        put_back(sites)
        sloppy_maker = await advised(bench, suite)
        assert sloppy_maker.recommendation.advice == "no_training", "no model is asked"
        assert {v.layer for v in sloppy_maker.verdicts} == {"behaviour"}
        assert "improve_retrieval" not in {fix.remedy for fix in sloppy_maker.fixes}
        bench.behave(None)

    on_bench(use)


def test_two_mixed_situations_say_what_they_cannot_tell(on_bench: OnBench) -> None:
    async def use(bench: Bench, cases: list[Case]) -> None:
        sound = await right(AnswerClient(bench.http), cases)

        # One page is hidden, and one answer is declined: which of the two is the trouble?
        one, two = sound[0], next(r for r in sound if r.case.cluster != sound[0].case.cluster)
        site = Site(bench, HOUSE, one, (), "mixed")
        knowledge.for_others(site)

        def declines(said: BenchReply) -> BenchReply:
            if said.action != "ANSWER":
                return said
            return said._replace(action="DECLINE", text="No.", citations=())

        bench.behave(declines)
        few = await advised(bench, [one.case, two.case])
        site.__exit__()
        bench.behave(None)
        assert few.recommendation.advice == "cannot_tell"
        assert few.recommendation.unsure

        # Nothing that can be changed makes these pass.
        lost = [
            replayed.case.model_copy(update={"question": f"Which {colour} bird sings at dawn?"})
            for replayed, colour in zip(sound[:3], ("red", "blue", "grey"), strict=True)
        ]
        unknown = await advised(bench, lost)
        assert {v.layer for v in unknown.verdicts} == {"unknown"}
        assert unknown.recommendation.advice == "cannot_tell"
        assert any("no change" in each for each in unknown.recommendation.unsure)

    on_bench(use)
