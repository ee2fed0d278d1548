import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.twofold.clients.float_bert import Reference, Vectors
from twofold.clients import bert, e5, minilm
from twofold.clients.embedder import E5, Embedder, HttpEmbedder, MiniLM
from twofold.errors import SetupError, UpstreamError

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None, reason="no weights: run `make setup`"
)

needs_multilingual = pytest.mark.skipif(
    importlib.util.find_spec(e5.PACKAGE) is None, reason="no weights: run `make multilingual`"
)

PASSAGE = (
    "Refunds\nYou may send an unused item back within 30 days of delivery. We refund the price and "
    "the tax to the card you paid with, usually five business days after the parcel reaches us. "
    "Shipping is refunded only where the item was faulty. To start, open Orders, choose the item "
    "and print the label; drop the parcel at any pick-up point. "
)
TEXTS = [
    PASSAGE,
    PASSAGE * 2,
    PASSAGE * 10,
    "How do I get my money back?",
    "where's my parcel",
    "ok",
    "thanks",
    "yes",
    "",
    " \n\t",
    ".",
    "Überweisung an café Łódź — 50 €",
    "返金ポリシーについて教えてください",
    "👩‍👩‍👧 zero\u200bwidth \u0000 nul \ufffd",
    "x" * 5000,
    "SKU-4711/AB 12:30 (see https://example.test/a?b=c)",
]


# MiniLM


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(cache: Path) -> MiniLM:
    return MiniLM.open(cache, threads=2)


@pytest.mark.heavy
@needs_weights
def test_vectors_are_those_of_the_float_model(model: MiniLM) -> None:
    folder = minilm.verified("tokenizer.json", minilm.TOKENIZER_SHA256).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    weights = minilm.read_safetensors(folder / "model.safetensors")
    words = weights["embeddings.word_embeddings.weight"]
    reference = Reference(weights, 6)
    wanted = [reference(words[tokenizer.encode(text).ids]) for text in TEXTS]
    cosines = (model.embed(TEXTS) * np.stack(wanted)).sum(1)

    assert cosines[:3].min() >= 0.999
    assert cosines.min() >= 0.997
    assert [t for t, c in zip(TEXTS, cosines, strict=True) if c < 0.998 and len(t) > 10] == []


@pytest.mark.heavy
@needs_weights
def test_signed_and_unsigned_graphs_agree(
    model: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = not bert.signed_products_saturate()
    monkeypatch.setattr(bert, "signed_products_saturate", lambda: other)
    twin = MiniLM.open(tmp_path, threads=1)

    assert (model.embed(TEXTS) * twin.embed(TEXTS)).sum(1).min() > 0.99999


@needs_weights
def test_shape_norm_and_order(model: MiniLM) -> None:
    vectors = model.embed(TEXTS)

    assert vectors.shape == (len(TEXTS), model.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert (model.embed(TEXTS[::-1])[::-1] * vectors).sum(1).min() > 0.99999
    assert model.embed([]).shape == (0, model.dimension)
    embedder: Embedder = model
    assert embedder.name


@pytest.mark.heavy
@needs_weights
@settings(max_examples=25)
@given(st.lists(st.one_of(st.sampled_from(TEXTS), st.text(max_size=60)), max_size=20))
def test_a_vector_does_not_depend_on_its_batch_mates(model: MiniLM, texts: list[str]) -> None:
    alone = [model.embed([text]) for text in texts]

    together = model.embed(texts)

    assert together.shape == (len(texts), model.dimension)
    if texts:
        assert (together * np.concatenate(alone)).sum(1).min() >= 0.99999


@needs_weights
def test_text_beyond_256_tokens_is_not_seen(model: MiniLM) -> None:
    words = ["money"] * 254
    assert model.count_tokens(["money"]) == [1]

    full, longer, shorter = model.embed(
        [" ".join(each) for each in (words, [*words, "parcel"], [*words[:-1], "parcel"])]
    )

    assert full @ longer > 0.999999
    assert full @ shorter < 0.9999


@needs_weights
def test_tokens_are_counted_to_the_end_without_special_ones(model: MiniLM) -> None:
    assert model.count_tokens(["", "money", "money " * 1000]) == [0, 1, 1000]
    assert model.count_tokens([]) == []


@pytest.mark.heavy
@needs_weights
def test_threads_share_a_model(model: MiniLM) -> None:
    alone = model.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: model.embed(TEXTS), range(8)):
            assert (vectors * alone).sum(1).min() > 0.99999


@pytest.mark.heavy
@needs_weights
def test_processes_may_build_at_once_and_nothing_is_left_over(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        models = list(pool.map(lambda _: MiniLM.open(tmp_path, threads=1), range(3)))

    (file,) = tmp_path.iterdir()
    assert minilm.BUILDER in file.name
    assert minilm.WEIGHTS_SHA256[:12] in file.name
    assert len({each.embed(["refund"]).tobytes() for each in models}) == 1


@needs_weights
def test_a_cached_model_is_not_built_again(
    model: MiniLM, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert, "build", lambda *_, **__: pytest.fail("built again"))
    assert (MiniLM.open(cache).embed(["refund"]) == model.embed(["refund"])).all()


@pytest.mark.heavy
@needs_weights
def test_a_damaged_cache_is_built_again(model: MiniLM, tmp_path: Path) -> None:
    MiniLM.open(tmp_path, threads=1)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])

    mended = MiniLM.open(tmp_path, threads=1)

    assert (mended.embed(["refund"]) == model.embed(["refund"])).all()


def test_a_missing_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, minilm.PACKAGE, None)
    with pytest.raises(SetupError, match="make setup"):
        MiniLM.open(tmp_path)


@needs_weights
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damaged_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    original = minilm.verified("tokenizer.json", minilm.TOKENIZER_SHA256).parent
    package = tmp_path / minilm.PACKAGE
    shutil.copytree(original, package / "model")
    (package / "__init__.py").touch()
    file = package / "model" / name
    if damage == "gone":
        file.unlink()
    else:
        with file.open("r+b") as stream:
            stream.truncate(100_000) if damage == "cut" else stream.write(b"?")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SetupError, match="make setup"):
        MiniLM.open(tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


# E5


@pytest.fixture(scope="module")
def multilingual(cache: Path) -> E5:
    return E5.open(cache, threads=2)


@pytest.mark.heavy
@needs_multilingual
def test_e5_s_vectors_are_those_of_the_float_model(multilingual: E5) -> None:
    weights = e5.Weights.open()
    words, reader = e5.Words(weights.tensors["emb.word"]), e5.E5Tokenizer(weights)
    reference = Reference(e5.bert_weights(weights.tensors), 12)

    def wanted(text: str) -> Vectors:
        ids = [weights.begin, *reader.ids([e5.QUERY + text])[0], weights.end]
        return reference(words[np.array(ids, np.int32)])

    texts = [*TEXTS[:2], *TEXTS[3:8], *TEXTS[11:13], "คืนเงินภายในกี่วัน", "कितने दिन लगते हैं?"]
    centre = e5.CENTRED * np.stack([wanted(text) for text in e5.COMMON]).mean(0)
    off = np.stack([wanted(text) for text in texts]) - centre
    off /= np.linalg.norm(off, axis=1, keepdims=True)
    assert (multilingual.embed(texts) * off).sum(1).min() > 0.99


@needs_multilingual
def test_e5_finds_across_languages(multilingual: E5) -> None:
    pages = ["Refunds\nWe pay the price back within 30 days.", "Passwords\nChoose a new password."]
    asked = [
        "返金は何日かかりますか",
        "كيف أغير كلمة المرور؟",
        "Wann bekomme ich mein Geld zurück?",
    ]

    likest = multilingual.embed(asked) @ multilingual.embed(pages, passages=True).T

    assert likest.argmax(axis=1).tolist() == [0, 1, 0]


@needs_multilingual
@settings(max_examples=10)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=9))
def test_an_e5_vector_does_not_depend_on_its_batch_mates(
    multilingual: E5, texts: list[str]
) -> None:
    vectors = multilingual.embed(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    alone = np.concatenate([multilingual.embed([text]) for text in texts])
    assert (vectors * alone).sum(1).min() > 0.9999


@needs_multilingual
def test_e5_takes_what_ends_its_package_s_own_engine(multilingual: E5) -> None:
    assert multilingual.embed(["\ufdfa" * 2000, "a\0b", "\ud7ff" * 900]).shape == (3, 384)


@needs_multilingual
def test_e5_reads_512_tokens_and_counts_all(multilingual: E5) -> None:
    words = "返品 " * 600
    assert multilingual.count_tokens([words])[0] > e5.MAX_TOKENS
    one, other = multilingual.embed([words, words + "パスワード"])
    assert one @ other == pytest.approx(1.0, abs=1e-5)


def test_missing_multilingual_weights_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, e5.PACKAGE, None)
    with pytest.raises(SetupError, match="make multilingual"):
        E5.open(tmp_path)


# HttpEmbedder

KEY = "sk-secret-4711"
Handler = Callable[[httpx.Request], httpx.Response]


def vector(text: str) -> list[float]:
    return [float(len(text)) + 1, 2.0, -1.0]


def answer(request: httpx.Request) -> httpx.Response:
    texts = json.loads(request.content)["input"]
    data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(texts)]
    return httpx.Response(200, json={"object": "list", "data": data})


class Server:
    """Gives `first`, one a request, then answers properly (or for ever as `always` has it)."""

    def __init__(self, *first: httpx.Response | Exception, always: Handler = answer) -> None:
        self.first = list(first)
        self.always = always
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not self.first:
            return self.always(request)
        reply = self.first.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def embedder(self, key: str = KEY, **options: Any) -> HttpEmbedder:
        client = httpx.Client(transport=httpx.MockTransport(self))
        url = options.pop("url", "http://embed.test:8080/v1")
        return HttpEmbedder(url, "some-model", key, client=client, **options)


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds slept between attempts; none really passes."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    stamina.instrumentation.set_on_retry_hooks([])
    yield slept
    stamina.instrumentation.set_on_retry_hooks(None)


def test_vectors_come_normalised_in_order_over_batches() -> None:
    server = Server()
    texts = ["a" * i for i in range(7)]

    vectors = server.embedder(batch_size=3).embed(texts)

    expected = np.array([vector(text or " ") for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(expected, abs=1e-6)
    sizes = [len(json.loads(request.content)["input"]) for request in server.requests]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(
    "url", ["http://h.test", "http://h.test/", "http://h.test/v1", "http://h.test/v1/embeddings"]
)
def test_the_request_is_openai_s(url: str) -> None:
    server = Server()
    server.embedder(key=KEY + "\n", url=url).embed(["hello"])

    (request,) = server.requests
    assert str(request.url) == "http://h.test/v1/embeddings"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(request.content)
    assert body == {"model": "some-model", "input": ["hello"], "encoding_format": "float"}


def test_without_a_key_no_header_goes_out() -> None:
    server = Server()
    server.embedder(key="").embed(["hello"])
    assert "authorization" not in server.requests[0].headers


def test_the_dimension_is_asked_for_once() -> None:
    server = Server()
    embedder = server.embedder()
    assert not server.requests

    assert (embedder.dimension, embedder.dimension) == (3, 3)
    assert len(server.requests) == 1
    assert embedder.embed([]).shape == (0, 3)
    protocol: Embedder = embedder
    assert "some-model" in protocol.name


def test_tokens_are_estimated_at_four_characters() -> None:
    assert Server().embedder().count_tokens(["", "abcd", "abcde"]) == [0, 1, 2]


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(503),
        httpx.Response(429),
        httpx.Response(500),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("hung up"),
    ],
)
def test_passing_trouble_is_retried(
    trouble: httpx.Response | Exception, sleeps: list[float]
) -> None:
    server = Server(trouble, trouble)

    assert server.embedder().embed(["a"]).shape == (1, 3)
    assert len(server.requests) == 3
    assert len(sleeps) == 2


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("3", 3, 3),
        ("0", 0, 0),
        ("86400", 10, 10),
        ("-5", 0, 0),
        ("Tue, 01 Dec 2099 00:00:00 GMT", 10, 10),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", 0, 5),
        ("nan", 0, 5),
    ],
)
def test_retry_after_is_honoured_up_to_a_cap(
    header: str, low: float, high: float, sleeps: list[float]
) -> None:
    server = Server(httpx.Response(429, headers={"retry-after": header}))
    server.embedder().embed(["a"])
    assert len(sleeps) == 1
    assert low <= sleeps[0] <= high


def test_it_gives_up_and_names_host_and_status() -> None:
    server = Server(always=lambda _: httpx.Response(503, text=KEY))
    with pytest.raises(UpstreamError, match=r"embed\.test:8080 .* 503"):
        server.embedder(attempts=3).embed(["a"])
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_a_refusal_is_not_retried(status: int) -> None:
    server = Server(always=lambda _: httpx.Response(status))
    with pytest.raises(UpstreamError, match=str(status)):
        server.embedder().embed(["a"])
    assert len(server.requests) == 1


def rows(*embeddings: Any, indices: Any = None) -> dict[str, Any]:
    indices = range(len(embeddings)) if indices is None else indices
    return {
        "data": [{"index": i, "embedding": e} for i, e in zip(indices, embeddings, strict=True)]
    }


def test_out_of_order_rows_are_put_in_order() -> None:
    body = rows([0.0, 2.0], [3.0, 0.0], indices=[1, 0])
    vectors = Server(httpx.Response(200, json=body)).embedder().embed(["a", "b"])
    assert vectors.tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(rows([1.0, 0.0])),
        json.dumps(rows([1.0], [1.0], [1.0])),
        json.dumps(rows([1.0], [1.0], indices=[0, 0])),
        json.dumps(rows([1.0], [1.0], indices=[1, 2])),
        json.dumps(rows([1.0, 2.0], [1.0])),
        json.dumps(rows([], [])),
        json.dumps(rows(1.0, 2.0)),
        json.dumps(rows([1.0, None], [1.0, 1.0])),
        json.dumps(rows(["x"], ["y"])),
        '{"data": [{"index": 0, "embedding": [NaN]}, {"index": 1, "embedding": [1]}]}',
        '{"data": [{"index": 0, "embedding": [1e999]}, {"index": 1, "embedding": [1]}]}',
        json.dumps(rows([0.0, 0.0], [1.0, 1.0])),
        json.dumps({"data": [{"embedding": [1.0]}, {"embedding": [1.0]}]}),
        json.dumps({"error": KEY}),
        "[]",
        "null",
        "<html>",
        "",
    ],
)
def test_nonsense_is_an_upstream_error(body: str) -> None:
    server = Server(always=lambda _: httpx.Response(200, text=body))
    with pytest.raises(UpstreamError, match=r"embed\.test:8080") as caught:
        server.embedder().embed(["a", "b"])
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


def test_a_changed_dimension_is_refused() -> None:
    embedder = Server(
        httpx.Response(200, json=rows([1.0, 0.0])), httpx.Response(200, json=rows([1.0, 0.0, 0.0]))
    ).embedder()
    assert embedder.dimension == 2
    with pytest.raises(UpstreamError, match="3"):
        embedder.embed(["a"])


def test_the_key_never_reaches_an_error() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError(f"Illegal header value {request.headers['authorization']}")

    embedder = Server(always=fail).embedder(url="http://user:pw-4711@embed.test/v1")
    with pytest.raises(UpstreamError) as caught:
        embedder.embed(["a"])
    assert "4711" not in f"{caught.value} {caught.value!r}"
    assert "embed.test" in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("key", [KEY[:4] + "\n" + KEY[4:], KEY + "é", KEY + "\0x"])
def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    with pytest.raises(SetupError, match=r"embed\.test") as caught:
        Server().embedder(key=key)
    assert "4711" not in str(caught.value)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=20), max_size=12), st.integers(1, 5))
def test_batches_change_nothing(texts: list[str], batch_size: int) -> None:
    embedder = Server().embedder(batch_size=batch_size)
    alone = [embedder.embed([text]) for text in texts]
    assert (embedder.embed(texts) == np.concatenate([np.empty((0, 3)), *alone])).all()
