# Every step also works without make: the README has them as plain commands.

PYTHON ?= python3
RECIPE ?= fast
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run app test test-fast coverage torture fuzz audit bench bench-full bench-serving
.PHONY: bench-cluster pretrained notebook site screenshot lint format clean

help:  ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

run: $(VENV)/installed  ## Train on MNIST (RECIPE=fast), print the results, write runs/...
	$(BIN)/mnist-digits train $(RECIPE)

app: $(VENV)/installed-dev  ## Open the page to draw digits on
	$(BIN)/mnist-digits app

test: $(VENV)/installed-dev  ## Run all the tests, on all cores
	$(BIN)/python -m pytest -n auto --dist loadfile

test-fast: $(VENV)/installed-dev  ## Run the quick ones, on all cores: a minute on two
	$(BIN)/python -m pytest -n auto -m "not slow"

coverage: $(VENV)/installed-dev  ## Run them again, and tell which lines of src/ they do not reach
	$(BIN)/python -m pytest --cov=mnist_digits --cov-report=term-missing:skip-covered --cov-fail-under=95

torture: $(VENV)/installed-dev  ## Faults by the thousand (half an hour); writes benchmarks/RELIABILITY.md
	PYTHONPATH=tests/faults $(BIN)/python benchmarks/torture.py

fuzz: $(VENV)/installed-dev  ## Fuzz what reads pictures, checkpoints and their headers, half an hour each; on Linux
	$(BIN)/pip install --quiet atheris
	PYTHONPATH=tests/faults $(BIN)/python tests/faults/fuzz.py pictures -max_total_time=1800
	PYTHONPATH=tests/faults $(BIN)/python tests/faults/fuzz.py checkpoints -max_total_time=1800
	PYTHONPATH=tests/faults $(BIN)/python tests/faults/fuzz.py headers -max_total_time=1800

audit: $(VENV)/installed  ## Ask whether anything that is installed is known to be vulnerable
	$(BIN)/pip install --quiet pip-audit
	$(BIN)/pip-audit --skip-editable

bench: $(VENV)/installed  ## Measure against the published recipes (three hours); writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

bench-full: $(VENV)/installed  ## The same with the slow peers to their end: more than a day
	$(BIN)/python benchmarks/run.py --full

bench-serving: $(VENV)/installed-dev  ## Measure the page and the HTTP interface (half an hour)
	PYTHONPATH=tests $(BIN)/python benchmarks/serving.py

bench-cluster: $(VENV)/installed-dev  ## Measure many runs and pictures at once on this machine (a quarter of an hour)
	$(BIN)/python benchmarks/cluster.py

pretrained: $(VENV)/installed-dev  ## Train and export the model that the package ships, choose the samples of the page (half an hour with a GPU and 16 cores, else a day)
	$(BIN)/python scripts/pretrained.py
	$(BIN)/python scripts/page_samples.py

site: $(VENV)/installed-dev  ## Write the page that needs no server into site/ (npm brings the runtime)
	$(BIN)/python website/make_site.py

screenshot: $(VENV)/installed-dev  ## Take the picture of the page that the README shows
	PYTHONPATH=tests:tests/browser $(BIN)/python scripts/screenshot.py

notebook: $(VENV)/installed-dev  ## Execute MNIST.ipynb in place: its outputs are committed
	$(BIN)/python scripts/run_notebook.py

lint: $(VENV)/installed-dev  ## Check formatting, style, types, and what imports what
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

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
