"""Training by hand-written passes is training: loss and gradients are those of the plain model."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.models.training import PATIENCE, environment, make_base, train_python

pytestmark = pytest.mark.heavy

_COMPARED = """
import json, sys, torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer
from tools.smollm2 import read
from tools.smollm2.fast import Fast

torch.manual_seed(0)
base = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(base)
model = get_peft_model(
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16),
    LoraConfig(r=4, lora_alpha=8, target_modules=list(read.LINEAR), layers_to_transform=[1]),
)
for name, weight in model.named_parameters():  # so that it matters who sees whom
    if "layers" in name and "lora" not in name and weight.dim() == 2:
        weight.data *= 8
tuned = {n: w for n, w in model.named_parameters() if w.requires_grad}
for weight in tuned.values():
    weight.data = torch.randn_like(weight.data.float()) * 0.1

def asked(question, reply):
    return {"messages": [{"role": "user", "content": question}], "reply": reply}

documents = " ".join(f"Plan {n} keeps logs for {n + 10} days." for n in range(40))
questions = [asked("How long does Plan 3 keep logs?", "ANSWER\\nFor 13 days. [1]"),
             asked("And Plan 5?", "ESCALATE"), asked("Hello?", "CLARIFY\\nWhich plan?")]
row = {"system": documents, "asked": questions}
fast, batch = Fast(model), read.encode(tokenizer, row)
batch = batch._replace(weights=(batch.labels != -100).float())  # all tokens alike
found = {"loss": fast.loss(batch, 1.0), "heads": [batch.head]}
fast.hand_over()
by_hand = {n: w.grad.clone() for n, w in tuned.items()}
model.zero_grad()
whole = 0.0
for question in questions:  # each for itself, as it is served
    alone = read.encode(tokenizer, row | {"asked": [question]})
    logits = model(input_ids=alone.ids).logits[0, :-1].float()
    loss = functional.cross_entropy(logits, alone.labels[1:], reduction="sum")
    loss.backward()
    whole += loss.item()
found["plain"] = whole
found["alike"] = min(
    functional.cosine_similarity(by_hand[n].flatten(), w.grad.flatten(), dim=0).item()
    for n, w in tuned.items()
)
found["sizes"] = [(by_hand[n].norm() / w.grad.norm()).item() for n, w in tuned.items()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = make_base(tmp_path_factory.mktemp("base") / "base")
    run = [train_python(), "-c", _COMPARED, str(base)]
    done = subprocess.run(
        run, env=environment(), check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_branches_that_share_their_documents_have_the_loss_of_plain_rows(
    found: dict[str, Any],
) -> None:
    assert found["loss"] == pytest.approx(found["plain"], rel=0.01)


def test_gradients_are_those_of_plain_rows(found: dict[str, Any]) -> None:
    assert found["alike"] > 0.98
    assert all(0.95 < size < 1.05 for size in found["sizes"])


def test_a_run_goes_on_from_where_it_was(tmp_path: Path) -> None:
    base, rows, out = make_base(tmp_path / "base"), tmp_path / "rows.jsonl", tmp_path / "run"
    asked = [{"messages": [{"role": "user", "content": "Who?"}], "reply": "CLARIFY\nWhich plan?"}]
    row = json.dumps({"system": "Plan 1 is free.", "asked": asked})
    rows.write_text(f"{row}\n" * 25)

    def read(tokens: int) -> dict[str, Any]:
        run = [
            *(train_python(), "-m", "tools.smollm2.read", str(rows), "--base", str(base)),
            *("--out", str(out), "--tokens", str(tokens), "--frozen", "1"),
        ]
        subprocess.run(run, env=environment(), check=True, capture_output=True, timeout=PATIENCE)
        kept: dict[str, Any] = json.loads((out / "last/manifest.json").read_text())
        return kept

    half, whole = read(1), read(100_000)
    assert half["step"] == 1
    assert whole["step"] == 12
    assert whole["loss"] < half["loss"]
