"""Arms: asked side by side, kept for a run that is broken off, compared case by case; and live
answers, which nobody expected anything of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.diagnosis.arms import compare, measure, run_arms
from models.diagnosis.faults import knowledge
from models.diagnosis.faults.site import Site
from models.diagnosis.kept import KeptReplays
from models.diagnosis.live import attribute_live
from models.evaluate.local import Bench
from models.suite.client import AnswerClient
from models.suite.suite import Case
from tests.models.diagnosis.benches import EXAMPLE, Use, right
from tests.services.standalone.serving import needs_weights
from twofold.errors import InvalidInput
from twofold.house_file import load_house

HOUSE = load_house(EXAMPLE / "house.yaml")


@needs_weights
@pytest.mark.heavy
def test_arms_are_measured_compared_and_named_where_not_run(
    on_bench: Callable[[Use], None], tmp_path: Path
) -> None:
    async def use(bench: Bench, cases: list[Case]) -> None:
        client = AnswerClient(bench.http)
        world = await client.world()
        assert world["makers"] == ["composer"]
        some = [replayed.case for replayed in await right(client, cases)][:6]
        names = ["live", "composer", "oracle_composer", "rag", "both"]

        async def run(names: list[str], kept: KeptReplays) -> list[int]:
            asked: list[int] = []
            runs = await run_arms(
                client.remembering(kept), some, names, makers=world["makers"], concurrency=3,
                progress=lambda _, done, __: asked.append(done),
            )  # fmt: skip
            results.append(runs)
            return asked

        results: list[list[object]] = []
        asked = await run(names, KeptReplays(tmp_path, world["digest"]))
        assert asked.count(len(some)) == 3
        runs = results[0]
        arms = {arm.name: arm for arm in (measure(each, HOUSE) for each in runs)}  # type: ignore[arg-type]
        assert not arms["rag"].ran
        assert "no base model" in arms["rag"].why_not
        assert arms["live"].passed is not None
        assert arms["live"].passed.value == 1.0
        assert arms["live"].metrics["citation_precision"].value == 1.0
        compared = compare(runs, HOUSE)  # type: ignore[arg-type]
        assert (compared[0].a, compared[0].b) == ("live", "composer")
        assert compared[0].p == 1.0
        assert compared[0].difference.value == 0.0

        # A second run asks nothing again, even where the last line was cut off.
        file = tmp_path / f"{world['digest']}.jsonl"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[:-1]) + lines[-1][:40])
        before = len(lines)
        await run(["live"], KeptReplays(tmp_path, world["digest"]))
        assert len(file.read_text().splitlines()) in (before - 1, before)

        # Another world asks anew.
        with Site(bench, HOUSE, (await right(client, some))[0], (), "world") as site:
            knowledge.removed(site)
            assert (await client.world())["digest"] != world["digest"]

        with pytest.raises(InvalidInput, match="no arm 'ragg'"):
            await run(["ragg"], KeptReplays(None, ""))

    on_bench(use)


@needs_weights
@pytest.mark.heavy
def test_a_live_answer_is_attributed_by_its_record_and_a_correction(
    on_bench: Callable[[Use], None],
) -> None:
    async def use(bench: Bench, cases: list[Case]) -> None:
        client = AnswerClient(bench.http)
        gap = await client.chat({"message": "Do you sell gift cards for birthdays?"})
        verdict = await attribute_live(client, await client.record(gap["answer_id"]), "", HOUSE)
        assert verdict.layer in ("knowledge", "unknown")
        assert verdict.case == gap["answer_id"]

        sound = (await right(client, cases))[0]
        answered = await client.chat({"message": sound.case.question})
        record = await client.record(answered["answer_id"])
        nothing = await attribute_live(client, record, "", HOUSE)
        assert (nothing.cause, nothing.confidence) == ("unknown", 0.0)

        # What the agent says instead stands in a page that the reply was made from.
        passage = next(
            p for p in sound.packed if p.document != answered["citations"][0]["document"]
        )
        sentence = next(line for line in passage.text.splitlines() if len(line.split()) > 8)
        corrected = await attribute_live(client, record, sentence, HOUSE)
        assert corrected.document
        assert corrected.layer in ("behaviour", "knowledge")
        assert "the correction stands in" in corrected.evidence

    on_bench(use)
