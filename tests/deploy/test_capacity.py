"""The capacity page is what the sizing model makes of the figures that were measured."""

import json
from itertools import pairwise

import pytest

from benchmarks.capacity import (
    GPUS,
    LOADS,
    PAGE,
    RESULT,
    Measured,
    Model,
    gpu_questions_per_s,
    page,
    sizing,
)


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured(**json.loads(RESULT.read_text())["result"])


def test_the_page_is_computed_from_the_measured_figures(measured: Measured) -> None:
    assert PAGE.read_text() == page(measured), "run: python -m benchmarks.capacity"


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_more_load_never_needs_less(measured: Measured, gpu: tuple[float]) -> None:
    sizes = [sizing(measured, load, gpu) for load in LOADS]
    for smaller, larger in pairwise(sizes):
        assert all(smaller[key] <= larger[key] for key in smaller)


def test_a_card_is_bounded_by_arithmetic_and_by_memory() -> None:
    load = LOADS[0]
    base = gpu_questions_per_s(GPUS[1], Model(), load)
    twice = GPUS[1]._replace(tflops=GPUS[1].tflops * 2, gb_per_s=GPUS[1].gb_per_s * 2)
    assert gpu_questions_per_s(twice, Model(), load) == pytest.approx(2 * base)
    more_memory = GPUS[1]._replace(gb=GPUS[1].gb * 2)
    assert base < gpu_questions_per_s(more_memory, Model(), load) < 2 * base
