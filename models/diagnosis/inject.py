"""How far the diagnosis itself can be trusted: faults are planted, and it must name them.

Only cases that are answered rightly are harmed. A fault of knowledge or of the suite counts where
the answer then misses what the suite expects; a habit of the reply maker counts where it changed
the reply, whether any check sees it or not. Unharmed cases are asked after something harmless.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

from models.diagnosis.attribute import attribute
from models.diagnosis.checks import check, expected
from models.diagnosis.faults.kinds import KINDS, Kind
from models.diagnosis.faults.site import Site
from models.diagnosis.replays import ReplayedCase, replay_case
from models.diagnosis.verdicts import LAYERS, Cause, Layer, Verdict
from models.evaluate.local import Bench
from models.stats import Estimate, estimate
from models.suite.client import AnswerClient
from models.suite.suite import Case, CaseTurn
from twofold.policy import HousePolicy
from twofold.terminal import StepCallback

UNHARMED = 150
MORE = 4
"""Faults of one kind that are tried for beyond its share, where other kinds found too few cases."""


class Injected(NamedTuple):
    """A planted fault and what the diagnosis made of it; no verdict: it saw nothing wrong."""

    kind: Kind
    cluster: str
    case: str
    verdict: Verdict | None

    @property
    def layer(self) -> Layer:
        return LAYERS[self.kind.cause]

    @property
    def layer_right(self) -> bool:
        return self.verdict is not None and self.verdict.layer == self.layer

    @property
    def cause_right(self) -> bool:
        return self.verdict is not None and self.verdict.cause == self.kind.cause


class Unharmed(NamedTuple):
    """A case to which nothing bad was done, and the verdict on it, which should not be."""

    done: str
    cluster: str
    case: str
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class InjectReport:
    """Says how the diagnosis did: shares with intervals clustered by document."""

    injected: tuple[Injected, ...]
    unharmed: tuple[Unharmed, ...]

    def data(self) -> dict[str, Any]:
        whole = self._shares(self.injected)
        return whole | {"kept_out": self._shares([i for i in self.injected if i.kind.kept_out])}

    def _shares(self, injected: Sequence[Injected]) -> dict[str, Any]:
        clusters = [each.cluster for each in injected]
        alarms = [float(each.verdict is not None) for each in self.unharmed]
        shares: Mapping[str, Estimate] = {
            "layer_right": estimate([float(i.layer_right) for i in injected], clusters),
            "cause_right": estimate([float(i.cause_right) for i in injected], clusters),
            "false_alarms": estimate(alarms, [each.cluster for each in self.unharmed]),
        }
        found: dict[str, Any] = {
            "faults": len(injected), "kinds": len({i.kind.name for i in injected})
        }  # fmt: skip
        for name, share in shares.items():
            data = share.data()
            found |= {name: data["value"], f"{name}_ci": data["ci"]}
        return found

    def matrix(self) -> Counter[tuple[Cause, str]]:
        """Returns how many faults have this true cause and this cause named (or `nothing`)."""
        return Counter(
            (i.kind.cause, i.verdict.cause if i.verdict else "nothing") for i in self.injected
        )

    def by_kind(self) -> dict[str, tuple[Kind, int, int, int]]:
        """Returns by the kind's name: the kind, its faults, layers right, causes right."""
        found: dict[str, tuple[Kind, int, int, int]] = {}
        for kind in KINDS:
            own = [i for i in self.injected if i.kind.name == kind.name]
            if own:
                right = (sum(i.layer_right for i in own), sum(i.cause_right for i in own))
                found[kind.name] = (kind, len(own), *right)
        return found

    def rows(self) -> Iterable[dict[str, Any]]:
        """Returns every fault and unharmed case as a line of a file."""
        for each in self.injected:
            yield {
                "kind": each.kind.name,
                "kept_out": each.kind.kept_out,
                "case": each.case,
                "layer": each.layer,
                "cause": each.kind.cause,
                "verdict": each.verdict.model_dump(mode="json") if each.verdict else None,
            }
        for one in self.unharmed:
            yield {
                "kind": f"unharmed:{one.done}",
                "case": one.case,
                "verdict": one.verdict.model_dump(mode="json") if one.verdict else None,
            }


async def with_histories(
    client: AnswerClient, conversations: Sequence[Sequence[Case]]
) -> list[Case]:
    """Returns the cases of conversations, each with what the ones before it were answered."""
    cases = []
    for conversation in conversations:
        turns: tuple[CaseTurn, ...] = ()
        for case in conversation:
            with_turns = case.model_copy(update={"history": turns})
            cases.append(with_turns)
            if case is not conversation[-1]:
                said = (await replay_case(client, with_turns)).outcome.text
                turns = (
                    *turns,
                    CaseTurn(role="user", text=case.question),
                    CaseTurn(role="assistant", text=said),
                )
    return cases


async def inject(
    bench: Bench,
    cases: Sequence[Case],
    house: HousePolicy,
    limit: int,
    progress: StepCallback,
) -> InjectReport:
    """Plants about `limit` faults, as many of every kind, and asks unharmed cases beside them."""
    client = AnswerClient(bench.http)
    right: list[ReplayedCase] = []
    for done, case in enumerate(cases, start=1):
        replayed = await replay_case(client, case)
        if not expected(replayed):
            right.append(replayed)
        progress("Asking", done, len(cases))
    bed = _Planter(bench, client, house, right)
    unharmed = await bed.unharmed(min(UNHARMED, max(1, limit // 3)), progress)
    return InjectReport(await bed.faults(limit, progress), unharmed)


class _Planter:
    """Plants faults in cases that are answered rightly."""

    def __init__(
        self, bench: Bench, client: AnswerClient, house: HousePolicy, right: Sequence[ReplayedCase]
    ) -> None:
        self._bench = bench
        self._client = client
        self._house = house
        self._right = right
        # A problem that is there already could not be told from the planted one.
        self._sound = [replayed for replayed in right if not check(replayed, house)]
        self._answers = [r for r in self._sound if r.case.expect.action == "ANSWER"]

    async def faults(self, limit: int, progress: StepCallback) -> tuple[Injected, ...]:
        share = -(-limit // len(KINDS))
        left = {kind.name: self._order(kind) for kind in KINDS}
        found: dict[str, list[Injected]] = {kind.name: [] for kind in KINDS}
        wanted = share
        while True:
            before = sum(map(len, found.values()))
            for kind in KINDS:
                own, waiting = found[kind.name], left[kind.name]
                while waiting and len(own) < wanted:
                    planted = await self._plant(kind, waiting.pop())
                    if planted is not None:
                        own.append(planted)
                        total = sum(map(len, found.values()))
                        progress("Planting", min(total, limit), limit)
                if sum(map(len, found.values())) >= limit and wanted > share:
                    break
            total = sum(map(len, found.values()))
            if total >= limit or total == before:
                return tuple(each for kind in KINDS for each in found[kind.name])
            wanted += MORE

    def _order(self, kind: Kind) -> list[ReplayedCase]:
        """Returns the sound cases that it may fit, in an order of its own."""
        fitting = self._sound if kind.cause == "under_escalation" else self._answers
        return sorted(
            fitting, key=lambda r: sha256(f"{kind.name}/{r.case.id}".encode()).hexdigest()
        )

    async def _plant(self, kind: Kind, before: ReplayedCase) -> Injected | None:
        """Plants the fault and diagnoses it; None where it does not fit the case, or does not
        hurt it."""
        # Indexes count what was deleted for a while: a case is asked again right before.
        healthy = await replay_case(self._client, before.case)
        if check(healthy, self._house):
            return None
        with self._site(healthy, kind.name) as site:
            case = kind.plant(site)
            if case is None:
                return None
            harmed = await replay_case(self._client, case)
            habit = LAYERS[kind.cause] == "behaviour"
            if not (_changed(healthy, harmed) if habit else expected(harmed)):
                return None
            verdict = await attribute(self._client, harmed, self._house)
        return Injected(kind, healthy.case.cluster, case.id, verdict)

    def _site(self, healthy: ReplayedCase, seed: str) -> Site:
        others = [r for r in self._answers if r.case.cluster != healthy.case.cluster]
        return Site(self._bench, self._house, healthy, others, f"{seed}/{healthy.case.id}")

    async def unharmed(self, wanted: int, progress: StepCallback) -> tuple[Unharmed, ...]:
        found: list[Unharmed] = []
        order = sorted(
            self._right, key=lambda r: sha256(f"unharmed/{r.case.id}".encode()).hexdigest()
        )
        for at in range(len(order) * len(_HARMLESS)):
            if len(found) >= wanted:
                break
            # Takes each case once before any comes again with another change.
            replayed = order[at % len(order)]
            done = _HARMLESS[(at + at // len(order)) % len(_HARMLESS)]
            with self._site(replayed, done.__name__) as site:
                after = await replay_case(self._client, done(site))
                if expected(after):
                    continue
                verdict = await attribute(self._client, after, self._house)
            found.append(Unharmed(done.__name__, replayed.case.cluster, replayed.case.id, verdict))
            progress("Leaving alone", len(found), wanted)
        return tuple(found)


def _changed(before: ReplayedCase, after: ReplayedCase) -> bool:
    """Returns whether the customer reads something else, or finds other sources under it."""
    one, two = before.outcome, after.outcome
    return (one.action, one.team, one.reason, one.text, before.cited) != (
        two.action, two.team, two.reason, two.text, after.cited
    )  # fmt: skip


def _nothing(site: Site) -> Case:
    return site.case


def _roomier(site: Site) -> Case:
    site.narrow(8, 8000)
    return site.case


def _greeted(site: Site) -> Case:
    """Returns the case with a greeting before the question."""
    if site.case.history:
        return site.case
    turns = (
        CaseTurn(role="user", text="hello"),
        CaseTurn(role="assistant", text="Hello! What can I help you with?"),
    )
    return site.case.model_copy(update={"history": turns})


def _elsewhere_hidden(site: Site) -> Case:
    """Hides a page that is none of the case's; returns the case."""
    gold = {f"{held.document['source']}/{held.document['external_id']}" for held in site.gold()}
    other = site.random.choice(list(site.others)) if site.others else None
    if other is not None:
        away = Site(site.bench, site.house, other, (), "")
        for held in away.gold():
            if held.key not in gold and held.key not in {p.document for p in site.healthy.packed}:
                site.change(held.chunks, lambda chunk: replace(chunk, audience=("board",)))
    return site.case


def _page_added(site: Site) -> Case:
    """Adds a page about something else altogether; returns the case."""
    if site.gold():
        title, text = "Canteen", "The canteen serves soup on Mondays and rice on Tuesdays."
        site.plant([(title, text)])
    return site.case


_HARMLESS = (_nothing, _roomier, _greeted, _elsewhere_hidden, _page_added)
