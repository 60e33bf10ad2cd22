# Every target sets up what it needs; a second run finds it done.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check
TORCH  ?= torch==2.13.0
PYTEST ?= $(BIN)/python -m pytest -q -n auto

# Numba's cache index watches a kernel's own file only, not the helpers it inlines, so
# the cache folder carries a hash of all kernel sources (tests/conftest.py and
# benchmarks/__init__.py compute the same).
KERNELS_HASH := $(shell find numopt -path '*_kernels*' -name '*.py' | LC_ALL=C sort | xargs -r cat | sha256sum | cut -c1-16)
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba-$(KERNELS_HASH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all test-torch test-gpu coverage lint format typecheck docs \
	bench bench-compare bench-table warmup wheels dist test-wheel minimum clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# .stamp-NAME: the extra NAME of pyproject.toml is installed, numopt itself editable
$(VENV)/.stamp-%: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[$*]' && touch $@

demo: $(VENV)/.stamp-demo ## transport the colours of a photograph; writes build/demo
	MPLBACKEND=Agg $(BIN)/python -m numopt demo --out build/demo

test: $(VENV)/.stamp-test ## the suite without the slow tests
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.stamp-test ## the whole suite
	$(PYTEST)

test-torch: $(VENV)/.stamp-test ## the suite with torch among the backends (TORCH=requirement)
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) '$(TORCH)'
	NUMOPT_TEST_BACKENDS=torch $(PYTEST) -m "not slow"

test-gpu: ## tests that need CuPy and a CUDA device, run in the current environment
	PYTHONPATH=.$${PYTHONPATH:+:$$PYTHONPATH} $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m pytest -q -m gpu

coverage: $(VENV)/.stamp-test ## line and branch coverage of the fast suite
	$(PIP) pytest-cov
	$(PYTEST) -m "not slow" --cov --cov-report=term-missing:skip-covered

lint: $(VENV)/.stamp-lint ## format, style and architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.stamp-lint ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.stamp-lint ## mypy
	$(BIN)/mypy

docs: $(VENV)/.stamp-docs ## doctests and the documentation, warnings are errors
	$(BIN)/python -m pytest -q --doctest-modules --doctest-ignore-import-errors numopt
	MPLBACKEND=Agg $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

ASV := $(BIN)/asv
bench: $(VENV)/.stamp-bench ## quick benchmarks in this environment (BENCH=regex)
	$(ASV) machine --yes
	$(ASV) run --python=same --quick --set-commit-hash $$(git rev-parse HEAD) $(if $(BENCH),-b '$(BENCH)')

BASE ?= main
bench-compare: $(VENV)/.stamp-bench ## interleaved comparison of HEAD with BASE; fails on a regression
	$(ASV) machine --yes
	$(ASV) continuous --factor 1.2 --interleave-rounds $(if $(BENCH),-b '$(BENCH)') $(BASE) HEAD

bench-table: $(VENV)/.stamp-bench ## measure the peer tables for the documentation (TABLE=options: a part)
	$(BIN)/python -m benchmarks.table --out docs/benchmarks $(TABLE)

warmup: $(BIN)/python ## compile all kernels into Numba's cache
	@test -e $(VENV)/.stamp-test || test -e $(VENV)/.stamp-demo || $(MAKE) $(VENV)/.stamp-demo
	$(BIN)/python -m numopt warmup

wheels: | $(BIN)/python ## collect pure-Python wheels for a GPU machine without an index
	$(BIN)/python -m pip download -q --no-deps -d .whl array-api-compat array-api-extra array-api-strict hypothesis sortedcontainers

dist: $(VENV)/.stamp-dist ## build sdist and wheel, and check the wheel in an empty environment
	rm -rf dist build/dist-venv
	$(BIN)/python -m build -o dist .
	$(PYTHON) -m venv build/dist-venv
	build/dist-venv/bin/python -m pip install -q dist/*.whl
	cd build && env -u PYTHONPATH -u NUMBA_CACHE_DIR dist-venv/bin/python -m numopt info
	rm -rf build/dist-venv

WHEEL := build/wheel
test-wheel: $(VENV)/.stamp-dist ## the suite on the installed wheel, away from the sources
	rm -rf $(WHEEL) && mkdir -p $(WHEEL)
	$(BIN)/python -m build -o $(WHEEL) --wheel .
	cp -r tests benchmarks docs README.md pyproject.toml $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)/venv
	cd $(WHEEL) && venv/bin/python -m pip install -q "$$(echo numopt-*.whl)[test]"
	cd $(WHEEL) && NUMBA_CACHE_DIR=$(NUMBA_CACHE_DIR)-wheel venv/bin/python -m pytest -q -n auto -m "not slow"

minimum: ## the suite at the oldest supported versions
	test -x .venv-minimum/bin/python || $(PYTHON) -m venv .venv-minimum
	.venv-minimum/bin/python -m pip install -q -e '.[test]' -c constraints/minimum.txt
	NUMBA_CACHE_DIR=$(NUMBA_CACHE_DIR)-minimum .venv-minimum/bin/python -m pytest -q -n auto -m "not slow"

clean: ## remove everything that is built; environments stay
	rm -rf build dist .asv .cache .whl .pytest_cache .hypothesis .mypy_cache .ruff_cache \
		.coverage* htmlcov docs/_build docs/auto_examples docs/api/generated docs/sg_execution_times.rst
	find numopt tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
