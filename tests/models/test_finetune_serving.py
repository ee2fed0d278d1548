"""The tokens that are trained on against those that a real vLLM makes of the same messages."""

import json
import subprocess
from pathlib import Path

import httpx

from models.data.rows import read_dataset
from models.serve.args import ServeArgs
from tests.models.training import PATIENCE, environment, make_base, make_dataset, train_python
from tests.vllm_server import VllmServer
from twofold.house_file import load_house

EXAMPLE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"

_PROMPTS = """
import json, sys
from pathlib import Path
from models.data.rows import read_dataset
from models.training.base import find_base, load_tokenizer
from models.training.rows import prompt_ids
tokenizer = load_tokenizer(find_base(sys.argv[1]))
rows = read_dataset(Path(sys.argv[2])).rows["eval"]
print(json.dumps([prompt_ids(tokenizer, row) for row in rows]))
"""


def test_a_prompt_in_training_is_the_prompt_in_serving(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    dataset = make_dataset(tmp_path / "data", load_house(EXAMPLE))
    trained = subprocess.run(
        [train_python(), "-c", _PROMPTS, str(base), str(dataset)],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    served = []
    with VllmServer(tmp_path) as vllm:
        argv = ("--host", "127.0.0.1", "--port", str(vllm.port), "--served-model-name", "base")
        template = ("--chat-template", str(base / "chat_template.jinja"))
        vllm.start(ServeArgs(str(base), (*argv, *template), {}, {}, {}))
        for row in read_dataset(dataset).rows["eval"]:
            asked = {"model": "base", "messages": [said.model_dump() for said in row.messages]}
            answer = httpx.post(f"{vllm.url}/tokenize", json=asked, timeout=60)
            served.append(answer.raise_for_status().json()["tokens"])
    assert json.loads(trained.stdout) == served
