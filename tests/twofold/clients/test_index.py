"""What every index must do, over each adapter; then what only the embedded one promises."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import Conflict, NotFound, SetupError, UpstreamError
from twofold.index import edge
from twofold.index.contract import (
    BEGINNING,
    FOREVER,
    PUBLIC,
    Chunk,
    DocumentRef,
    Embedded,
    Fingerprint,
    Hit,
    Index,
    Scope,
    SparseVector,
    point_id,
)
from twofold.index.edge import EdgeIndex

try:
    from qdrant_client import QdrantClient

    from twofold.index import qdrant
except ImportError:
    SERVER = False
else:
    SERVER = True

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")

DIMENSION = 8
PRINT = Fingerprint("extract-1", "split-1", "embed-1", "bm25-1")
OTHER = replace(PRINT, embedder="embed-2")
MOMENTS = [BEGINNING, -1, 0, 1, 50, FOREVER]
AUDIENCES = [PUBLIC, "staff", "partner"]
WORKSPACES = ["acme", "globex", "ACME"]
SOURCES = ["help", "notes"]
ALL = Scope("acme", as_of=10)


def chunk(number: int = 0, **changes: object) -> Chunk:
    document = DocumentRef("acme", "help", str(number)).id
    plain = Chunk(
        id=point_id(document, ("Top",), "hash", 0),
        workspace="acme",
        source="help",
        document=document,
        key=f"help/{number}",
        since=1,
        title="Títle",
        heading_path=("Top", "Next"),
        text=f"Text {number}",
        position=number,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def embedded(chunk: Chunk, seed: int | None = None) -> Embedded:
    rng = np.random.default_rng(chunk.position if seed is None else seed)
    terms = sorted(rng.choice(40, size=6, replace=False).tolist())
    return Embedded(
        chunk,
        rng.standard_normal(DIMENSION).astype(np.float32),
        SparseVector(terms, rng.uniform(0.5, 2, 6).tolist()),
    )


def population(size: int) -> list[Chunk]:
    """Chunks that meet every condition of a scope, and miss it, in all combinations."""
    rng = random.Random(7)
    return [
        chunk(
            number,
            workspace=rng.choice(WORKSPACES),
            source=rng.choice(SOURCES),
            audience=tuple(rng.sample(AUDIENCES, rng.randint(0, 3))),
            effective_from=rng.choice([BEGINNING, *MOMENTS]),
            expires_at=rng.choice([FOREVER, *MOMENTS]),
            quarantined=rng.random() < 0.2,
        )
        for number in range(size)
    ]


def query(seed: int = 99) -> tuple[npt.NDArray[np.float32], SparseVector]:
    _, dense, sparse = embedded(chunk(), seed)
    return dense, sparse


def found(hits: list[Hit]) -> set[str]:
    return {hit.chunk.id for hit in hits}


def open_qdrant(client: "QdrantClient", name: str = "test") -> "qdrant.QdrantIndex":
    return qdrant.QdrantIndex.open(client, name, PRINT, DIMENSION)


def make(kind: str, folder: Path) -> Iterator[Index]:
    if kind == "edge":
        index: Index = EdgeIndex.open(folder, PRINT, DIMENSION)
        yield index
    elif kind == "qdrant":
        index = open_qdrant(QdrantClient(":memory:"))
        yield index
    else:
        client = QdrantClient(os.environ["QDRANT_URL"])
        name = f"test-{uuid4().hex}"
        index = open_qdrant(client, name)
        yield index
        client.delete_collection(f"twofold-{name}-{PRINT.digest}")
    index.close()


server_only = pytest.mark.skipif(not SERVER, reason="qdrant-client is not installed")
KINDS = ["edge", pytest.param("qdrant", marks=[server_only, pytest.mark.heavy])]
if "QDRANT_URL" in os.environ:
    KINDS.append(pytest.param("server", marks=server_only))


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    yield from make(request.param, tmp_path)


@pytest.fixture(params=KINDS, scope="module")
def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Index, list[Chunk]]]:
    chunks = population(400)
    for index in make(request.param, tmp_path_factory.mktemp("crowd")):
        index.upsert([embedded(one) for one in chunks])
        yield index, chunks


def test_a_chunk_comes_back_as_it_went_in(index: Index) -> None:
    wanted = [
        chunk(1),
        chunk(2, quarantined=True, audience=("staff", "partner"), heading_path=()),
        chunk(3, kind="policy", locale="de", product="p", url="https://e.org/ü", until=3),
        chunk(4, effective_from=5, expires_at=2**40, updated_at=9),
    ]
    index.upsert([embedded(one) for one in wanted])
    order = [3, 0, 2, 1]
    assert index.retrieve([wanted[at].id for at in order]) == [wanted[at] for at in order]
    assert index.retrieve([chunk(9).id, wanted[0].id]) == [wanted[0]]
    assert index.retrieve([]) == []
    assert index.count() == 4


def test_hits_carry_the_chunk_and_its_cosine(index: Index) -> None:
    points = [embedded(chunk(number)) for number in range(5)]
    index.upsert(points)
    dense, _ = index.search(points[3].dense * 4, points[3].sparse, ALL, 2)
    assert dense[0].chunk == points[3].chunk
    assert dense[0].score == pytest.approx(1, abs=1e-5)
    assert len(dense) == 2
    assert dense[0].score >= dense[1].score


def test_score_is_what_search_says_of_the_same_chunks(index: Index) -> None:
    points = [embedded(chunk(number)) for number in range(40)]
    index.upsert(points)
    dense, words = index.search(*query(), ALL, 40)
    of = {hit.chunk.id: hit.score for hit in dense}, {hit.chunk.id: hit.score for hit in words}
    some = [point.chunk.id for point in points[5:9]]
    gone = chunk(77).id
    by_meaning, by_words = index.score(*query(), ALL, [*some, gone], some[:2])
    assert by_meaning == pytest.approx({id: of[0][id] for id in some}, abs=1e-5)
    assert by_words == pytest.approx({id: of[1][id] for id in some[:2] if id in of[1]}, abs=1e-5)
    assert index.score(*query(), ALL, [], []) == ({}, {})
    assert index.score(query()[0], SparseVector([], []), ALL, [], some) == ({}, {})


def test_writes_can_be_repeated(index: Index) -> None:
    points = [embedded(chunk(number)) for number in range(150)]
    index.upsert(points)
    before = index.search(*query(), ALL, 20)
    index.upsert(points)
    assert index.count() == 150
    after = index.search(*query(), ALL, 20)
    for one, two in zip(before, after, strict=True):
        assert [hit.chunk for hit in one] == [hit.chunk for hit in two]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in two])
    index.delete([points[0].chunk.id])
    index.delete([points[0].chunk.id])
    assert index.count() == 149


def test_nothing_to_write_is_no_error(index: Index) -> None:
    index.upsert([])
    index.update_payload([])
    index.delete([])
    assert index.count() == 0
    assert index.search(*query(), ALL, 5) == ([], [])


def test_delete_removes_from_both_rankings(index: Index) -> None:
    points = [embedded(chunk(number)) for number in range(10)]
    index.upsert(points)
    gone = [point.chunk.id for point in points[:4]]
    index.delete(gone)
    for ranking in index.search(points[0].dense, points[0].sparse, ALL, 100):
        assert found(ranking).isdisjoint(gone)
    assert index.retrieve(gone) == []
    assert index.count() == 6


def test_update_payload_keeps_vectors_and_leaves_the_missing_missing(index: Index) -> None:
    points = [embedded(chunk(number)) for number in range(3)]
    index.upsert(points)
    changed = replace(points[1].chunk, title="New", url="", audience=("staff",), until=4)
    index.update_payload([changed, chunk(77)])
    assert index.retrieve([changed.id]) == [changed]
    assert index.count() == 3
    dense, words = index.search(
        points[1].dense, points[1].sparse, Scope("acme", 10, frozenset({"staff"})), 10
    )
    assert dense[0].chunk == changed
    assert dense[0].score == pytest.approx(1, abs=1e-5)
    assert changed.id in found(words)
    index.update_payload([replace(changed, quarantined=True)])
    dense, words = index.search(
        points[1].dense, points[1].sparse, Scope("acme", 10, frozenset({"staff"})), 10
    )
    assert changed.id not in found(dense) | found(words)


def test_a_chunk_without_words_is_found_by_meaning_alone(index: Index) -> None:
    full = embedded(chunk(1))
    index.upsert([full, full._replace(chunk=chunk(2), sparse=SparseVector([], []))])
    dense, words = index.search(full.dense, full.sparse, ALL, 10)
    assert found(dense) == {chunk(1).id, chunk(2).id}
    assert found(words) == {chunk(1).id}
    assert index.search(full.dense, SparseVector([], []), ALL, 10)[1] == []
    index.upsert([full._replace(sparse=SparseVector([], []))])
    assert index.search(full.dense, full.sparse, ALL, 10)[1] == []


def test_ids_by_workspace_and_source(index: Index) -> None:
    here = [chunk(number, source=SOURCES[number % 2]) for number in range(1100)]
    there = chunk(5000, workspace="globex")
    index.upsert([embedded(one) for one in [*here, there]])
    assert sorted(index.ids("acme")) == sorted(one.id for one in here)
    assert sorted(index.ids("acme", "notes")) == sorted(one.id for one in here[1::2])
    assert list(index.ids("globex")) == [there.id]
    assert list(index.ids("nobody")) == []


@pytest.mark.parametrize(
    ("changes", "scope", "seen"),
    [
        ({}, ALL, True),
        ({"workspace": "globex"}, ALL, False),
        ({"quarantined": True}, ALL, False),
        ({"audience": ("staff",)}, ALL, False),
        ({"audience": ("staff", PUBLIC)}, ALL, True),
        ({"audience": ()}, ALL, False),
        ({"audience": ("staff",)}, replace(ALL, audiences=frozenset({"staff"})), True),
        ({"effective_from": 10}, ALL, True),
        ({"effective_from": 11}, ALL, False),
        ({"expires_at": 10}, ALL, False),
        ({"expires_at": 11}, ALL, True),
        ({"source": "notes"}, replace(ALL, source="help"), False),
        ({"source": "help"}, replace(ALL, source="help"), True),
    ],
)
def test_scope(index: Index, changes: dict[str, object], scope: Scope, seen: bool) -> None:
    point = embedded(chunk(1, **changes))
    index.upsert([point, embedded(chunk(2))])
    assert scope.admits(point.chunk) is seen
    for ranking in index.search(point.dense, point.sparse, scope, 10):
        assert (point.chunk.id in found(ranking)) is seen


scopes = st.builds(
    Scope,
    workspace=st.sampled_from([*WORKSPACES, "", "nobody"]),
    as_of=st.sampled_from(MOMENTS) | st.integers(BEGINNING, FOREVER),
    audiences=st.frozensets(st.sampled_from([*AUDIENCES, "", "STAFF"]), max_size=3),
    source=st.sampled_from([None, *SOURCES, ""]),
)


@settings(max_examples=150)
@given(scope=scopes, seed=st.integers(0, 5), few=st.integers(1, 5))
def test_no_search_leaves_its_scope(
    crowd: tuple[Index, list[Chunk]], scope: Scope, seed: int, few: int
) -> None:
    index, chunks = crowd
    admitted = {one.id for one in chunks if scope.admits(one)}
    dense, words = index.search(*query(seed), scope, 1000)
    assert found(dense) == admitted
    assert found(words) <= admitted
    shallow = index.search(*query(seed), scope, few)
    assert all(scope.admits(hit.chunk) for ranking in shallow for hit in ranking)
    assert len(shallow[0]) == min(few, len(admitted))
    every = [one.id for one in chunks]
    by_meaning, by_words = index.score(*query(seed), scope, every, every)
    assert by_meaning.keys() == admitted
    assert by_words.keys() == found(words)


@pytest.mark.heavy
@server_only
def test_both_adapters_rank_alike(tmp_path: Path) -> None:
    chunks = population(300)
    points = [embedded(one) for one in chunks]
    points[0] = points[0]._replace(sparse=SparseVector([], []))
    one: Index = EdgeIndex.open(tmp_path, PRINT, DIMENSION)
    two: Index = open_qdrant(QdrantClient(":memory:"))
    for index in (one, two):
        index.upsert(points)
        index.upsert([embedded(chunk, seed=1000 + chunk.position) for chunk in chunks[50:80]])
    compared = 0
    for seed in range(20):
        for scope in (ALL, Scope("globex", 60, frozenset({"staff", "partner"}), "notes")):
            for ours, theirs in zip(
                one.search(*query(seed), scope, 50),
                two.search(*query(seed), scope, 50),
                strict=True,
            ):
                scores = {hit.chunk.id: hit.score for hit in theirs}
                assert {hit.chunk.id: hit.score for hit in ours} == pytest.approx(scores, abs=1e-4)
                compared += len(scores)
            ids = [chunk.id for chunk in chunks[40:90]]
            scored = zip(
                one.score(*query(seed), scope, ids, ids),
                two.score(*query(seed), scope, ids, ids),
                strict=True,
            )
            for mine, other in scored:
                assert mine == pytest.approx(other, abs=1e-4)
    assert compared > 200
    one.close()
    two.close()


# --- the embedded index alone


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Callable[[], EdgeIndex]]:
    opened: list[EdgeIndex] = []

    def again() -> EdgeIndex:
        for index in opened:
            index.close()
        opened.append(EdgeIndex.open(tmp_path, PRINT, DIMENSION))
        return opened[-1]

    yield again
    for index in opened:
        index.close()


def test_reopening_keeps_everything(reopen: Callable[[], EdgeIndex]) -> None:
    points = [embedded(one) for one in population(200)]
    index = reopen()
    index.upsert(points)
    index.delete([points[0].chunk.id])
    index.update_payload([replace(points[1].chunk, title="New")])
    before = index.search(*query(), ALL, 500)
    index = reopen()
    assert index.count() == 199
    assert index.retrieve([points[1].chunk.id])[0].title == "New"
    after = index.search(*query(), ALL, 500)
    assert [found(one) for one in before] == [found(one) for one in after]


@pytest.mark.heavy
def test_sweeping_out_the_deleted_keeps_the_rest(reopen: Callable[[], EdgeIndex]) -> None:
    points = [embedded(chunk(number)) for number in range(1500)]
    index = reopen()
    index.upsert(points)
    index.delete([point.chunk.id for point in points[:900]])
    index = reopen()
    assert set(index.ids("acme")) == {point.chunk.id for point in points[900:]}
    index.upsert(points[:10])
    index = reopen()
    assert index.count() == 610
    assert len(index.search(*query(), ALL, 5000)[0]) == 610


def test_another_process_is_refused_by_name(
    reopen: Callable[[], EdgeIndex], tmp_path: Path
) -> None:
    reopen().upsert([embedded(chunk())])
    code = f"""
from pathlib import Path
from twofold.index.edge import EdgeIndex
from twofold.errors import Conflict
from twofold.index.contract import Fingerprint
try:
    EdgeIndex.open(Path({str(tmp_path)!r}), Fingerprint(*{tuple(_parts(PRINT))!r}), {DIMENSION})
except Conflict as error:
    print(error.message)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert str(tmp_path) in said
    assert str(os.getpid()) in said
    with pytest.raises(Conflict, match=str(os.getpid())):
        EdgeIndex.open(tmp_path, PRINT, DIMENSION)


def _parts(fingerprint: Fingerprint) -> list[str]:
    return [getattr(fingerprint, name) for name in Fingerprint.__slots__]


WRITER = """
import sys
from itertools import count
from pathlib import Path
import numpy as np
from twofold.index.edge import EdgeIndex
from twofold.index.contract import Chunk, DocumentRef, Embedded, Fingerprint, SparseVector, point_id

folder, start, dimension, *parts = sys.argv[1:]
index = EdgeIndex.open(Path(folder), Fingerprint(*parts), int(dimension))
for number in count(int(start)):
    batch = []
    for part in range(100):
        document = DocumentRef("acme", "help", f"{number}-{part}").id
        chunk = Chunk(
            id=point_id(document, (), "h", 0), workspace="acme", source="help", document=document,
            key=f"help/{number}-{part}", since=1, title="T", heading_path=(), text="text " * 50,
            position=part,
        )
        vector = np.full(int(dimension), 0.5, dtype=np.float32)
        batch.append(Embedded(chunk, vector, SparseVector([number, 100000 + part], [1.0, 1.0])))
    index.upsert(batch)
    print(number, flush=True)
"""


@pytest.mark.heavy
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(3)
    acknowledged: list[int] = []
    for round in range(4):
        writer = subprocess.Popen(
            [
                sys.executable,
                "-c",
                WRITER,
                str(tmp_path),
                str(round * 1000),
                str(DIMENSION),
                *_parts(PRINT),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout
        acknowledged += [int(writer.stdout.readline()) for _ in range(rng.randint(3, 8))]
        threading.Event().wait(rng.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait()

        index = EdgeIndex.open(tmp_path, PRINT, DIMENSION)
        wanted = {
            point_id(DocumentRef("acme", "help", f"{number}-{part}").id, (), "h", 0)
            for number in acknowledged
            for part in range(100)
        }
        stored = set(index.ids("acme"))
        assert wanted <= stored
        assert len(stored) == index.count() <= len(wanted) + 100 * (round + 1)
        dense = np.full(DIMENSION, 0.5, dtype=np.float32)
        for number in acknowledged:
            words = index.search(dense, SparseVector([number], [1.0]), ALL, 200)[1]
            assert len(words) == 100
        assert len(index.search(dense, SparseVector([], []), ALL, 10**5)[0]) == len(stored)
        index.close()


@pytest.mark.heavy
def test_searches_go_on_while_another_thread_writes(reopen: Callable[[], EdgeIndex]) -> None:
    index = reopen()
    index.upsert([embedded(chunk(number)) for number in range(100)])
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                dense, words = index.search(*query(), ALL, 10)
                assert len(dense) == 10
                assert words
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for start in range(100, 600, 100):
        index.upsert([embedded(chunk(number)) for number in range(start, start + 100)])
        index.update_payload([chunk(number, title="New") for number in range(start, start + 9)])
        index.delete([chunk(number).id for number in range(start, start + 50)])
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert index.count() == 100 + 5 * 50


def test_another_fingerprint_or_dimension_is_told_what_to_do(
    reopen: Callable[[], EdgeIndex], tmp_path: Path
) -> None:
    reopen().close()
    with pytest.raises(SetupError, match="twofold knowledge rebuild") as caught:
        EdgeIndex.open(tmp_path, OTHER, DIMENSION)
    assert "embedder was 'embed-1' and is now 'embed-2'" in caught.value.message
    with pytest.raises(SetupError, match="dimension was 8 and is now 9"):
        EdgeIndex.open(tmp_path, PRINT, DIMENSION + 1)
    assert edge.live(tmp_path) == PRINT.digest
    reopen()


def test_a_store_is_built_beside_the_live_one_and_flipped(
    reopen: Callable[[], EdgeIndex], tmp_path: Path
) -> None:
    assert edge.live(tmp_path) is None
    blue = reopen()
    blue.upsert([embedded(chunk(1))])
    assert edge.live(tmp_path) == PRINT.digest
    with pytest.raises(NotFound, match=OTHER.digest):
        edge.flip(tmp_path, OTHER.digest)
    green = EdgeIndex.open(tmp_path, OTHER, DIMENSION, beside=True)
    green.upsert([embedded(chunk(2)), embedded(chunk(3))])
    assert edge.live(tmp_path) == PRINT.digest
    green.close()
    edge.flip(tmp_path, OTHER.digest)
    assert (blue.count(), edge.live(tmp_path)) == (1, OTHER.digest)
    green = EdgeIndex.open(tmp_path, OTHER, DIMENSION)
    assert green.count() == 2
    green.close()
    blue.close()
    with pytest.raises(SetupError):
        reopen()
    edge.flip(tmp_path, PRINT.digest)
    assert reopen().count() == 1


def test_a_half_made_store_is_made_again(reopen: Callable[[], EdgeIndex], tmp_path: Path) -> None:
    reopen().upsert([embedded(chunk())])
    reopen().close()
    (tmp_path / PRINT.digest / "manifest.json").unlink()
    index = reopen()
    assert index.count() == 0
    index.upsert([embedded(chunk())])
    assert reopen().count() == 1


def test_a_damaged_store_is_named_and_lets_go_of_its_lock(
    reopen: Callable[[], EdgeIndex], tmp_path: Path
) -> None:
    reopen().upsert([embedded(chunk())])
    reopen().close()
    home = tmp_path / PRINT.digest
    for segment in (home / "shard" / "segments").iterdir():
        (segment / "segment.json").write_text("{")
    for _ in range(2):
        with pytest.raises(SetupError, match="twofold ingest") as caught:
            EdgeIndex.open(tmp_path, PRINT, DIMENSION)
        assert str(home) in caught.value.message
    (home / "manifest.json").write_text("")
    with pytest.raises(SetupError, match=str(home)):
        EdgeIndex.open(tmp_path, PRINT, DIMENSION)
    shutil.rmtree(home)
    assert reopen().count() == 0


def test_a_closed_index_says_so_and_closes_again(reopen: Callable[[], EdgeIndex]) -> None:
    index = reopen()
    index.close()
    index.close()
    with pytest.raises(UpstreamError):
        index.search(*query(), ALL, 1)


# --- the server's adapter alone


@server_only
def test_collections_are_built_beside_the_live_one_and_flipped() -> None:
    client = QdrantClient(":memory:")
    assert qdrant.live(client, "test") is None
    open_qdrant(client).upsert([embedded(chunk(1))])
    assert qdrant.live(client, "test") == PRINT.digest
    with pytest.raises(SetupError, match="embedder was 'embed-1'"):
        qdrant.QdrantIndex.open(client, "test", OTHER, DIMENSION)
    with pytest.raises(SetupError, match="dimension was 8"):
        qdrant.QdrantIndex.open(client, "test", PRINT, DIMENSION + 1)
    with pytest.raises(NotFound):
        qdrant.flip(client, "test", OTHER.digest)
    green = qdrant.QdrantIndex.open(client, "test", OTHER, DIMENSION, beside=True, quantized=True)
    assert qdrant.live(client, "test") == PRINT.digest
    qdrant.flip(client, "test", OTHER.digest)
    assert qdrant.live(client, "test") == OTHER.digest
    with pytest.raises(SetupError):
        open_qdrant(client)
    qdrant.flip(client, "test", PRINT.digest)
    assert open_qdrant(client).count() == 1
    green.close()


@server_only
def test_a_server_that_is_away_is_an_upstream_error() -> None:
    client = QdrantClient("http://127.0.0.1:9", check_compatibility=False)
    with pytest.raises(UpstreamError, match="Qdrant"):
        open_qdrant(client)
    client.close()
