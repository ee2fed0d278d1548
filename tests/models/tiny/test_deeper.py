"""A base that goes on with more layers begins as the one that it was."""

import json
import subprocess

from tests.models.training import train_python

_GROW = """
import json
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from tools.tiny.make import deeper
torch.manual_seed(1)
shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
small = LlamaForCausalLM(LlamaConfig(**shape, vocab_size=64, num_hidden_layers=2)).bfloat16()
large = deeper(small, 5)
ids = torch.randint(64, (3, 17))
with torch.no_grad():
    same = torch.equal(small(ids).logits, large(ids).logits)
large(ids).logits.float().square().mean().backward()
learns = [bool(layer.self_attn.o_proj.weight.grad.any()) for layer in large.model.layers]
print(json.dumps([same, large.config.num_hidden_layers, all(learns)]))
"""


def test_more_layers_say_the_same_and_learn() -> None:
    done = subprocess.run(
        [train_python(), "-c", _GROW], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True, 5, True]
