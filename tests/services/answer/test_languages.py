"""Questions in languages of which the house has no examples: a page answers, or a person does."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks.languages import measure
from twofold.clients import e5
from twofold.errors import SetupError
from twofold.settings import Settings
from twofold.stack import open_embedder, reads_all_languages

needs_multilingual = pytest.mark.skipif(
    importlib.util.find_spec(e5.PACKAGE) is None, reason="no weights: run `make multilingual`"
)


@needs_multilingual
@pytest.mark.heavy
def test_the_right_page_comes_first_and_nobody_is_declined(tmp_path: Path) -> None:
    for tally in measure(tmp_path, ("ja", "ru")).values():
        assert tally.page_first >= 7
        assert tally.across >= 6
        assert tally.action >= 6
        assert tally.declined == 0


@pytest.mark.parametrize(
    ("languages", "multilingual"),
    [
        ("[en]", False),
        ("[en, de]", False),
        ("[en-GB, fr]", False),
        ("[ja]", True),
        ("[de, en]", True),
        ("[en, ar]", True),
    ],
)
def test_the_house_s_languages_choose_the_embedder(
    tmp_path: Path, languages: str, multilingual: bool
) -> None:
    house = tmp_path / "house.yaml"
    house.write_text(f"extends: neutral\nlocales: {languages}\n", encoding="utf-8")

    assert reads_all_languages(Settings(home=tmp_path, house=house)) is multilingual
    assert reads_all_languages(Settings(home=tmp_path, house=house, embedder="multilingual"))
    assert not reads_all_languages(Settings(home=tmp_path, house=house, embedder="english"))


def test_the_embedders_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    from twofold.clients.embedder import E5, MiniLM

    assert E5.name != MiniLM.name


def test_a_house_that_needs_other_weights_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e5, "PACKAGE", "no_such_weights")
    with pytest.raises(SetupError, match=r"make multilingual.*TWOFOLD_EMBEDDER=english"):
        open_embedder(Settings(home=tmp_path, embedder="multilingual"))
