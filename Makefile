# Everything here needs only make and Python 3.11 or newer: make run PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
BOOTSTRAP := $(PYTHON) infrastructure/local/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help run install test check format bench faults lock jars-lock clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

run: ## install, start everything on this machine, and serve it on PORT (8000) until Ctrl-C
	@exec $(BOOTSTRAP) run

install: ## make .venv and fetch what it needs; quick when nothing has changed
	@$(BOOTSTRAP) install

test: check ## check, then every other test, on real engines and in a real browser
	$(BIN)/python -m tests.browser
	$(BIN)/pytest tests --ignore tests/unit --ignore tests/bench --ignore tests/faults
	$(BIN)/pytest tests/faults

check: install ## format, lint, types, import contracts, unit tests; fast
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pylint --jobs 0 api consumers infrastructure schemas
	$(BIN)/pytest tests/unit

format: install ## write the code the way `make check` wants it
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: install ## side-by-side benchmarks; figures go to files
	$(BIN)/python -m tests.bench

faults: install ## 6,000 events while workers die by kill -9; prints what was lost, doubled, unknown
	$(BIN)/python -m tests.faults $(FAULTS)

LOCK := $(BIN)/uv pip compile --generate-hashes --no-annotate --universal --python-version 3.11 pyproject.toml

lock: install ## renew requirements.txt and requirements-dev.txt from pyproject.toml
	$(LOCK) -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt -o requirements-dev.txt

jars-lock: install ## renew jars.lock from pom.xml (needs Maven)
	$(BIN)/python -m infrastructure.local.jars_lock

clean: ## remove .venv, caches and all data of `make run`
	rm -rf .venv .local build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
