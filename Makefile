# Everything a developer does. `make serve` on a fresh machine needs Python 3.11 or newer and
# a package index; the rest is installed into .venv by scripts/setup.

PYTHON := .venv/bin/python
ARGS ?=

# A test file stays on one worker, so that what it starts (servers, an engine) starts once.
PARALLEL ?= -n auto --dist loadfile

.DEFAULT_GOAL := help

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## make .venv as the lock file says (quick when it is up to date)
	@sh scripts/setup

.PHONY: serve
serve: setup  ## serve the Messages API; ARGS="--upstream deepseek --port 9000"
	@exec .venv/bin/deepseek-messages serve $(ARGS)

.PHONY: test
test: setup  ## run the tests; ARGS="tests/unit -k stream"
	@exec $(PYTHON) -m pytest $(PARALLEL) $(ARGS)

.PHONY: check
check: setup  ## formatting, lint, types, layers, then the tests (docs among them)
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@exec $(PYTHON) -m pytest $(PARALLEL) $(ARGS)

.PHONY: bench
bench: setup  ## measure CPU time beside nginx passing through, as ratios
	@exec $(PYTHON) -m bench $(ARGS)

.PHONY: docs
docs: setup  ## write the generated reference pages anew
	@$(PYTHON) scripts/docs.py

.PHONY: lock
lock: setup  ## resolve pyproject.toml anew into requirements.lock
	@sh scripts/lock
