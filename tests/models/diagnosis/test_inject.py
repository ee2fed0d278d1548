"""The diagnosis is measured by planted faults; here at a small size, on a few pages of the example
company, and one by one."""

import json
from collections.abc import Callable

import pytest

from models.diagnosis.attribute import attribute
from models.diagnosis.faults.kinds import KEPT_OUT, KINDS
from models.diagnosis.faults.site import Site
from models.diagnosis.inject import InjectReport, inject
from models.diagnosis.replays import replay_case
from models.diagnosis.verdicts import LAYERS
from models.evaluate.local import Bench
from models.suite.client import AnswerClient
from models.suite.suite import Case
from tests.models.diagnosis.benches import EXAMPLE, Use, right
from tests.services.standalone.serving import needs_weights
from twofold.house_file import load_house

pytestmark = [needs_weights, pytest.mark.heavy]


def test_planted_faults_are_named_and_unharmed_cases_left_alone(
    on_bench: Callable[[Use], None],
) -> None:
    reports: list[InjectReport] = []

    async def use(bench: Bench, cases: list[Case]) -> None:
        house = load_house(EXAMPLE / "house.yaml")
        reports.append(await inject(bench, cases, house, 66, lambda *_: None))

    on_bench(use)
    data = reports[0].data()
    assert data["kinds"] >= 30
    assert data["layer_right"] >= 0.9
    assert data["cause_right"] >= 0.8
    assert data["false_alarms"] <= 0.1
    assert data["kept_out"]["faults"] >= 10
    assert set(data["kept_out"]) == set(data) - {"kept_out"}
    json.dumps(data)


def test_what_is_broken_is_put_back(on_bench: Callable[[Use], None]) -> None:
    async def use(bench: Bench, cases: list[Case]) -> None:
        client, house = AnswerClient(bench.http), load_house(EXAMPLE / "house.yaml")
        sound = await right(client, cases)
        files = {path: path.read_bytes() for path in bench.pages.rglob("*.md")}
        before = await client.states(sound[0].case.expect.documents[0])
        for kind in KINDS:
            with Site(bench, house, sound[0], sound[1:], kind.name) as site:
                kind.plant(site)
            assert await client.states(sound[0].case.expect.documents[0]) == before, kind.name
        assert {path: path.read_bytes() for path in bench.pages.rglob("*.md")} == files

    on_bench(use)


def test_a_verdict_names_what_made_the_case_pass(on_bench: Callable[[Use], None]) -> None:
    async def use(bench: Bench, cases: list[Case]) -> None:
        client, house = AnswerClient(bench.http), load_house(EXAMPLE / "house.yaml")
        sound = await right(client, cases)
        assert await attribute(client, sound[0], house) is None
        plants = {kind.name: kind.plant for kind in KINDS}
        for name, flipped_by in (
            ("for_others", "made_visible"),
            ("quarantined", "released"),
            ("refuses", "composer"),
            ("hidden_and_flatters", "composer_with_gold"),
        ):
            with Site(bench, house, sound[0], sound[1:], name) as site:
                case = plants[name](site)
                assert case is not None
                verdict = await attribute(client, await replay_case(client, case), house)
            assert verdict is not None
            assert verdict.flipped_by == flipped_by
            assert verdict.tried[-1].passed

    on_bench(use)


def test_what_no_change_mends_is_unknown(on_bench: Callable[[Use], None]) -> None:
    """The pages do not say it in a way that the composer could find, whatever it is given."""

    async def use(bench: Bench, cases: list[Case]) -> None:
        client, house = AnswerClient(bench.http), load_house(EXAMPLE / "house.yaml")
        sound = await right(client, cases)
        question = "Tell me about the weather in Lisbon on a Sunday"
        case = sound[0].case.model_copy(update={"question": question})
        verdict = await attribute(client, await replay_case(client, case), house)
        assert verdict is not None
        assert (verdict.cause, verdict.flipped_by, verdict.confidence) == ("unknown", None, 0.0)
        assert verdict.tried
        assert not any(each.passed for each in verdict.tried)

    on_bench(use)


def test_a_third_of_the_kinds_is_kept_out_of_tuning() -> None:
    assert len(KINDS) >= 20
    assert len(KEPT_OUT) >= len(KINDS) / 3
    causes = {kind.cause for kind in KINDS}
    assert causes == set(LAYERS) - {"unknown"}
