# Each target installs what it needs into .venv first; `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
# else every stage compiles the Python files of torch again, which takes 5 s
unexport PYTHONDONTWRITEBYTECODE

# these tests start graphs and processes, and take as long as all others: `make test` runs both halves at once
GRAPHS := tests/test_toy.py tests/test_edits.py tests/test_dvc_day.py tests/test_paper_graph.py \
    tests/test_plots_page.py tests/runs tests/training/test_kills.py tests/training/test_processes.py \
    tests/clustering/test_processes.py tests/clustering/test_search.py tests/predict tests/test_hostile.py

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-graphs test-units check lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready  ## install pmnet and everything that it needs into .venv

.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv; }
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

repro: setup  ## run the whole graph, several stages at once
	pmnet repro

test: setup  ## run all tests
	$(MAKE) --jobs=2 test-graphs test-units

test-graphs: setup  ## run the tests that start graphs and processes
	python -m pytest $(GRAPHS)

test-units: setup  ## run all other tests
	python -m pytest $(GRAPHS:%=--ignore=%)

check: setup  ## check style and types
	ruff check .
	ruff format --check .
	mypy

lock: setup  ## pin all dependencies again, after a change in pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock \
	    --custom-compile-command "make lock"
