# Every target sets up what it needs, in .venv, on a machine with Python 3.11 and pip (or uv) and nothing else.

.DEFAULT_GOAL := help
.PHONY: help demo tour test trust bench clients worker check fmt requirements dashboards pictures clean

UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .uv/bin/uv)
PYTHON ?= >=3.11
TRUST ?= long
BENCH ?= long
WORKERS ?= 2
BIN := .venv/bin
CLIENTS := $(patsubst tests/clients/%.txt,.cache/clients/%/.installed,$(wildcard tests/clients/*.txt))
PEERS := .cache/peers/litellm/.installed .cache/peers/portkey/.installed

# The machine's own interpreters and certificates: uv would download the first and ignores a company's own authority.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.run ## a first image through the gateway, then go on serving (ONCE=1: stop there)
	@$(BIN)/imagegate demo $(if $(ONCE),--once)

tour: .venv/.dev ## two replicas, a worker and Prometheus under a mixed load, and what the dashboards show (TOUR=short, ARGS=--keep)
	@$(BIN)/python tests/tour.py $(if $(filter short,$(TOUR)),--short) $(ARGS)

test: .venv/.dev ## the tests, two files at a time (ARGS='tests/core -k money' for some of them, WORKERS=0 one by one)
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

trust: .venv/.dev ## the long proofs: crashes, disconnects, hostile input (TRUST=short for a taste)
	TRUST=$(TRUST) $(BIN)/pytest tests/trust $(ARGS)

bench: .venv/.dev $(PEERS) ## the measurements beside LiteLLM and Portkey, which it downloads (BENCH=short, ARGS='-k peers', PUBLISH=1)
	BENCH=$(BENCH) PUBLISH=$(PUBLISH) $(BIN)/pytest tests/bench -s -p report $(ARGS)

clients: .venv/.dev $(CLIENTS) .cache/clients/node/.installed ## the README's snippets, run by the clients they are for (downloads these)
	$(BIN)/pytest tests/clients $(ARGS)

worker: .cache/worker/.installed ## the tests of the engine that runs a model, on torch's CPU build (downloads it)
	.cache/worker/bin/pytest tests/worker -m torch $(ARGS)

check: .venv/.dev ## all that a change must pass: format, lint, floors, types, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile

fmt: .venv/.dev ## format, and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make requirements' $(if $(UPGRADE),--upgrade)

requirements: | $(UV) ## pin what pyproject.toml asks for (UPGRADE=1: at its newest)
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --group dev --constraint requirements.txt --output-file requirements-dev.txt
	$(COMPILE) pyproject.toml --extra worker --constraint requirements.txt --output-file requirements-worker.txt
	$(COMPILE) --group build --constraint requirements.txt --output-file deploy/requirements-build.txt

dashboards: .venv/.dev ## write the Grafana dashboards' JSON anew from deploy/grafana/boards
	@PYTHONPATH=deploy/grafana $(BIN)/python -m boards

pictures: .venv/.dev ## draw the dashboards for the README from a run of four minutes (wants prometheus and chromium)
	@PYTHONPATH=tests:tests/e2e $(BIN)/python -m preview

clean: ## remove the environment and the caches (never .imagegate: it may hold money and pictures)
	rm -rf .venv .uv build dist .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find gateway tests deploy -name __pycache__ -prune -exec rm -rf {} +

INSTALL = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python

# Adds and never removes, so that a demo leaves a developer's tools alone.
.venv/.run: requirements.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what imagegate runs on in .venv (only when it changed) ...'
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --editable .
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what the tests and checks need in .venv (only when it changed) ...'
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	@$(INSTALL) --no-deps --editable .
	@touch .venv/.run $@

# Only the client is pinned: what it brings along is what whoever installs it today gets.
.cache/clients/%/.installed: tests/clients/%.txt | $(BIN)/python
	@echo 'Installing $* in $(@D) ...'
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python -r $<
	@touch $@

# Compiled, as we are: the first start would be no fair one. What it brings along is what whoever installs it today gets.
.cache/peers/litellm/.installed: tests/bench/litellm.txt | $(BIN)/python
	@echo 'Installing LiteLLM, to measure beside it, in $(@D) ...'
	@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --compile-bytecode --python $(@D)/bin/python -r $<
	@touch $@

# By pip, which can be told of a folder or an index with the build for CPUs: the one for GPUs is several gigabytes.
.cache/worker/.installed: tests/worker/torch.txt requirements-dev.txt pyproject.toml | $(BIN)/python
	@echo 'Installing torch and diffusers in $(@D) ...'
	@$(UV) venv --quiet --clear --seed --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python --require-hashes -r requirements-dev.txt
	@$(@D)/bin/python -m pip install --quiet --no-compile -r tests/worker/torch.txt
	@$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --editable .
	@touch $@

# Without npm the tests skip what needs it.
.cache/clients/node/.installed: tests/clients/node/package.json tests/clients/node/package-lock.json
	@mkdir -p $(@D) && cp $^ $(@D)
	@if npm --version >/dev/null 2>&1; then cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund && touch .installed; fi

.cache/peers/portkey/.installed: tests/bench/portkey/package.json tests/bench/portkey/package-lock.json
	@mkdir -p $(@D) && cp $^ $(@D)
	@if npm --version >/dev/null 2>&1; then echo "Installing Portkey's gateway, to measure beside it, in $(@D) ..." && \
		cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch .installed; fi

$(BIN)/python: | $(UV)
	@rm -rf .venv
	@$(UV) venv --quiet --python '$(PYTHON)' .venv || { echo 'imagegate needs Python 3.11 or newer, and found none.' \
	'Debian 12 or Ubuntu 24.04: apt-get install python3. Elsewhere, name one: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; }

# Debian's pip refuses to install beside the system's packages, but not into a folder of our own.
# Any Python's pip will do: uv itself then finds one that is new enough.
.uv/bin/uv:
	@rm -rf .uv
	@export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1; \
	for python in python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$python -m pip --version >/dev/null 2>&1; then $$python -m pip install --quiet --target .uv uv; exit; fi; \
		if $$python -m venv .uv >/dev/null 2>&1; then .uv/bin/python -m pip install --quiet uv; exit; fi; \
	done; \
	rm -rf .uv; \
	echo 'imagegate sets itself up with uv, or with a Python that has pip, and found neither.' \
	'Debian or Ubuntu: apt-get install python3-pip' >&2; exit 1
