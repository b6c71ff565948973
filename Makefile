# `make help` lists the targets. Nothing outside this directory is touched: Python packages go into .venv.

# The Python that .venv is made with: make PYTHON=python3.12 run
PYTHON ?= python3
# Passed to `fastrouter demo` and to pytest: make run ARGS='--listen 127.0.0.1:9000', make test ARGS='-k routes'
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CYTHON_SOURCES := $(wildcard src/fastrouter/*.pyx src/fastrouter/*.pxd src/fastrouter/core/*.pxi)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint build bench profile clean always

help: ## List the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-9s %s\n", $$1, $$2 }'

run: $(VENV)/demo.stamp $(VENV)/core.stamp ## Install what is needed and serve the demo until Ctrl-C
	@exec $(BIN)/fastrouter demo $(ARGS)

test: $(VENV)/dev.stamp $(VENV)/core.stamp ## Run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/dev.stamp $(VENV)/core.stamp ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	@# It looks for pycodestyle in PATH.
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $(CYTHON_SOURCES)

build: $(VENV)/tools.stamp $(VENV)/core.stamp ## Compile the data plane, fastrouter._core

bench: $(VENV)/bench.stamp $(VENV)/core.stamp ## Measure: micro benchmarks, then CPU per request beside nginx and HAProxy
	$(BIN)/python -m pytest benchmarks/micro --benchmark-enable --benchmark-only $(ARGS)
	$(BIN)/python -m benchmarks.load.compare --workloads W1,W2

# Idle processes count for nothing, so the graph is that of the worker under load.
profile: $(VENV)/bench.stamp ## Record a flame graph of a worker under load, with native frames, as build/profile.svg
	$(MAKE) build FASTROUTER_PROFILE=1
	$(BIN)/py-spy record --native --subprocesses --rate 500 --output build/profile.svg -- \
		$(BIN)/python -m benchmarks.load.compare --proxies fastrouter --workloads W1 --rounds 1 --seconds 20

clean: ## Remove .venv and everything else that was built
	rm -rf $(VENV) build dist src/*.egg-info src/fastrouter/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A stamp is touched when its step has succeeded; make repeats the step when a file after the colon is newer.

# Upgraded, because a venv may come with a setuptools that is too old.
$(VENV)/tools.stamp:
	@$(PYTHON) -c 'import sys; sys.exit("fastrouter needs Python 3.11 or newer, this is %d.%d: use make PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade setuptools Cython
	@touch $@

# Compiled before the package is installed, so that `pip install -e` finds the extension up to date.
$(VENV)/core.stamp: $(VENV)/tools.stamp $(VENV)/switches setup.py $(CYTHON_SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace --force
	@touch $@

# The switches of setup.py that the extension was built with: this file changes when they do, and it is built again.
SWITCHES := $(FASTROUTER_OPT)/$(FASTROUTER_PROFILE)/$(FASTROUTER_ANNOTATE)
$(VENV)/switches: always | $(VENV)/tools.stamp
	@echo '$(SWITCHES)' | cmp -s - $@ || echo '$(SWITCHES)' > $@

# No build isolation: .venv has the build tools already, a second copy would cost 10 s.
$(VENV)/demo.stamp $(VENV)/dev.stamp $(VENV)/bench.stamp: $(VENV)/%.stamp: pyproject.toml | $(VENV)/core.stamp
	$(PIP) install --no-build-isolation --editable '.[$*]'
	@touch $@
