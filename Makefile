# make repro: the whole graph; make test: the tests; make check: style and types. Each sets itself up.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
# else every stage compiles torch anew: 5 s each
unexport PYTHONDONTWRITEBYTECODE

# tests that run whole graphs take as long as all others: both at once
GRAPHS := tests/test_toy.py tests/test_paper_graph.py tests/test_plots_page.py

.PHONY: repro test test-graphs test-units check setup lock

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv; }
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

repro: setup
	pmnet repro

test: setup
	$(MAKE) --jobs=2 test-graphs test-units

test-graphs:
	python -m pytest $(GRAPHS)

test-units:
	python -m pytest $(GRAPHS:%=--ignore=%)

check: setup
	ruff check .
	ruff format --check .
	mypy

# after a change of the dependencies in pyproject.toml
lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock \
	    --custom-compile-command "make lock"
