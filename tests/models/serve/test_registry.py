"""What may serve, what does, and that no order of calls, nor two at once, makes it otherwise."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models.registry import Registry, reason
from tests.fakes import open_ledger
from tests.models.serve.adapters import adapter, report
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.ledger import Ledger
from twofold.ledger.releases import SERVED, Release
from twofold.policy import HousePolicy

Published = Callable[[str], Release]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    ledger = open_ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def published(registry: Registry, house: HousePolicy, tmp_path: Path) -> Published:
    """Release `name`, passed by the gate unless it says otherwise."""

    def publish(name: str, passed: bool | None = True) -> Release:
        release = registry.register(adapter(tmp_path / name, house), name)
        if passed is not None:
            registry.gated(name, report(release, passed=passed))
        return registry.get(name)

    return publish


def states(registry: Registry) -> dict[str, str]:
    return {release.name: release.state for release in registry.all()}


def live(registry: Registry) -> str | None:
    return next((name for name, state in states(registry).items() if state == "live"), None)


def test_a_release_says_what_it_was_made_of(registry: Registry, house: HousePolicy, tmp_path: Path):
    folder = adapter(tmp_path / "a", house)
    release = registry.register(folder, note="first try")
    assert (release.name, release.state, release.share) == ("brackwater", "candidate", 0)
    assert (release.base, release.base_path) == ("tiny", "/models/tiny")
    assert (release.house, release.adapter_path) == (house.digest, str(folder))
    (event,) = registry.all()[0].events
    assert (event.from_state, event.to_state) == ("", "candidate")
    assert (event.why, event.who) == ("first try", "tester")


def test_publishing_again_is_the_same_release(registry: Registry, house: HousePolicy, tmp_path):
    first = registry.register(adapter(tmp_path / "a", house))
    again = registry.register(tmp_path / "a")
    copied = registry.register(adapter(tmp_path / "b", house, weights=str(tmp_path / "a").encode()))
    assert first.id == again.id == copied.id
    assert len(registry.all()[0].events) == 1


def test_a_name_is_never_given_twice(registry: Registry, house: HousePolicy, tmp_path: Path):
    names = [registry.register(adapter(tmp_path / f"{n}", house)).name for n in range(3)]
    assert names == ["brackwater", "brackwater-2", "brackwater-3"]
    registry.retire("brackwater-2")
    with pytest.raises(Conflict, match="never given twice"):
        registry.register(adapter(tmp_path / "x", house), "brackwater-2")
    with pytest.raises(Conflict, match="an adapter has one name"):
        registry.register(tmp_path / "0", "another")
    with pytest.raises(Conflict, match="taken"):
        registry.register(tmp_path / "x", "tiny")  # the base answers to that
    with pytest.raises(InvalidInput, match="--name"):
        registry.register(tmp_path / "x", "a=b")


def test_an_altered_or_unfinished_adapter_is_refused(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    folder = adapter(tmp_path / "a", house)
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(InvalidInput, match="Train the adapter again"):
        registry.register(folder)
    with pytest.raises(NotFound, match="no finished adapter"):
        registry.register(tmp_path)


def test_promotion_needs_the_gate(registry: Registry, published: Published):
    published("a", None)
    for serve in (lambda: registry.promote("a"), lambda: registry.canary("a", 0.1)):
        with pytest.raises(Conflict, match=r"has not been through the gate\. Run: twofold gate a"):
            serve()
    registry.gated("a", report(registry.get("a"), passed=False))
    assert states(registry) == {"a": "refused"}
    with pytest.raises(Conflict, match=r"the gate failed: it leaks.*twofold gate a"):
        registry.promote("a")
    registry.gated("a", report(registry.get("a")))
    assert registry.promote("a").state == "live"


@pytest.mark.parametrize("pin", ["adapter_sha256", "prompt", "house"])
def test_a_report_about_something_else_is_no_pass(
    registry: Registry, published: Published, pin: str
):
    release = published("a", None)
    with pytest.raises(Conflict, match=f"judged {pin} other"):
        registry.gated("a", report(release, **{pin: "other"}))
    with pytest.raises(Conflict, match="not been through the gate"):
        registry.promote("a")
    with pytest.raises(InvalidInput, match=f"lacks {pin}"):
        registry.gated("a", {k: v for k, v in report(release).items() if k != pin})


@pytest.mark.parametrize("pin", ["prompt", "house"])
def test_what_was_trained_for_another_prompt_or_house_may_not_serve(
    registry: Registry, house: HousePolicy, tmp_path: Path, pin: str
):
    release = registry.register(adapter(tmp_path / "a", house, **{pin: "a" * 12}), "a")
    registry.gated("a", report(release))
    with pytest.raises(Conflict, match=rf"{pin}.* aaaaaaaaaaaa.*twofold train"):
        registry.promote("a")
    with pytest.raises(Conflict, match="aaaaaaaaaaaa"):
        registry.canary("a", 0.5)


def test_the_way_of_two_releases(registry: Registry, published: Published):
    published("a")
    published("b")
    registry.promote("a", "the first")
    assert registry.canary("b", 0.1).share == 0.1
    assert registry.canary("b", 0.25).share == 0.25
    assert registry.promote("b").share == 0
    assert states(registry) == {"b": "live", "a": "retired"}
    assert registry.rollback("it promises refunds").name == "a"
    assert states(registry) == {"b": "refused", "a": "live"}
    assert reason(registry.get("b")) == "it promises refunds"
    with pytest.raises(Conflict, match="it promises refunds"):
        registry.promote("b")
    told = [(e.from_state, e.to_state) for e in registry.get("b").events]
    assert told[0] == ("", "candidate")
    assert told[-3:] == [("canary", "canary"), ("canary", "live"), ("live", "refused")]
    assert reason(registry.get("a")) == "rolled back to it: it promises refunds"


def test_every_call_may_be_made_again(registry: Registry, published: Published):
    published("a")
    published("b")
    for call in (
        lambda: registry.gated("a", report(registry.get("a"))),
        lambda: registry.promote("a"),
        lambda: registry.canary("b", 0.5),
        lambda: registry.promote("b"),
        lambda: registry.rollback(),
        lambda: registry.retire("a"),
    ):
        call()
        before = {r.name: (r.state, r.share, r.changed_at, len(r.events)) for r in registry.all()}
        call()
        after = {r.name: (r.state, r.share, r.changed_at, len(r.events)) for r in registry.all()}
        assert after == before


def test_a_roll_back_goes_back_one_step_and_no_further(registry: Registry, published: Published):
    for name in "abc":
        published(name)
        registry.promote(name)
    assert registry.rollback().name == "b"
    assert registry.rollback().name == "b"
    assert registry.promote("a", "further back").name == "a"
    assert registry.rollback().name == "b"


def test_nothing_to_roll_back_to(registry: Registry, published: Published):
    with pytest.raises(Conflict, match="no earlier release"):
        registry.rollback()
    published("a")
    registry.promote("a")
    with pytest.raises(Conflict, match="twofold model retire a"):
        registry.rollback()
    registry.retire("a")
    assert registry.rollback().name == "a"


def test_no_roll_back_to_what_may_not_serve_any_more(
    registry: Registry, published: Published, ledger: Ledger, house: HousePolicy
):
    for name in "ab":
        published(name)
        registry.promote(name)
    said = house.model_dump()
    later = HousePolicy.model_validate(said | {"style": said["style"] | {"max_words": 77}})
    with pytest.raises(Conflict, match=f"house policy {house.digest}"):
        Registry(ledger, later).rollback()
    assert states(registry) == {"a": "retired", "b": "live"}


def test_a_failed_gate_stops_a_canary_but_never_what_is_live(
    registry: Registry, published: Published
):
    published("a")
    published("b")
    registry.promote("a")
    registry.canary("b", 0.5)
    for name in "ab":
        registry.gated(name, report(registry.get(name), passed=False))
    assert states(registry) == {"a": "live", "b": "refused"}
    assert registry.get("b").share == 0


def test_one_canary_at_a_time(registry: Registry, published: Published):
    published("a")
    published("b")
    registry.canary("a", 0.1)
    with pytest.raises(Conflict, match=r"'a' is the canary.*retire a"):
        registry.canary("b", 0.1)
    registry.retire("a")
    assert registry.canary("b", 1).state == "canary"
    for share in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(InvalidInput, match="share"):
            registry.canary("b", share)
    registry.promote("b")
    with pytest.raises(Conflict, match="live"):
        registry.canary("b", 0.1)


def test_who_is_not_there_is_named(registry: Registry, published: Published):
    with pytest.raises(NotFound, match="Nothing was published"):
        registry.promote("x")
    published("a")
    with pytest.raises(NotFound, match="The latest are a"):
        registry.promote("x")


# --- at once -------------------------------------------------------------------------------------


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call gave, or the error that it raised on purpose."""

    def caught(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Conflict as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(caught, calls))


def test_publishing_at_once_makes_one_release(
    ledger: Ledger, house: HousePolicy, tmp_path: Path, registry: Registry
):
    folders = [adapter(tmp_path / f"{n}", house) for n in range(3)]
    calls = [
        lambda folder=folder: Registry(ledger, house).register(folder).name
        for folder in folders * 3
    ]
    names = at_once(*calls)
    assert names[:3] == names[3:6] == names[6:]
    assert sorted(states(registry)) == ["brackwater", "brackwater-2", "brackwater-3"]


def test_promoting_at_once_leaves_one_live(registry: Registry, published: Published):
    names = "abcdef"
    for name in names:
        published(name)
    at_once(*[lambda name=name: registry.promote(name) for name in names])
    found = list(states(registry).values())
    assert (found.count("live"), found.count("retired")) == (1, 5)


def test_rolling_back_at_once_goes_one_step(registry: Registry, published: Published):
    for name in "abc":
        published(name)
        registry.promote(name)
    assert {release.name for release in at_once(*[registry.rollback] * 5)} == {"b"}
    assert states(registry) == {"a": "retired", "b": "live", "c": "refused"}


def test_canaries_at_once_leave_one(registry: Registry, published: Published):
    for name in "abcd":
        published(name)
    got = at_once(*[lambda name=name: registry.canary(name, 0.1) for name in "abcd"])
    assert sum(isinstance(each, Conflict) for each in got) == 3
    assert sum(state in SERVED for state in states(registry).values()) == 1
