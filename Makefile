# `make` alone lists what there is. The first run of any target sets up .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test lint bench equal-code
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version}"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

setup: .venv/ready ## make the virtual environment and install everything in it

demo: .venv/ready ## the main job on synthetic clips: plan, run, board, promote
	$(BIN)/sweep demo

test: .venv/ready ## every test
	$(BIN)/pytest

lint: .venv/ready ## formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/ready ## the benchmarks: the model, the data path, the board; versions.py beside them wants an older checkout
	for file in $(filter-out %/versions.py,$(wildcard tests/benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done

equal-code: .venv/ready ## after a change of code that changes no result: proves it, and keeps that results stay valid
	$(BIN)/python tests/equal_code/compare.py --before $(or $(BEFORE),HEAD)
