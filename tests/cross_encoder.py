"""A cross-encoder that can be built in a test: its logit counts the words that both texts share."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def write_cross_encoder(
    folder: Path, words: str, *, classes: int = 1, segments: bool = True
) -> Path:
    """`words` is its vocabulary. With two classes the first says "not relevant"; without segments
    it takes no `token_type_ids`, and its logit is the number of its tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = dict.fromkeys([*SPECIAL, *words.lower().split()])
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, "[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]
    steps = _shared_words() if segments else [
        helper.make_node("Cast", ["attention_mask"], ["held"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["held", "second"], ["logit"], keepdims=1),
    ]  # fmt: skip
    if classes == 2:
        steps += [
            helper.make_node("Neg", ["logit"], ["no"]),
            helper.make_node("Concat", ["no", "logit"], ["logits"], axis=1),
        ]
    else:
        steps.append(helper.make_node("Identity", ["logit"], ["logits"]))
    graph = helper.make_graph(
        steps,
        "shared-words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [
            helper.make_tensor("first", TensorProto.INT64, [1], [1]),
            helper.make_tensor("second", TensorProto.INT64, [1], [1]),
            helper.make_tensor("third", TensorProto.INT64, [1], [2]),
            helper.make_tensor("last special", TensorProto.INT64, [1], [len(SPECIAL) - 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def _shared_words() -> list[onnx.NodeProto]:
    def node(op: str, takes: list[str], gives: str, **more: int) -> onnx.NodeProto:
        return helper.make_node(op, takes, [gives], **more)

    return [
        node("Cast", ["token_type_ids"], "in text", to=TensorProto.FLOAT),
        node("Cast", ["attention_mask"], "held", to=TensorProto.FLOAT),
        node("Sub", ["held", "in text"], "in query"),
        node("Greater", ["input_ids", "last special"], "is word"),
        node("Cast", ["is word"], "word", to=TensorProto.FLOAT),
        node("Mul", ["in query", "word"], "asked"),
        node("Mul", ["in text", "word"], "said"),
        node("Unsqueeze", ["input_ids", "third"], "down"),
        node("Unsqueeze", ["input_ids", "first"], "across"),
        node("Equal", ["down", "across"], "equal"),
        node("Cast", ["equal"], "same", to=TensorProto.FLOAT),
        node("Unsqueeze", ["asked", "third"], "asked down"),
        node("MatMul", ["same", "asked down"], "hits down"),
        node("Squeeze", ["hits down", "third"], "hits"),
        node("Mul", ["hits", "said"], "shared"),
        node("ReduceSum", ["shared", "second"], "logit", keepdims=1),
    ]
