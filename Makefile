VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint slow clean

# Open the committed checkpoint in the terminal app; without a terminal, print the same facts.
demo: $(STAMP)
	$(BIN)/lipscope inspect $(firstword $(filter-out %.certified.safetensors %.part.safetensors,$(wildcard checkpoints/*.safetensors)))

# Everything that CI checks; ends with pytest's summary.
test: $(STAMP) lint
	$(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal

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
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
