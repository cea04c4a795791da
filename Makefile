# `make run` does the main job, `make test` passes the tests, `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export DO_NOT_TRACK = 1
export DVC_NO_ANALYTICS = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export HF_HUB_OFFLINE = 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "installing into $(VENV): two to five minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: env
env: $(VENV)/.ready ## the environment alone

.PHONY: data
data: env ## the demo's two sources, and its first episode opened
	@$(BIN)/python -m onward.demo
	@$(BIN)/onward episode open encyclopedia .onward/demo/encyclopedia.jsonl

.PHONY: run
run: data ## learn the demo's two episodes, one after the other; then the matrix, and an answer
	@test -d data/0002-science || $(BIN)/onward run
	@$(BIN)/onward episode open science .onward/demo/science.jsonl
	@$(BIN)/onward run
	@$(BIN)/onward matrix
	@$(BIN)/onward ask --demo

.PHONY: test
test: env ## the default tests
	@$(BIN)/python -m pytest

.PHONY: test-slow
test-slow: env ## the tests that train real models
	@$(BIN)/python -m pytest -m slow

.PHONY: lint
lint: env ## ruff: style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

.PHONY: types
types: env ## mypy, strict on onward/
	@$(BIN)/mypy

.PHONY: bench
bench: env ## every benchmark, appended to benchmarks/results.jsonl (a day or more)
	@missed=0; for script in nothing_to_do flow_overhead qa_quality gate_cost gate_errors \
		episode_cost banking77_episodes qa_episodes tunings adapters_served quality recipes \
		recipes_chat recipes_choice recipes_chinese attention shared_cores allocation; do \
		$(BIN)/python -m benchmarks.$$script --record || missed=1; done; exit $$missed

.PHONY: stop
stop: ## stop the local Prefect server
	@test ! -x $(BIN)/onward || $(BIN)/onward server stop

.PHONY: lock
lock: ## renew constraints.txt from a fresh install of pyproject.toml
	@rm -rf .onward/lock && $(PYTHON) -m venv .onward/lock
	@.onward/lock/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@{ echo "# Names and versions of all that is installed. Renewed by: make lock"; \
	   .onward/lock/bin/python -m pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools \
	   | sed -E 's/\+[a-z0-9.]+$$//' | LC_ALL=C sort -f; } > constraints.txt
	@rm -rf .onward/lock

.PHONY: clean
clean: stop ## what can be made or fetched again, and the server's history
	@rm -rf .onward turn report $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
