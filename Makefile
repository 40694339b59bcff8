# Every step also works without make: the README has them as plain commands.

PYTHON ?= python3
RECIPE ?= fast
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test bench bench-full pretrained lint format clean

help:  ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: $(VENV)/installed  ## Train on MNIST (RECIPE=fast), print the results, write runs/... and example_prediction.png
	$(BIN)/mnist-digits train $(RECIPE) --example example_prediction.png

test: $(VENV)/installed-dev  ## Run all the tests
	$(BIN)/python -m pytest

bench: $(VENV)/installed  ## Measure against the published recipes (an hour or more); writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

bench-full: $(VENV)/installed  ## The same with the slow peers to their end: more than a day
	$(BIN)/python benchmarks/run.py --full

pretrained: $(VENV)/installed-dev  ## Train and export the model that the package ships
	$(BIN)/python -m mnist_digits.pretrained

lint: $(VENV)/installed-dev  ## Check formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed-dev  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the virtual environment and the caches; runs stay
	rm -rf $(VENV) .pytest_cache .hypothesis .mypy_cache .ruff_cache

# Installing again only when pyproject.toml has changed.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/installed
