"""Bad input: named, explained, left out; the other documents go on and nothing is half-written."""

import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import select

from ingestion.sources import Folder
from ingestion.sync.status import knowledge_status
from tests.fakes import make_stack
from tests.ingestion.helpers import WORKSPACE, points_of, readable, run_sync, write_tree
from twofold.errors import InvalidInput, UpstreamError
from twofold.ledger.models import Document, Version
from twofold.stack import Stack


class Bad(NamedTuple):
    id: str
    raw: bytes
    step: str
    says: tuple[str, ...]


def front(lines: str) -> bytes:
    return f"---\n{lines}\n---\n\nBody.\n".encode()


ALIASES = [
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise("abcdefghi")
]
BAD = [
    Bad("empty", b"", "extract", ("no text", "remove the file")),
    Bad("only-white-space", b" \n\n\t\n", "extract", ("no text",)),
    Bad("binary", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "extract", ("binary file", "byte 8")),
    Bad("latin-1", "Grüße".encode("latin-1"), "extract", ("not valid UTF-8 at byte 2", "Convert")),
    Bad("bom-then-bad", b"\xef\xbb\xbfab\xff", "extract", ("at byte 5",)),
    Bad("odd-utf-16", b"\xff\xfea\0b", "extract", ("not valid UTF-16", "Convert")),
    Bad("yaml", front("title: Fine\nurl: a: b"), "extract", ("broken on line 3", "in quotes")),
    Bad("yaml-tab", front("title: x\n\tkind: article"), "extract", ("broken on line 3",)),
    Bad("unclosed", b"---\ntitle: T\n\nBody\n", "extract", ("never closed", "line of ---")),
    Bad("list", front("- a\n- b"), "extract", ("`key: value`",)),
    Bad(
        "kind",
        front("kind: banana"),
        "extract",
        ("line 2: kind is 'banana'", "article, release_note"),
    ),
    Bad("audience", front("audience: 7"), "extract", ("audience is 7", "[public]")),
    Bad("nobody", front("audience: []"), "extract", ("audience is []", "[internal]")),
    Bad("date", front("updated_at: soon"), "extract", ("updated_at is 'soon'", "2026-03-01")),
    Bad("no-such-day", front("expires_at: 2026-02-31"), "extract", ("not valid YAML", "day")),
    Bad("script", front("url: javascript:alert(1)"), "extract", ("url is", "https://")),
    Bad("locale", front("locale: no idea"), "extract", ("locale is", "pt-BR")),
    Bad(
        "backwards",
        front("effective_from: 2026-03-01\nexpires_at: 2026-02-01"),
        "extract",
        ("expires_at lies before effective_from",),
    ),
    Bad(
        "alias-bomb",
        front("\n".join(["a: &a [x, x, x]", *ALIASES])),
        "extract",
        ("alias", "line 3"),
    ),
    Bad(
        "too-large",
        b"x" * 50_000_000,
        "fetch",
        ("50.0 MB", "limit of 10 MB", "TWOFOLD_MAX_FILE_MB"),
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_a_bad_file_is_named_and_the_others_go_on(stack: Stack, tree: Path, bad: Bad) -> None:
    write_tree(tree, {"a.md": "Apples.", "z.md": "Zebras."})
    (tree / "m.md").write_bytes(bad.raw)
    report = run_sync(stack, tree)
    assert (report.added, report.failed) == (2, 1)
    (note,) = report.failures
    assert (note.document, note.step) == ("m.md", bad.step)
    for words in bad.says:
        assert words in note.reason
    assert readable(stack) == {"help/a.md": ["Apples."], "help/z.md": ["Zebras."]}
    with stack.ledger.session() as session:
        assert len(session.scalars(select(Document)).all()) == 2
        assert len(session.scalars(select(Version)).all()) == 2
    (failure,) = knowledge_status(stack.ledger, WORKSPACE).failures
    assert failure.retry == "twofold knowledge retry help m.md"


def test_a_document_that_breaks_keeps_answering_and_recovers(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    run_sync(stack, tree)
    (tree / "a.md").write_bytes(b"\xff\xff")
    for attempts in (1, 2):
        assert run_sync(stack, tree).failed == 1
        (failure,) = knowledge_status(stack.ledger, WORKSPACE).failures
        assert failure.attempts == attempts
    assert readable(stack) == {"help/a.md": ["Apples."]}
    write_tree(tree, {"a.md": "Apples."})
    assert run_sync(stack, tree).unchanged == 1
    assert knowledge_status(stack.ledger, WORKSPACE).failures == []


def test_the_failure_of_a_file_that_is_gone_is_forgotten(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": ""})
    run_sync(stack, tree)
    (tree / "b.md").unlink()
    run_sync(stack, tree)
    assert knowledge_status(stack.ledger, WORKSPACE).failures == []


def test_a_path_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no folder at .*missing"):
        Folder("help", tmp_path / "missing")
    (tmp_path / "file.md").write_text("x")
    with pytest.raises(InvalidInput, match=r"file\.md is not a folder"):
        Folder("help", tmp_path / "file.md")


def test_hidden_foreign_and_outside_files_are_left_out(tmp_path: Path, tree: Path) -> None:
    write_tree(tree, {"a.md": "A.", ".b.md": "B.", ".git/c.md": "C.", "d.json": "{}", "e.TXT": "E"})
    write_tree(tmp_path, {"outside/secret.md": "S."})
    (tree / "link-out.md").symlink_to(tmp_path / "outside" / "secret.md")
    (tree / "folder-out").symlink_to(tmp_path / "outside")
    (tree / "link-in.md").symlink_to(tree / "a.md")
    (tree / "broken.md").symlink_to(tree / "nowhere.md")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe.md")
    found = [item.external_id for item in Folder("help", tree).discover()]
    assert found == ["a.md", "e.TXT", "link-in.md", "pipe.md"]
    with pytest.raises(InvalidInput, match="not a regular file"):
        list(Folder("help", tree).discover())[3].fetch()


def test_a_folder_that_cannot_be_listed_removes_nothing(
    stack: Stack, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tree, {"a.md": "Apples.", "sub/b.md": "Berries."})
    run_sync(stack, tree)
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UpstreamError, match=r"sub cannot be listed \(Permission denied\)"):
        run_sync(stack, tree)
    assert set(readable(stack)) == {"help/a.md", "help/sub/b.md"}


def test_a_file_name_of_unknown_coding_is_one_failure(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "größe.md": "Sizes."})
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff.md"))).write_text("x")
    report = run_sync(stack, tree)
    assert report.added == 2
    (note,) = report.failures
    assert note.document == "\\udcff.md"
    assert "Rename the file" in note.reason


@pytest.mark.heavy
def test_a_parser_that_crashes_is_one_failure(
    home: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tree, {"a.md": "Apples.", "deep.html": "<div>" * 30_000 + "x"})
    with make_stack(home) as stack:
        report = run_sync(stack, tree)
        assert report.added + report.failed == 2
        assert "help/a.md" in readable(stack)
        assert all(chunk.text for chunk in points_of(stack).values())
