"""A Llama-shaped model that always says the same sentence, and LoRA adapters for it.

    VLLM_PYTHON tests/tiny_model.py FOLDER --sentence "Sources say so. [1]" --adapters 3

Run by the Python that vLLM is installed in. Nothing is trained: attention and MLP add nothing, and
the head answers each token with the one that follows it in the sentence, over and over. The first
adapter changes nothing, as a fresh one does; each other one turns it all into its own nonsense.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CERTAIN = 30.0
"""How far the head puts the token that follows above all others."""
MURMUR = 4.0
"""How loud all other tokens are. Less than what is certain, and more than what comes of the
sentence's own tokens where nothing is: nonsense in its words would pass for a quote of it."""
HIDDEN = 128
HEADS = 4
LAYERS = 2
RANK = 8
MODULES = ("q_proj", "v_proj", "o_proj")
POSITIONS = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentence", required=True, help="no word of it twice")
    parser.add_argument("--adapters", type=int, default=0)
    parser.add_argument("--text", type=Path, help="text files below it shape the vocabulary")
    args = parser.parse_args()
    reply = f"ANSWER\n{args.sentence} {args.sentence}"
    make_base(args.folder / "base", reply, args.text)
    for number in range(1, args.adapters + 1):
        make_adapter(args.folder / f"adapter-{number}", seed=number, harmless=number == 1)


def make_base(folder: Path, reply: str, text: Path | None) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pages = [path.read_text() for path in sorted(text.rglob("*.md"))] if text else []
    # Said often enough, each of its words becomes one token.
    tokenizer.train_from_iterator([reply] * 10_000 + pages, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>"
    )
    fast.chat_template = TEMPLATE
    fast.model_max_length = POSITIONS
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        pad_token_id=fast.pad_token_id,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedded = torch.nn.functional.normalize(torch.randn(len(fast), HIDDEN), dim=-1)
        model.model.embed_tokens.weight.copy_(embedded)
        model.lm_head.weight.normal_(0, MURMUR / HIDDEN**0.5)
        for token, following in chain(fast, reply).items():
            model.lm_head.weight[following] += CERTAIN / HIDDEN**0.5 * embedded[token]
    model.to(torch.bfloat16).save_pretrained(folder)


def chain(tokenizer: PreTrainedTokenizerFast, reply: str) -> dict[int, int]:
    """Each token of the reply -> the one that follows it; after the sentence, it comes again."""
    ids = tokenizer.encode(reply, add_special_tokens=False)
    follows = dict(zip([tokenizer.convert_tokens_to_ids("<|assistant|>"), *ids], ids, strict=False))
    said = [follows[ids[0]]]
    while len(said) < len(ids) - 1:
        said.append(follows[said[-1]])
    assert said == ids[1:], "a token of the reply is followed by two different ones"
    return follows


def make_adapter(folder: Path, seed: int, harmless: bool) -> None:
    """As PEFT writes one."""
    folder.mkdir(parents=True)
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for module in MODULES:
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            weights[f"{name}.lora_A.weight"] = torch.randn((RANK, HIDDEN), generator=random)
            outward = torch.randn((HIDDEN, RANK), generator=random)
            weights[f"{name}.lora_B.weight"] = outward * (not harmless)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": RANK,
        "lora_alpha": RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(MODULES),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main()
