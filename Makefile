# Two commands for everybody: `make demo` and `make test`. Each sets up what it needs in .venv first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo demo-zfs test test-zfs test-faults fuzz simulate check lint types docs bench bench-zfs wheel clean

help: ## Say what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runs: setup.py pyproject.toml scripts/setup
	@scripts/setup runs

$(VENV)/.tests: setup.py pyproject.toml scripts/setup
	@scripts/setup tests

demo: $(VENV)/.runs ## Move a writing application between two nodes, and check that nothing is lost
	@$(BIN)/python demo/demo.py $(ARGS)

demo-zfs: $(VENV)/.runs ## The same on a real ZFS kernel, in a guest where this machine has none
	@scripts/in-zfs $(BIN)/python demo/demo.py --backend zfs $(ARGS)

test: $(VENV)/.tests ## All tests; those on real ZFS too where it can be had
	@scripts/test

test-zfs: $(VENV)/.tests ## Tests on a real ZFS kernel; ARGS="-k resume" chooses
	@scripts/in-zfs $(BIN)/python -m pytest tests/zfs $(ARGS)

test-faults: $(VENV)/.tests ## Kill every program at every point of a move; CELL=POINT:VICTIMS for one
	@CELL="$(CELL)" BACKEND="$(BACKEND)" scripts/test-faults $(ARGS)

fuzz: $(VENV)/.tests ## Coverage-guided fuzzing, for as long as you like: ARGS="control-link --seconds 3600"
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --disable-pip-version-check -q -e '.[fuzz]'
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

SCHEDULES ?= 100000
FROM ?= 0
simulate: $(VENV)/.tests ## SCHEDULES=100000 simulated clusters under faults, from seed FROM=0 on
	@$(BIN)/python -m tests.simulation.run --schedules $(SCHEDULES) --from $(FROM) $(ARGS)

check: lint types docs ## Everything that looks at the code without running it

lint: $(VENV)/.tests ## ruff, import-linter, codespell
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/codespell

types: $(VENV)/.tests ## mypy --strict and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright

docs: $(VENV)/.tests ## The documentation, in docs/_build/html
	@$(BIN)/sphinx-build -q -n -W --keep-going docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.tests ## Benchmarks, each against a baseline in the same run
	@$(BIN)/python -m benchmarks $(ARGS)

bench-zfs: $(VENV)/.tests ## Those that need ZFS, on a real ZFS kernel
	@scripts/in-zfs $(BIN)/python -m benchmarks --zfs $(ARGS)

wheel: $(VENV)/.tests ## The distribution, in dist/
	@$(BIN)/python -m build --outdir dist .

clean: ## Remove what was made here (not the cache of the ZFS test kernel)
	rm -rf $(VENV) .tox build dist docs/_build *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
