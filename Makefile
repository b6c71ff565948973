# `make help` lists the targets. Nothing outside this directory is touched: Python packages go into .venv.

# The Python that .venv is made with: make PYTHON=python3.12 run
PYTHON ?= python3
# Passed to `fastrouter demo` and to pytest: make run ARGS='--listen 127.0.0.1:9000', make test ARGS='-k routes'
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The versions in requirements/, and no others; they are complete, so pip has nothing to resolve.
LOCKED := --require-hashes --no-deps --requirement
CYTHON_SOURCES := $(wildcard src/fastrouter/*.pyx src/fastrouter/*.pxd src/fastrouter/core/*/*.pxd src/fastrouter/core/*/*.pxi)
# What needs nothing but the process of the tests itself.
QUICK := tests/unit tests/properties tests/protocol tests/test_house.py tests/test_citations.py
# What needs /usr/bin/chromium, and is skipped without.
BROWSED := tests/integration/test_dashboard.py tests/integration/test_demo_page.py
# What the packages are for: demo, dev, bench or fuzz; lowest and newest are dev with other versions.
PACKAGES := dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-quick test-browser test-debug test-asan fuzz coverage lint build bench profile test-wheel lock test-lowest test-newest ready clean always

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

run: PACKAGES := demo
run: ready ## Install what is needed and serve the demo until Ctrl-C
	@exec $(BIN)/fastrouter demo $(ARGS)

test: ready ## Run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Hypothesis looks at fewer examples, which is where most of the time would go.
test-quick: ready ## Run what needs no process and no socket, in less than 30 s
	$(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile quick -m "not slow" $(QUICK) $(ARGS)

test-browser: ready ## Run what a headless Chromium tries: the dashboard and the page of the demo
	$(BIN)/python -m pytest $(BROWSED) $(ARGS)

test-debug: $(VENV)/dev.stamp build/debug.stamp ## Run the whole suite on a build that checks itself, in build/debug
	@$(call link_sources,build/debug)
	PYTHONPATH=$(CURDIR)/build/debug $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# What takes any bytes. In one process, whose end fails for a leak; Python takes each piece of its memory where the sanitizer sees it.
FED := tests/protocol tests/properties tests/fuzz $(wildcard tests/hostile)

test-asan: $(VENV)/dev.stamp build/asan.stamp ## Run what is fed with any bytes on a build with AddressSanitizer and UBSan
	@$(call link_sources,build/asan)
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" PYTHONMALLOC=malloc \
		LSAN_OPTIONS=suppressions=$(CURDIR)/tests/fuzz/leaks_of_others.txt:print_suppressions=0 UBSAN_OPTIONS=print_stacktrace=1 \
		PYTHONPATH=$(CURDIR)/build/asan $(BIN)/python -m pytest --hypothesis-profile quick $(FED) $(ARGS)

# Cython's plugin finds the parts by the file that includes them, so that one comes first.
coverage: $(VENV)/dev.stamp build/coverage.stamp ## Run it on a build that tells which lines are executed, Python and Cython
	@$(call link_sources,build/coverage)
	@rm -f build/coverage-data*
	PYTHONPATH=$(CURDIR)/build/coverage $(BIN)/coverage run -m pytest -n 2 --dist worksteal --timeout 600 $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report src/fastrouter/_core.pyx $(wildcard src/fastrouter/core/*/*.pxi) $(shell find src -name '*.py')

# TARGET: some of tests/fuzz/targets.py, all of them without it. LLVM's sanitizers and libFuzzer are in the package atheris.
SECONDS ?= 60
fuzz: $(VENV)/fuzz.stamp build/fuzz.stamp ## Have a fuzzer look for input that breaks something, SECONDS=60 for each TARGET
	@$(call link_sources,build/fuzz)
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) $(TARGET)

lint: ready ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	@# The stub is what Python may see: classes that only the data plane uses are not in it.
	$(BIN)/stubtest --concise --ignore-missing-stub --ignore-disjoint-bases --allowlist tests/stubtest-allowed.txt fastrouter._core
	@# It looks for pycodestyle in PATH.
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $(CYTHON_SOURCES)

build: $(VENV)/core.stamp ## Compile the data plane, fastrouter._core

bench: ## Measure: micro benchmarks, then CPU per request beside nginx and HAProxy
	@$(MAKE) --no-print-directory ready PACKAGES=bench FASTROUTER_OPT=$(or $(FASTROUTER_OPT),3)
	$(BIN)/python -m pytest benchmarks/micro --benchmark-enable --benchmark-only $(ARGS)
	$(BIN)/python -m benchmarks.load.compare --workloads W1,W2

# Idle processes count for nothing, so the graph is that of the worker under load.
profile: ## Record a flame graph of a worker under load, with native frames, as build/profile.svg
	@$(MAKE) --no-print-directory ready PACKAGES=bench FASTROUTER_OPT=$(or $(FASTROUTER_OPT),3) FASTROUTER_PROFILE=1
	$(BIN)/py-spy record --native --subprocesses --rate 500 --output build/profile.svg -- \
		$(BIN)/python -m benchmarks.load.compare --proxies fastrouter --workloads W1 --rounds 1 --seconds 20

lock: ## Renew requirements/: the newest versions that pyproject.toml admits, and the lowest
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check --quiet install --upgrade uv
	build/lock/bin/python requirements/lock.py build/lock/bin/uv

test-lowest: ## Run the test suite with the lowest versions that pyproject.toml admits, in .venv-lowest
	@$(MAKE) --no-print-directory test VENV=.venv-lowest PACKAGES=lowest

test-newest: ## Run it with the newest ones there are, in .venv-newest
	@$(MAKE) --no-print-directory test VENV=.venv-newest PACKAGES=newest

# The packages come from the lock, like those of .venv.
test-wheel: $(VENV)/tools.stamp ## Build sdist and wheel as released, and route a request with what is installed of them
	@rm -rf build/wheel && mkdir -p build/wheel/wheels
	@$(BIN)/python -c 'from setuptools.build_meta import build_sdist; build_sdist("build/wheel")' > build/wheel/sdist.log
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheel/wheels build/wheel/*.tar.gz
	@$(PIP) download --require-hashes --no-deps --dest build/wheel/wheels --requirement requirements/demo.txt
	@cd build/wheel && BOSH_INSTALL_TARGET=$(CURDIR)/build/wheel/gorouter FASTROUTER_PYTHON=$(abspath $(BIN)/python) \
		bash -c 'ln -s wheels fastrouter && exec bash $(CURDIR)/deploy/bosh/packages/gorouter/packaging'
	@cd build/wheel && gorouter/venv/bin/python -P $(CURDIR)/tests/wheel/route_one_request.py
	@cd build/wheel && gorouter/venv/bin/python -P $(CURDIR)/tests/wheel/route_one_request.py gorouter/bin/gorouter

clean: ## Remove .venv and everything else that was built
	rm -rf .venv .venv-lowest .venv-newest build dist src/*.egg-info src/fastrouter/*.so src/fastrouter/*.c
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A stamp is touched when its step has succeeded; make repeats the step when a file after the colon is newer.

# The compiler and pip beside each other: most of the time is the compiler's, the rest is mostly downloads.
ready: $(VENV)/tools.stamp
	@$(MAKE) --no-print-directory --jobs 2 $(VENV)/core.stamp $(VENV)/$(PACKAGES).stamp

$(VENV)/tools.stamp: requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit("fastrouter needs Python 3.11 or newer, this is %d.%d: use make PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo 'Once: packages are installed into $(VENV) and the data plane is compiled, which takes half a minute or so.'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install $(LOCKED) requirements/build.txt
	@touch $@

# The switches of setup.py that the extension is built with; it is built again when they change. Without any it stays as it is. -O3
# is for those who measure: it takes the compiler twice as long, for 2 to 3 % of the CPU per request.
$(VENV)/switches.env: always | $(VENV)/tools.stamp
	@new='FASTROUTER_OPT=$(or $(FASTROUTER_OPT),1) FASTROUTER_PROFILE=$(FASTROUTER_PROFILE) FASTROUTER_ANNOTATE=$(FASTROUTER_ANNOTATE)'; \
	if [ ! -e $@ ] || [ -n '$(FASTROUTER_OPT)$(FASTROUTER_PROFILE)$(FASTROUTER_ANNOTATE)' ]; then \
		echo "$$new" | cmp -s - $@ || echo "$$new" > $@; \
	fi

$(VENV)/core.stamp: $(VENV)/tools.stamp $(VENV)/switches.env setup.py $(CYTHON_SOURCES)
	@env $$(cat $(VENV)/switches.env) $(BIN)/python setup.py --quiet build_ext --inplace --force
	@touch $@

# Builds of another kind lie beside the usual one: a package that has its own extension, and links to the rest.
build/debug.stamp: SWITCHES := FASTROUTER_DEBUG=1 FASTROUTER_OPT=1
build/coverage.stamp: SWITCHES := FASTROUTER_COVERAGE=1 FASTROUTER_OPT=0
build/asan.stamp: SWITCHES := FASTROUTER_SANITIZE=1 FASTROUTER_OPT=1
build/fuzz.stamp: SWITCHES := FASTROUTER_FUZZ=1 FASTROUTER_OPT=1
build/fuzz.stamp: tests/fuzz/coverage_hooks.c

build/debug.stamp build/coverage.stamp build/asan.stamp build/fuzz.stamp: build/%.stamp: setup.py $(CYTHON_SOURCES) | $(VENV)/tools.stamp
	@env $(SWITCHES) $(BIN)/python setup.py --quiet build_ext --force --build-temp build/temp-$* --build-lib build/$*
	@touch $@

link_sources = ln -sfn $(abspath $(filter-out %.so %.c %/__pycache__,$(wildcard src/fastrouter/*))) $(1)/fastrouter/

# The project itself goes in as it lies here, with the extension that is compiled meanwhile.
INSTALL_PROJECT = FASTROUTER_COMPILED=1 $(PIP) install --no-build-isolation --editable

$(VENV)/demo.stamp $(VENV)/dev.stamp $(VENV)/bench.stamp $(VENV)/fuzz.stamp $(VENV)/lowest.stamp: $(VENV)/%.stamp: requirements/%.txt pyproject.toml | $(VENV)/tools.stamp
	@$(PIP) install $(LOCKED) $<
	@$(INSTALL_PROJECT) . --no-deps
	@touch $@

$(VENV)/newest.stamp: pyproject.toml always | $(VENV)/tools.stamp
	@$(INSTALL_PROJECT) '.[dev]' --upgrade --upgrade-strategy eager
	@touch $@
