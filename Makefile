# `make help` lists the targets.
VENV        ?= .venv
PYTHON      ?= python3
CONSTRAINTS ?= -c constraints.txt
BIN         := $(VENV)/bin
OUT         ?= outputs

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format types mutants mutants-some bench chaos clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## a virtual environment with everything in it (CONSTRAINTS= for the newest torch, with CUDA)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "ticketsearch needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); torch alone is several hundred megabytes, so this can take minutes"
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

demo: install  ## LTH and random pruning of ResNet-20 on the embedded digits, 21 rounds each, and the figure
	@mkdir -p $(OUT)
	@echo "random pruning runs beside LTH; its progress is in $(OUT)/random.log"
	@$(BIN)/ticketsearch run pruner=random model=resnet20 out=$(OUT) > $(OUT)/random.log 2>&1 & random=$$!; \
	  $(BIN)/ticketsearch run pruner=lth model=resnet20 out=$(OUT) || { kill $$random 2> /dev/null; exit 1; }; \
	  echo "waiting for random pruning"; wait $$random || { cat $(OUT)/random.log; exit 1; }
	@$(BIN)/ticketsearch plot out=$(OUT) floor=0.9

test: install  ## the tests: minutes
	$(BIN)/python -m pytest -m 'not slow' -n 2

test-slow: install  ## the tests that take longer
	$(BIN)/python -m pytest -m slow -n 2

lint: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## put the code in its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: install  ## kill a search and damage its files at random, for 5 minutes; nothing may come out differently
	$(BIN)/python scripts/chaos.py --seconds 300

mutants: install  ## break the code line by line; a test must notice each time
	$(BIN)/python scripts/mutants.py

mutants-some: install  ## an eighth of the mutants, another one with each commit
	$(BIN)/python scripts/mutants.py --eighth $$(git rev-list --count HEAD)

bench: install  ## every case beside its goal, and a table: python -m benchmarks --help
	$(BIN)/python -m benchmarks

clean:  ## remove caches (never outputs)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -not -path './$(VENV)/*' -exec rm -rf {} +
