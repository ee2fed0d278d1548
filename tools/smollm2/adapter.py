"""A release's folder of what `read` trained: weights in bfloat16, template, and manifest.

`python -m tools.smollm2.adapter TRAINED --base FOLDER --dataset FOLDER --out FOLDER`
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from models.data.rows import read_dataset
from models.manifest import (
    WEIGHTS,
    AdapterManifest,
    Base,
    Counts,
    DatasetRef,
    Metrics,
    file_sha256,
    weights_sha256,
    write_adapter,
)
from models.recipes import load_recipe
from models.tensors import Tensor, bfloat16, read_tensors, write_tensors

RECIPE = "smollm2-cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="brackwater-smollm2")
    args = parser.parse_args()
    dataset = read_dataset(args.dataset)
    trained = json.loads((args.trained / "manifest.json").read_text(encoding="utf-8"))
    base = json.loads((args.base / "manifest.json").read_text(encoding="utf-8"))
    args.out.mkdir(parents=True)
    weights = {
        name: Tensor("BF16", each.shape, memoryview(bfloat16(each.floats()).tobytes()))
        for name, each in read_tensors(args.trained / WEIGHTS)
    }
    write_tensors(args.out / WEIGHTS, weights)
    config = json.loads((args.trained / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base["name"]
    (args.out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copyfile(args.base / "chat_template.jinja", args.out / "chat_template.jinja")
    shutil.copyfile(args.trained / "manifest.json", args.out / "training.json")
    made = dataset.manifest
    write_adapter(
        args.out,
        AdapterManifest(
            name=args.name,
            created=time.time(),
            base=Base(
                name=base["name"],
                path=".twofold/bases/smollm2",
                sha256=weights_sha256(args.base),
            ),
            dataset=DatasetRef(path=args.dataset.name, sha256=dataset.sha256),
            profile=made.profile,
            prompt=made.prompt,
            house=made.house,
            fingerprint=made.fingerprint,
            recipe=load_recipe(RECIPE),
            seed=1,
            start=trained["start"],
            rows=Counts(train=len(dataset.rows["train"]), eval=len(dataset.rows["eval"])),
            tokens=trained["tokens"],
            steps=trained["step"],
            metrics=Metrics(train_loss=trained["loss"], eval_loss=None, completion_format=None),
            seconds=trained["seconds"],
            versions=trained["versions"],
            sha256=file_sha256(args.out / WEIGHTS),
        ),
    )
    print(args.out)


if __name__ == "__main__":
    main()
