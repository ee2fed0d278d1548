"""An index built again from the ledger alone: on a changed fingerprint, and when it was lost."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

import twofold.index.stores
import twofold.stack
from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from ingestion.upkeep import rebuild as building
from ingestion.upkeep.quarantine import quarantine, release
from ingestion.upkeep.rebuild import open_current, prune_stores, rebuild, rollback
from ingestion.upkeep.reconcile import reconcile
from tests.fakes import HashingEmbedder
from tests.ingestion.helpers import SOURCE, WORKSPACE, article, write_tree
from twofold.errors import Conflict, NotFound, Outdated, SetupError, UpstreamError
from twofold.index.contract import Chunk, Fingerprint
from twofold.index.stores import EdgeStores, QdrantStores, open_stores
from twofold.ledger.models import Version
from twofold.settings import Settings
from twofold.stack import SPLITTER, Stack, open_stack

LONG = " ".join(f"Sentence number {n} tells of the orchard and its many trees." for n in range(30))


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> HashingEmbedder:
    fake = HashingEmbedder()
    monkeypatch.setattr(twofold.stack, "open_embedder", lambda settings: fake)
    return fake


@pytest.fixture
def settings(home: Path, embedder: HashingEmbedder) -> Settings:
    return Settings(home=home, chunk_tokens=200)


@pytest.fixture
def smaller(settings: Settings) -> Settings:
    return settings.model_copy(update={"chunk_tokens": 60})


@pytest.fixture
def filled(settings: Settings, tree: Path) -> Path:
    write_tree(
        tree,
        {
            "a.md": article(LONG, title="Apples"),
            "b.md": article("Berries are blue.", "They grow low.", title="Berries"),
            "p.md": article("Refunds within 14 days.", title="Policy", kind="policy"),
        },
    )
    ingest(settings, tree)
    write_tree(tree, {"p.md": article("Refunds within 30 days.", title="Policy", kind="policy")})
    ingest(settings, tree)
    return tree


def ingest(settings: Settings, tree: Path) -> list[str]:
    said: list[str] = []
    with open_current(settings, said.append, None) as stack:
        sync(stack, WORKSPACE, Folder(SOURCE, tree))
    return said


def contents(stack: Stack) -> dict[str, Chunk]:
    return {chunk.id: chunk for chunk in stack.index.retrieve(list(stack.index.ids(WORKSPACE)))}


def clean(settings: Settings) -> dict[str, Chunk]:
    """The index, once ledger and index agree both ways."""
    with open_stack(settings) as stack:
        assert reconcile(stack, WORKSPACE).total == 0
        return contents(stack)


def test_a_deleted_index_is_filled_from_the_ledger_as_it_was(
    settings: Settings, filled: Path
) -> None:
    before = clean(settings)
    shutil.rmtree(settings.home / "index")
    shutil.rmtree(filled)
    said: list[str] = []
    with open_current(settings, said.append, None) as stack:
        assert contents(stack) == before
    assert "empty while the ledger holds documents" in said[0]
    assert clean(settings) == before


def test_another_splitter_builds_a_store_beside_the_old_one(
    settings: Settings, smaller: Settings, filled: Path, tmp_path: Path
) -> None:
    old = clean(settings)
    with pytest.raises(Outdated, match="twofold knowledge rebuild"):
        open_stack(smaller)
    assert "building a new one beside it" in ingest(smaller, filled)[0]
    new = clean(smaller)
    assert len(new) > len(old)
    scratch = smaller.model_copy(update={"home": tmp_path / "scratch"})
    ingest(scratch, filled)
    live = {id: c.text for id, c in new.items() if c.key != "help/p.md"}
    assert live == {id: c.text for id, c in clean(scratch).items() if c.key != "help/p.md"}
    stores = {store.made_by["splitter"]: store for store in open_stores(smaller).all()}
    assert stores[f"{SPLITTER}/60"].live
    assert stores[f"{SPLITTER}/200"].retired_at is not None
    assert ingest(smaller, filled) == []


def test_only_the_rest_is_embedded_when_a_rebuild_was_interrupted(
    smaller: Settings, filled: Path, embedder: HashingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> tuple[int, int]:
        raise UpstreamError("a check fails")

    with monkeypatch.context() as patch:
        patch.setattr(building, "check_titles", broken)
        with pytest.raises(UpstreamError):
            rebuild(smaller)
    assert (
        open_stores(smaller).live()
        != twofold.stack.fingerprint_of(smaller, embedder, twofold.stack.Bm25Encoder()).digest
    )
    report = rebuild(smaller)
    assert (report.embedded, report.flipped) == (0, True)


def test_a_store_whose_titles_do_not_find_their_documents_stays_dark(
    settings: Settings, smaller: Settings, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clean(settings)
    monkeypatch.setattr("ingestion.upkeep.smoke.SHARE", 1.1)
    with pytest.raises(UpstreamError, match="not made live"):
        rebuild(smaller)
    assert clean(settings) == before


def test_rolling_back_holds_until_somebody_builds_again(
    settings: Settings, smaller: Settings, filled: Path
) -> None:
    ingest(smaller, filled)
    write_tree(filled, {"c.md": article("Cherries are dark.", title="Cherries")})
    ingest(smaller, filled)
    rollback(smaller)
    assert ingest(smaller, filled) == []
    assert {c.key for c in clean(smaller).values()} >= {"help/a.md", "help/c.md"}
    with open_stack(smaller) as stack:
        assert stack.settings.chunk_tokens == 200
    rebuild(smaller)
    with open_stack(smaller) as stack:
        assert stack.settings.chunk_tokens == 60
    clean(smaller)


def test_there_may_be_nothing_to_go_back_to(settings: Settings, filled: Path) -> None:
    with pytest.raises(NotFound, match="No earlier index"):
        rollback(settings)


def test_another_model_is_not_gone_back_to_without_its_settings(
    settings: Settings, smaller: Settings, filled: Path, embedder: HashingEmbedder
) -> None:
    ingest(smaller, filled)
    embedder.name = "hashing-2"
    ingest(smaller, filled)
    embedder.name = "hashing-3"
    with pytest.raises(SetupError, match="embedder 'hashing"):
        rollback(smaller)


def test_retired_stores_go_after_their_time_and_the_live_one_never(
    settings: Settings, smaller: Settings, filled: Path
) -> None:
    ingest(smaller, filled)
    stores = open_stores(smaller)
    assert prune_stores(stores, older_than_days=1) == []
    (gone,) = prune_stores(stores, older_than_days=0)
    assert [store.digest for store in stores.all()] == [stores.live()]
    assert gone != stores.live()
    with pytest.raises(Conflict):
        stores.drop(stores.live() or "")


def test_whoever_still_writes_to_the_store_before_is_stopped(
    settings: Settings, smaller: Settings, filled: Path
) -> None:
    with open_stack(settings) as stale:
        rebuild(smaller)
        write_tree(filled, {"b.md": article("Berries are red.", title="Berries")})
        with pytest.raises(Conflict, match="Restart this process"):
            sync(stale, WORKSPACE, Folder(SOURCE, filled))
    ingest(smaller, filled)
    assert "Berries are red." in {chunk.text for chunk in clean(smaller).values()}


def test_a_filling_cut_short_shows_at_the_next_opening(settings: Settings, filled: Path) -> None:
    before = clean(settings)
    with open_stack(settings) as stack:
        stack.index.delete([id for id, chunk in before.items() if chunk.key == "help/a.md"])
        with stack.ledger.session() as session:
            session.execute(update(Version).where(Version.title == "Apples").values(fingerprint=""))
    assert "half-filled" in ingest(settings, filled)[0]
    assert clean(settings) == before


def test_quarantine_outlasts_edits_and_rebuilds(
    settings: Settings, smaller: Settings, filled: Path
) -> None:
    with open_stack(settings) as stack:
        assert quarantine(stack, WORKSPACE, ["help/b.md"]) == ["help/b.md"]
    write_tree(filled, {"b.md": article("Berries are red.", title="Berries")})
    for each in (settings, smaller):
        ingest(each, filled)
        found = clean(each).values()
        assert {chunk.key for chunk in found if chunk.quarantined} == {"help/b.md"}
        assert all(chunk.quarantined for chunk in found if chunk.key == "help/b.md")
    with open_stack(smaller) as stack:
        release(stack, WORKSPACE, ["b.md"])
    assert not any(chunk.quarantined for chunk in clean(smaller).values())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantStores]:
    qdrant = pytest.importorskip("qdrant_client")

    class Kept(qdrant.QdrantClient):  # type: ignore[misc, name-defined]
        """What one store closes, another still needs."""

        def close(self, *_arguments: object, **_options: object) -> None: ...

    client = Kept(":memory:")
    stores = QdrantStores(lambda: client, "test")
    monkeypatch.setattr(twofold.stack, "open_stores", lambda settings: stores)
    monkeypatch.setattr(building, "open_stores", lambda settings: stores)
    yield stores
    qdrant.QdrantClient.close(client)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
def test_a_server_rebuilds_rolls_back_and_prunes_the_same_way(
    server: QdrantStores, settings: Settings, smaller: Settings, tree: Path
) -> None:
    write_tree(tree, {"a.md": article(LONG, title="Apples"), "b.md": article("Blue.", title="B")})
    ingest(settings, tree)
    first = server.live()
    assert "building a new one beside it" in ingest(smaller, tree)[0]
    assert server.live() != first
    assert len(clean(smaller)) > 2
    rollback(smaller)
    assert server.live() == first
    assert ingest(smaller, tree) == []
    rebuild(smaller)
    assert prune_stores(server, 0) == [first]


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
def test_settings_say_how_a_collection_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    qdrant = pytest.importorskip("qdrant_client")
    made: dict[str, object] = {}

    class Noting(qdrant.QdrantClient):  # type: ignore[misc, name-defined]
        def create_collection(self, name: str, **options: object) -> bool:
            made.update(options)
            return bool(super().create_collection(name, **options))

    monkeypatch.setattr(twofold.index.stores, "_connect", lambda settings: Noting(":memory:"))
    settings = Settings(
        qdrant_url="http://here", qdrant_quantized=True, qdrant_shards=3, qdrant_replicas=2
    )
    open_stores(settings).open(Fingerprint("1", "1", "1", "1"), 8).close()
    assert (made["shard_number"], made["replication_factor"]) == (3, 2)
    assert made["quantization_config"].scalar.type == "int8"  # type: ignore[attr-defined]


def test_the_folder_of_a_store_tells_what_made_it(settings: Settings, filled: Path) -> None:
    (store,) = EdgeStores(settings.home / "index").all()
    assert store.fingerprint.splitter == f"{SPLITTER}/200"
    assert replace(store.fingerprint, extractor="next").digest != store.digest
