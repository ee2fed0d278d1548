"""Writes the matcher that is packaged, and says how far 8 bits are from float.

    python -m tools.matcher.export RUN --pairs PAIRS_QA --doc2dial DOC2DIAL

`RUN` is the folder that `tools.matcher.train` wrote. Last is printed the hash that the code and
`requirements/model-assets.yaml` pin the file with.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from safetensors.numpy import save_file

from tools.matcher.examples import load_groups
from tools.matcher.train import Encoder, Texts
from tools.matcher.trunk import packaged
from twofold.clients import bert, matcher, minilm
from twofold.clients.graph import Array

OUT = Path(__file__).parents[2] / matcher.PACKAGE / matcher.FILE
TEXTS = 300
"""Pieces and questions that nothing is trained on."""
LICENCES = {
    "all-MiniLM-L6-v2 (what is tuned)": "Apache-2.0",
    "centers": "made up for this project (tools/matcher/help_centers)",
    "squad2_train": "CC BY-SA 4.0",
    "doc2dial": "CC BY 3.0",
    "docs": "CC BY 4.0 (Microsoft's documentation), MIT (SendGrid's), CC BY 3.0 (SinricPro's)",
    "dstc9_faq": "Apache-2.0",
    "medquad": "CC BY 4.0",
    "qed_dev": "CC BY-SA 3.0",
    "selqa": "Apache-2.0; Wikipedia's text CC BY-SA 3.0",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--doc2dial", type=Path, required=True)
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    checkpoint = torch.load(options.run / "checkpoint.pt", weights_only=True)
    encoder = Encoder(packaged())
    encoder.load_state_dict(checkpoint["average"])
    whole = {
        name: value.numpy()
        for name, value in encoder.trunk.state_dict().items()
        if not name.endswith("position_ids")
    }
    file = matcher.packed(whole)
    _, dev = load_groups(options.pairs, options.doc2dial)
    texts = [text for held in dev.values() for text in held.pool.texts[: TEXTS // len(dev)]]
    manifest = json.loads((options.run / "manifest.json").read_text())
    curve = [json.loads(line) for line in (options.run / "curve.jsonl").read_text().splitlines()]
    about = {
        "made_by": manifest.pop("made_by"),
        "purpose": "how near a piece of text comes to answering a question: a cosine",
        "licence": "Apache-2.0",
        "licences_of_data": LICENCES,
        "steps": checkpoint["step"],
        "seconds": checkpoint["seconds"],
        "training": manifest,
        "dev": curve[-1]["dev"],
        "dev_before": curve[0]["dev"],
        "parity": parity(encoder, whole | matcher.unpacked(file), texts),
    }
    OUT.parent.mkdir(exist_ok=True)
    save_file({name: np.ascontiguousarray(each) for name, each in file.items()}, OUT)
    about["sha256"] = hashlib.sha256(OUT.read_bytes()).hexdigest()
    OUT.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    print(json.dumps(about["parity"]), OUT.stat().st_size, "bytes")
    print(about["sha256"])


def parity(encoder: Encoder, built: Mapping[str, Array], texts: Sequence[str]) -> dict[str, Any]:
    """Cosines of each text's vectors, in float and in the graph."""
    with torch.no_grad():
        wanted = Texts().vectors(encoder, texts).numpy()
    model = bert.build(built, minilm.SIZES, unsigned=bert.signed_products_saturate())
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    tokenizer = minilm.tokenizer()
    tokenizer.enable_truncation(matcher.LONGEST)
    given = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], np.int32)
        given.append(session.run(None, {"ids": ids, "mask": np.ones_like(ids)})[0][0])
    cosines = (wanted * np.array(given)).sum(axis=1)
    return {
        "texts": len(texts),
        "least_cosine": round(float(cosines.min()), 4),
        "mean_cosine": round(float(cosines.mean()), 5),
    }


if __name__ == "__main__":
    main()
