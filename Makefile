# `make up` runs everything on this machine; the other targets are for those who change it.
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3),python3)
BIN := .venv/bin
SOURCES := libs services clients tests bench docs deploy
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

.DEFAULT_GOAL := up
.PHONY: up test check bench faults kills soak sabotage fmt docs lock compose-test clean embedded dev

up: embedded
	@exec $(BIN)/abbotik up --with-parent

# Two files at a time, since most tests wait for processes; servers that are given can serve only
# one. Faults come alone, afterwards: they look at how long every call takes.
TWO := $(if $(ABBOTIK_TEST_NATS_URL)$(ABBOTIK_TEST_MONGO_URL),,-n 2 --dist loadfile)
PYTEST := ABBOTIK_TEST_VENV="$(CURDIR)/.venv" $(BIN)/python -m pytest

test: dev
ifdef ARGS
	@$(PYTEST) $(ARGS)
else
	@$(PYTEST) $(TWO) --ignore=tests/faults
	@$(PYTEST) tests/faults
endif

check: dev
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --check --quiet $(SOURCES)
	@$(BIN)/mypy --no-error-summary $(SOURCES)
	@$(BIN)/lint-imports

bench: dev
	@$(BIN)/python bench/run.py $(ARGS)

# RUNS=3 runs each cell three times, ONLY=room-worker:kill just that one.
faults: dev
	@$(BIN)/python -m tests.faults.run --runs $(or $(RUNS),1) --only "$(ONLY)"

# MINUTES=3 is shorter.
soak: dev
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10)

# KILLS=1000 kills so many room workers, MINUTES=60 ends after that time in any case.
kills: dev
	@$(BIN)/python -m tests.faults.kills --kills $(or $(KILLS),100) --minutes $(or $(MINUTES),15)

# Each room worker without one of its fixes has to fail a test. About five minutes.
sabotage: dev
	@$(BIN)/python -m tests.faults.sabotage.run

fmt: dev
	@$(BIN)/ruff check --quiet --fix-only $(SOURCES)
	@$(BIN)/ruff format --quiet $(SOURCES)

docs: dev
	@$(BIN)/python docs/generate.py

# The smaller locks take their versions from the largest, so that one .venv fits all.
# UPGRADE=--upgrade takes the newest versions.
lock: dev
	@$(COMPILE) $(UPGRADE) --extra dev --output-file requirements-dev.lock pyproject.toml
	@$(COMPILE) --constraint requirements-dev.lock --extra embedded --output-file requirements-embedded.lock pyproject.toml
	@$(COMPILE) --constraint requirements-dev.lock --extra services --output-file requirements.lock pyproject.toml

compose-test: dev
	@tests/compose/run.sh

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find libs services clients tests bench docs -name __pycache__ -prune -exec rm -rf {} +

embedded:
	@libs/cli/install.sh $(PYTHON) requirements-embedded.lock

dev:
	@libs/cli/install.sh $(PYTHON) requirements-dev.lock requirements-embedded.lock
