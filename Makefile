VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What pip would remark about itself and about who runs it is no news of this project.
export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests start many processes: each would compile all it imports where the user has Python write no bytecode.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint slow clean

# Open the model that comes with the program in the terminal app; without a terminal, print the same facts.
demo: $(STAMP)
	$(BIN)/lipscope demo

# Everything that CI checks; ends with pytest's summary. One more than the cores: tests wait for others too.
test: WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))')
test: $(STAMP) lint
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff format --check lipscope tests benchmarks
	$(BIN)/ruff check lipscope tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

# The long property tests.
slow: $(STAMP)
	$(BIN)/pytest -m slow

$(STAMP): pyproject.toml
	@echo 'installing into $(VENV): torch is large, this takes a few minutes once' >&2
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable '.[dev]' >&2
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
