# `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PORT_BASE ?= 8100
DATA_DIR ?= var
KILLS ?= 200
KAFKA ?= embedded
PYTEST_ARGS ?= -q -n 2 --dist loadfile
BIN := .venv/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
SYNC := $(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python
EDITABLE := $(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .

.PHONY: help
help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  %-16s %s\n", $$1, $$2}'

.venv/bin/uv: requirements/bootstrap.lock
	@test -n "$(PYTHON)" || { echo "Readmit needs Python 3.11 or newer; set PYTHON=/path/to/python3." >&2; exit 2; }
	$(PYTHON) -m venv .venv || { echo "Python's venv module is missing (Debian: apt install python3-venv)." >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	@touch $@

.venv/.runtime: .venv/bin/uv requirements/runtime.lock pyproject.toml
	@rm -f .venv/.dev
	$(SYNC) requirements/runtime.lock requirements/bootstrap.lock
	$(EDITABLE)
	@touch $@

.venv/.dev: .venv/bin/uv requirements/dev.lock pyproject.toml
	$(SYNC) requirements/dev.lock requirements/bootstrap.lock
	$(EDITABLE)
	@touch .venv/.runtime $@

.PHONY: install
install: ## Builds the environment in .venv/; the command is .venv/bin/readmit
	@if [ ! -e .venv/.dev ] || [ requirements/dev.lock -nt .venv/.dev ] || [ pyproject.toml -nt .venv/.dev ]; then \
		$(MAKE) --no-print-directory .venv/.runtime; fi

.PHONY: demo
demo: install ## Brings everything up with a seeded organisation, a demo identity platform and a mailbox
	$(BIN)/readmit up --demo --port-base $(PORT_BASE) --data-dir $(DATA_DIR)

.PHONY: test
test: .venv/.dev ## Runs the test suite on a PostgreSQL and a Kafka-protocol broker that it starts itself
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not faults and not browser"

.PHONY: test-apache
test-apache: .venv/.dev ## The same on Apache Kafka, which it fetches (needs a JDK of version 17 or newer, and Maven)
	READMIT_TEST_KAFKA=apache $(BIN)/python -m pytest $(PYTEST_ARGS) -m "not faults and not browser"

.PHONY: test-browser
test-browser: .venv/.dev ## The pages in a real Chromium (apt install chromium): the story, axe-core, the keyboard alone
	$(BIN)/python -m pytest -q -m browser

.PHONY: test-faults
test-faults: .venv/.dev ## Stops, kills and floods whole stacks, in minutes each: what CI runs beside `make test`
	$(BIN)/python -m pytest -q tests/faults/test_soak.py  # by itself: an idle stack of another test takes half a core
	$(BIN)/python -m pytest -q -m "faults and not exhaustive" --ignore tests/faults/test_soak.py

.PHONY: test-failpoints
test-failpoints: .venv/.dev ## Kills a service once at each of its failpoints, and looks for what was lost or done twice
	$(BIN)/python -m pytest -q tests/faults/test_failpoints.py

.PHONY: test-malformed
test-malformed: .venv/.dev ## Ten thousand malformed records among a hundred thousand valid ones; a thousand are in `make test-faults`
	READMIT_TEST_MALFORMED=10000 $(BIN)/python -m pytest -q -s tests/faults/test_malformed.py

.PHONY: soak
soak: .venv/.dev ## Kills processes under load, KILLS=200 of them by SEED, with KAFKA=embedded or apache; then the ledger list
	$(BIN)/python -m tests.faults --kills $(KILLS) $(if $(SEED),--seed $(SEED)) --kafka $(KAFKA)

.PHONY: lint
lint: .venv/.dev ## Style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: .venv/.dev ## Formats the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: .venv/.dev ## Prints the figures of DESIGN section 8 that exist so far and writes bench.json
	$(BIN)/python -m tests.bench

.PHONY: lock
lock: .venv/bin/uv ## Pins the dependencies again, with hashes
	$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.lock
	$(LOCK) --extra local --group build pyproject.toml -o requirements/runtime.lock
	$(LOCK) -c requirements/runtime.lock pyproject.toml -o requirements/image.lock
	$(LOCK) --extra demo -c requirements/runtime.lock pyproject.toml -o requirements/image-demo.lock
	$(LOCK) --group build -c requirements/runtime.lock -o requirements/image-build.lock
	$(LOCK) --extra local --group build --group dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock

.PHONY: clean
clean: ## Removes the environment and the demo's data
	rm -rf .venv var
