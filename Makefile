# Everything a developer does. `make serve` on a fresh machine needs Python 3.11 or newer and
# a package index; the rest is installed into .venv by scripts/setup.

PYTHON := .venv/bin/python
ARGS ?=

# A test file stays on one worker, so that what it starts (servers, an engine) starts once.
PARALLEL ?= -n auto --dist loadfile

.DEFAULT_GOAL := help

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
check: export SOAK_MINUTES ?= 5
check: setup  ## formatting, lint, types, layers, then the tests (docs among them)
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@exec $(PYTHON) -m pytest $(PARALLEL) $(ARGS)

.PHONY: live
live: setup  ## check a real chat server; UPSTREAM=URL [KEY=...] [MODEL=...]; costs a few hundred tokens
	@DEEPSEEK_MESSAGES_LIVE_KEY='$(KEY)' exec $(PYTHON) -m tests.live.checks '$(UPSTREAM)' --model '$(MODEL)'

.PHONY: bench
bench: setup  ## measure beside nginx passing bytes through, as ratios; minutes
	@exec $(PYTHON) -m bench $(ARGS)

.PHONY: bench-peers
bench-peers: setup  ## measure other servers of the Messages API beside ours and nginx; installs them
	@exec $(PYTHON) -m bench.peers $(ARGS)

.PHONY: flame
flame: setup  ## profile the server under load: where its time goes
	@exec $(PYTHON) -m bench.flame $(ARGS)

.PHONY: cache-rate
cache-rate: setup  ## print how much of a coding session's prompt stays cached
	@exec $(PYTHON) -m bench.cache_rate

.PHONY: soak
soak: setup  ## mixed load with faults; MINUTES=60
	@exec $(PYTHON) -m bench.soak $(or $(MINUTES),60) $(ARGS)

.PHONY: faults
faults: setup  ## measure how fast the server lets go, refuses and stops
	@exec $(PYTHON) -m bench.faults $(ARGS)

# Hours; the suite runs the same tests on fewer examples.
.PHONY: fuzz
fuzz: setup  ## 20,000 requests from the schema, 500,000 damaged streams, 100,000 examples a property
	@FUZZ_STREAMS=500000 HYPOTHESIS_PROFILE=fuzz $(PYTHON) -m pytest -n auto tests/property $(ARGS)
	@FUZZ_REQUESTS=20000 exec $(PYTHON) -m pytest $(PARALLEL) tests/security/test_openapi*.py $(ARGS)

# Forty minutes on two cores; ARGS="usage stream" for some modules, "--every 10" for a sample,
# "--survivors" or "--show usage.17" to see changes, "--help" for the rest.
.PHONY: mutants
mutants: setup  ## change the translation in thousands of small ways; 90 % must break a test
	@exec $(PYTHON) -m tests.mutation $(ARGS)

.PHONY: audit
audit: setup  ## what the wheel holds, and known vulnerabilities of locked dependencies
	@exec $(PYTHON) scripts/audit.py $(ARGS)

.PHONY: docs
docs: setup  ## write the generated reference pages anew
	@$(PYTHON) scripts/docs.py

.PHONY: lock
lock: setup  ## resolve pyproject.toml anew into requirements.lock
	@sh scripts/lock
