"""What a folder's files are, where they do not say it themselves."""

from pathlib import Path

import pytest

from ingestion.sources.by_path import open_folder
from ingestion.sync.pipeline import sync
from ingestion.sync.run import Report
from ingestion.sync.status import find_source
from tests.ingestion.helpers import WORKSPACE, article, points_of, readable, write_tree
from twofold.errors import InvalidInput
from twofold.stack import Stack


def ingest(stack: Stack, tree: Path, **given: object) -> Report:
    source = open_folder(stack.settings, stack.ledger, WORKSPACE, "help", tree, given)
    return sync(stack, WORKSPACE, source)


def test_files_belong_to_the_folders_audience_unless_they_say_otherwise(
    stack: Stack, tree: Path
) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": article("Berries.", audience="public")})
    ingest(stack, tree, audience=["staff"], kind="policy")
    assert readable(stack) == {"help/b.md": ["Berries."]}
    assert set(readable(stack, "staff")) == {"help/a.md", "help/b.md"}
    assert {chunk.kind for chunk in points_of(stack).values()} == {"policy"}


def test_what_is_not_said_again_stays(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    ingest(stack, tree, audience=["staff"])
    again = ingest(stack, tree)
    assert (again.unchanged, again.chunks) == (1, 0)
    write_tree(tree, {"b.md": "Berries."})
    ingest(stack, tree)
    assert readable(stack) == {}
    assert set(readable(stack, "staff")) == {"help/a.md", "help/b.md"}


def test_another_audience_holds_for_files_that_did_not_change(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    ingest(stack, tree)
    assert readable(stack) == {"help/a.md": ["Apples."]}
    assert ingest(stack, tree, audience=["staff"]).changed == 1
    assert readable(stack) == {}
    assert ingest(stack, tree, audience=["public"]).changed == 1
    assert readable(stack) == {"help/a.md": ["Apples."]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "letter"}, "kind: it must be one of article"),
        ({"audience": ["All of us"]}, "audience"),
        ({"color": "red"}, "color: there is no such key"),
    ],
    ids=str,
)
def test_a_wrong_word_is_refused(
    stack: Stack, tree: Path, given: dict[str, object], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        ingest(stack, tree, **given)


def test_an_empty_folder_does_not_take_a_sources_place(
    stack: Stack, tree: Path, tmp_path: Path
) -> None:
    write_tree(tree, {"a.md": "Apples."})
    ingest(stack, tree)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInput, match="goes on reading"):
        ingest(stack, empty)
    assert find_source(stack.ledger, WORKSPACE, "help").config["path"] == str(tree)
    assert readable(stack) == {"help/a.md": ["Apples."]}
