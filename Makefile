# make quickstart   the whole loop on a small bundled policy, in minutes, with a report (make quickstart ARGS=--fast: one minute)
# make test         lint and all tests
# Both set everything up first: their own virtual environment in .venv, every dependency, bfcl-eval.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
BFCL := bfcl-eval==2026.3.23

# The whole official package in an environment of its own: what it answers is committed, so that no test needs it.
OFFICIAL_VENV := .venv-official
OFFICIAL_STAMP := $(OFFICIAL_VENV)/.complete
OFFICIAL_FIXTURES := tests/fixtures/official_bfcl

.PHONY: help setup quickstart test lint docs official-bfcl clean
help:
	@sed -n 's/^# //p' Makefile | head -3

setup: $(STAMP)

quickstart: $(STAMP)
	@$(BIN)/fission quickstart $(ARGS)

# Spinning OpenMP threads slow every other process down by an order of magnitude on a small machine: one each, and passive.
# Work is stolen: the slow tests come first and are many in a row, and one process must not be left alone with them.
test: lint
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n 2 --dist worksteal $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright
	@$(BIN)/lint-imports

docs: $(STAMP)
	@$(BIN)/python -c "from pathlib import Path; from fission_grpo.recipe.describe import render_reference; \
	  Path('docs/recipes.md').write_text(render_reference(), encoding='utf-8')"

# Records anew what the official package says, and fails if the committed fixtures say otherwise.
official-bfcl: $(OFFICIAL_STAMP)
	@PYTHONPATH=benchmarks PYTHONHASHSEED=0 $(OFFICIAL_VENV)/bin/python -m official_bfcl.record --check $(OFFICIAL_FIXTURES)

clean:
	rm -rf $(VENV) $(OFFICIAL_VENV)

# The first Python that really makes an environment: a name on the PATH may be a pyenv shim of a version that is not installed,
# and Debian ships Pythons without their venv module.
$(BIN)/python $(OFFICIAL_VENV)/bin/python:
	@for python in python3.11 python3.12 python3.13; do \
	  $$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  echo "Setting up $(@:/bin/python=) with $$($$python --version)"; \
	  $$python -m venv --clear $(@:/bin/python=) && exit 0; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 with its venv module was found: install one (Debian/Ubuntu: apt-get install python3.11-venv;" \
	  "Fedora: dnf install python3.11; macOS: brew install python@3.11), then run make again." >&2; \
	exit 1

# bfcl-eval is installed without its dependencies: they are 150 packages whose pins clash with ours, and none is needed here.
# `--group` is what pip 25.1 brought. The stamp is written last, so that an interrupted set-up is taken up again.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing torch, transformers, TRL and the rest into $(VENV) (about 1.5 GB; some minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[tau2]' --group dev \
	  | { grep --line-buffered -oE '[^ /]+\.whl(\.metadata)? \([0-9.]+ [MG]B\)|^Installing collected packages' || true; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps '$(BFCL)'
	@touch $@
	@echo "Set-up complete."

$(OFFICIAL_STAMP): benchmarks/official_bfcl/requirements.txt | $(OFFICIAL_VENV)/bin/python
	@echo "Installing the official BFCL package with all its dependencies into $(OFFICIAL_VENV) (about 6 GB, once)"
	@$(OFFICIAL_VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off -r $< \
	  | { grep --line-buffered -oE '[^ /]+\.whl(\.metadata)? \([0-9.]+ [MG]B\)|^Installing collected packages' || true; }
	@touch $@
