"""Writes the reader that is packaged, and says how far 8 bits are from float.

    python -m tools.reader.export RUN

`RUN` is the folder that `tools.reader.train` wrote. Last is printed the hash that the code and
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
from twofold.clients import bert, matcher, minilm, reader
from twofold.clients.graph import Array
from twofold.clients.runtime import padded

OUT = Path(__file__).parents[2] / reader.PACKAGE / reader.FILE
BEGAN_WITH = "all-MiniLM-L6-v2 (what is tuned)"
COUNT = 300
"""Questions that nothing is trained on."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    checkpoint = torch.load(options.run / "checkpoint.pt", weights_only=True)
    made = Reader()
    made.load_state_dict(checkpoint["average"])
    whole = {
        name.removeprefix("trunk."): value.numpy()
        for name, value in made.state_dict().items()
        if not name.endswith("position_ids")
    }
    file = matcher.packed(whole)
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
            for name, licence in (LICENCES | {"covid_qa": "Apache-2.0"}).items()
            if name in SHARES or name in ("centers", BEGAN_WITH)
        },
        "questions": checkpoint["questions"],
        "training": manifest,
        "dev": curve[-1]["dev"],
        "parity": parity(made, whole | matcher.unpacked(file)),
        "sha256": hashlib.sha256(OUT.read_bytes()).hexdigest(),
    }
    OUT.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    print(json.dumps(about["parity"]), OUT.stat().st_size, "bytes")
    print(about["sha256"])


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
    model = bert.build_of_pairs(built, minilm.SIZES, unsigned=bert.signed_products_saturate())
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = []
    for pair in pairs:
        row, first = texts.joined(*pair)
        ids, mask = padded([row], minilm.PAD)
        second = mask.copy()
        second[0, :first] = 0
        inputs = {"ids": ids, "mask": mask, "second": second}
        given.append(float(session.run(None, inputs)[0][0, 0]))
    apart = np.abs(wanted - np.array(given))
    return {
        "pairs": len(pairs),
        "correlation": round(float(np.corrcoef(wanted, given)[0, 1]), 5),
        "mean_difference": round(float(apart.mean()), 4),
        "other_side_of_zero": int(((wanted > 0) != (np.array(given) > 0)).sum()),
    }


if __name__ == "__main__":
    main()
