from concurrent.futures import ThreadPoolExecutor

import pytest

from twofold.index.contract import SparseVector
from twofold.index.sparse import Bm25Encoder


@pytest.fixture(scope="module")
def encoder() -> Bm25Encoder:
    return Bm25Encoder()


def overlap(one: SparseVector, other: SparseVector) -> int:
    return len(set(one.indices) & set(other.indices))


@pytest.mark.parametrize("text", ["", "  \n", "the and of", "?!"])
def test_no_terms_no_entries(encoder: Bm25Encoder, text: str) -> None:
    assert encoder.document(text) == ([], [])
    assert encoder.query(text) == ([], [])


def test_terms_are_distinct_and_weights_follow_bm25(encoder: Bm25Encoder) -> None:
    vector = encoder.document("refund the refunds of order")

    assert len(set(vector.indices)) == len(vector.indices) == 2
    k, b, length, average = 1.2, 0.75, 3, 60
    norm = k * (1 - b + b * length / average)
    expected = [tf * (k + 1) / (tf + norm) for tf in (1, 2)]
    assert sorted(vector.values) == pytest.approx(expected, rel=1e-5)


def test_a_query_weighs_each_term_one(encoder: Bm25Encoder) -> None:
    vector = encoder.query("refunds refund order")

    assert vector.values == [1.0, 1.0]
    assert overlap(vector, encoder.document("Where is the refund for my order?")) == 2


def test_a_longer_text_weighs_a_term_less(encoder: Bm25Encoder) -> None:
    (term,) = encoder.query("refund").indices

    def weight(text: str) -> float:
        return dict(zip(*encoder.document(text), strict=True))[term]

    assert weight("refund") > weight("refund " + "other words follow here " * 40)
    assert weight("refund refund box") > weight("refund box label")


@pytest.mark.parametrize(
    ("locale", "text", "question"),
    [
        ("en", "Refunds are issued", "refund"),
        ("de-AT", "Die Rückerstattungen", "Rückerstattung"),
        ("fr", "Les remboursements", "remboursement"),
        ("es_MX", "Los reembolsos", "reembolso"),
        ("IT", "I rimborsi", "rimborso"),
        ("pt-BR", "Os pagamentos", "pagamento"),
        ("nl", "De bestellingen", "bestelling"),
    ],
)
def test_inflections_of_a_language_meet(
    encoder: Bm25Encoder, locale: str, text: str, question: str
) -> None:
    document = encoder.document(text, locale)

    assert overlap(document, encoder.query(question, locale)) == 1
    assert overlap(encoder.document(text, "x-none"), encoder.query(question, "x-none")) == 0


@pytest.mark.parametrize("locale", ["tlh", "", "und", "pl"])
def test_an_unknown_locale_keeps_every_word(encoder: Bm25Encoder, locale: str) -> None:
    assert len(encoder.document("the running of houses", locale).indices) == 4


@pytest.mark.parametrize(
    ("locale", "text", "question"),
    [
        ("zh-CN", "我的订单在哪里？退款需要多久", "退款"),
        ("ja", "返金ポリシーについて", "ポリシーはどこ"),
    ],
)
def test_unspaced_scripts_are_cut_into_words(
    encoder: Bm25Encoder, locale: str, text: str, question: str
) -> None:
    assert overlap(encoder.document(text, locale), encoder.query(question, locale)) >= 1


def test_the_name_tells_everything_that_changes_weights() -> None:
    names = {Bm25Encoder(*numbers).name for numbers in [(60,), (80,), (60, 1.5), (60, 1.2, 0.5)]}
    assert len(names) == 4
    assert Bm25Encoder().name == Bm25Encoder().name


def test_threads_share_an_encoder() -> None:
    encoder = Bm25Encoder()
    jobs = [("Refunds of orders", locale) for locale in ("en", "de", "fr", "zh", "??") * 20]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: encoder.document(*job), jobs))
    assert found == [Bm25Encoder().document(*job) for job in jobs]
