# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Stages and tests run `python` and `dvc`: the environment's own come first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export NO_ALBUMENTATIONS_UPDATE := 1
REV ?= main
SPACE ?= recipes/spaces/default.yaml
TRIALS ?= 30

.DEFAULT_GOAL := help
.PHONY: help repro folds-parallel tune compare test test-slow lint format requirements clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# uv installs the requirements in seconds from its cache; pip is needed only to get uv. Compiling
# them takes half a minute once, and spares every process that imports torch and Lightning ten.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; run make PYTHON=python3.12, say" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	@echo "installing requirements.txt into $(VENV): once, a few minutes at the most, about 7 GB"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
		--requirement requirements.txt
	touch $@

repro: $(READY) ## run the pipeline of params.yaml (all that is out of date)
	@python -m foldwise doctor --quiet
	dvc repro

folds-parallel: $(READY) ## train and predict all folds, JOBS=n at once (one GPU each)
	python -m foldwise folds-parallel $(JOBS)

tune: $(READY) ## search for better params: SPACE=file TRIALS=n JOBS=n
	python -m foldwise tune $(SPACE) --trials $(TRIALS) $(if $(JOBS),--jobs $(JOBS))

compare: $(READY) ## is the workspace's run better than REV's, beyond noise? (REV=main)
	python -m foldwise compare $(REV) $(WITH)

# Slow tests wait for processes of their own: then one more runs than there are cores.
PYTEST = pytest --dist worksteal --numprocesses
CORES = $(PYTHON) -c 'import os; print(min(4, os.cpu_count() + $(1)))'

test: $(READY) ## run the tests but for the slow ones
	$(PYTEST) $$($(call CORES,0)) -m "not slow"

test-slow: $(READY) ## run the slow tests: killed runs, browsers, clusters
	$(PYTEST) $$($(call CORES,1)) -m slow

lint: $(READY) ## check style and types
	ruff check .
	ruff format --check .
	mypy stages foldwise tests benchmarks

format: $(READY) ## mend what ruff can mend
	ruff check --fix .
	ruff format .

requirements: $(READY) ## pin requirements.in anew in requirements.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url \
		--no-header --output-file requirements.txt requirements.in

clean: ## delete checkpoints of interrupted trainings, kept features and tools' caches
	rm -rf .checkpoints .features .trials .mypy_cache .pytest_cache .ruff_cache .hypothesis
