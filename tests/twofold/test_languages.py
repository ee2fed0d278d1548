"""The language of a text, its sentences, its keywords, in scripts that are not Latin."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from twofold.index.sparse import Bm25Encoder
from twofold.text.blocks import sentences
from twofold.text.languages import base, language_of, may_be, words_in
from twofold.text.statements import StatementStream, statements

SUITE = Path(__file__).parents[2] / "examples" / "languages"


def suite(language: str) -> Any:
    return yaml.safe_load((SUITE / f"{language}.yaml").read_text("utf-8"))


LANGUAGES = sorted(path.stem for path in SUITE.glob("*.yaml"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_shows_its_language(language: str) -> None:
    found = [language_of(f"{p['title']}\n{p['text']}") for p in suite(language)["pages"].values()]
    assert found == [base(language)] * 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_is_in_the_language_that_is_expected(language: str) -> None:
    expected = (language, "en") if language != "en" else ("en",)
    found = [
        language_of(each["ask"], expected) or expected[0] for each in suite(language)["questions"]
    ]
    assert found == [language] * 10


def test_what_could_be_two_languages_is_the_expected_one() -> None:
    assert language_of("送料無料") == "zh"
    assert language_of("送料無料", ["ja"]) == "ja"
    assert language_of("送料無料", ["zh-TW", "ja"]) == "zh-TW"
    assert language_of("Возврат", ["bg"]) == "bg"
    assert language_of("Де мій рахунок і чек?") == "uk"
    assert language_of("قیمت چقدر است؟ پرداخت") == "fa"


def test_a_few_words_show_none() -> None:
    assert language_of("refund policy", ["en", "de"]) == ""
    assert language_of("", ["en"]) == ""
    assert language_of("no refund?", ["en", "de"]) == "en"
    assert may_be("API v2", ["ja"])
    assert not may_be("返金は何日かかりますか", ["en", "de"])
    assert not may_be("où est ma facture, je ne la vois pas", ["en", "de"])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("返品できます。送料は490円です！いつでもどうぞ。", 3),
        ("「はい」と答えた。次へ。", 2),
        ("退货吗？可以。", 2),
        ("هل يمكن الإرجاع؟ نعم، خلال 30 يومًا. اتصل بنا.", 3),
        ("आप लौटा सकते हैं। पैसे 5 दिन में मिलते हैं।", 2),
        ("Можно вернуть. Деньги придут, т. е. через 5 дней. Ждите.", 3),
        ("אפשר להחזיר. המשלוח עולה 25 שקל.", 2),
        ("Lampę można zwrócić. Łatwo to zrobić.", 2),
        ("คำสั่งซื้อก่อนเวลา 14.00 น. จะออกในวันเดียวกัน", 1),
        ("반품할 수 있습니다. 배송비는 4,900원입니다.", 2),
        ("Costs 4.90 EUR, e.g. for one. Ask us.", 2),
    ],
)  # fmt: skip
def test_sentences_end_as_their_script_has_it(text: str, parts: int) -> None:
    spans = sentences(text)
    assert len(spans) == parts
    assert "".join(text[a:b] for a, b in spans).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_statements_are_cut_alike_while_they_are_written(language: str) -> None:
    text = "\n\n".join(page["text"].strip() for page in suite(language)["pages"].values())
    stream = StatementStream()
    said = [each.text for letter in text for each in stream.feed(letter)]
    said += [each.text for each in stream.finish()]
    assert said == [each.text for each in statements(text)]


@pytest.mark.parametrize(
    ("asked", "page"),
    [
        ("返金", "7日以内に返金します。"),
        ("退货", "三十天内可以退货。"),
        ("환불", "환불은 5일 걸립니다."),
        ("คืนเงิน", "เราคืนเงินภายใน 5 วัน"),
        ("３０", "30日以内"),
    ],
)
@pytest.mark.parametrize("locale", ["en", "ja", "th"])
def test_a_word_is_found_where_none_are_parted_whatever_the_language_is_held_to_be(
    asked: str, page: str, locale: str
) -> None:
    encoder = Bm25Encoder()
    question = set(encoder.query(asked, "en").indices)
    assert question
    assert question <= set(encoder.document(page, locale).indices)
    assert not question & set(encoder.document("Refunds take five days.", locale).indices)


def test_length_counts_what_words_would_be() -> None:
    assert words_in("two words") == 2
    assert words_in("返品できます") == 3
    assert words_in("PDFで見る now") == 4
