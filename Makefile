# Everything that one does with this project; `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard */native/*.hpp */native/binding/* */binding/* */*/native/*.hpp)
# pip's view of what the build needs, so that pyproject.toml stays the only list of it.
BUILD_REQUIRES = $(BIN)/python -c 'import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
PIP := $(BIN)/pip --quiet --disable-pip-version-check
# One more than there are CPUs: most tests of runs wait for something.
WORKERS = $(shell echo $$(($$(nproc) + 1)))

.DEFAULT_GOAL := help
.PHONY: help run test lint bench clean tools

help:  #-- List the targets
	@sed -nE 's/^([a-z]+):[^#]*#-- (.*)/\1\t\2/p' $(MAKEFILE_LIST) | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-6s %s\n' "$$name" "$$text"; done

# `make run ARGS=--duration 15`, without its quotes, leaves a goal "15" that nobody meant as one.
ifneq (,$(filter run test bench,$(MAKECMDGOALS)))
STRAY := $(filter-out help run test lint bench clean tools .venv/%,$(MAKECMDGOALS))
$(STRAY): ; @:
endif

run: $(VENV)/.built  #-- Build, then run; ARGS="--duration 15" ends it after 15 seconds
	@$(BIN)/bot4 run $(ARGS) $(STRAY)

test: $(VENV)/.dev  #-- All tests, with the coverage gates; ARGS="-k name" selects
	$(BIN)/pytest $(or $(strip $(ARGS) $(STRAY)),--numprocesses $(WORKERS) --cov)

lint: $(VENV)/.dev  #-- ruff and mypy --strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

BENCH ?= ipc

bench: $(VENV)/.perf  #-- Measure; BENCH=ipc|pipeline|waits|stress|breaker|websocket|recovery|ta|correlation|ml|risk; ARGS="--quick" is fast
	$(BIN)/python perf/$(BENCH).py $(ARGS) $(STRAY)

clean:  #-- Remove what was built
	rm -rf $(VENV) build .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One line for whatever is missing, before pip or cmake say it in two hundred.
tools:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "bot4: $(PYTHON) is missing; install it: apt-get install python3 python3-venv python3-dev" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bot4: $(PYTHON) is $$($(PYTHON) -V 2>&1), must be 3.11 or newer; install one and name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "bot4: $(PYTHON) cannot make virtual environments; install them: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || \
		{ echo "bot4: Python.h of $(PYTHON) is missing; install it: apt-get install python3-dev" >&2; exit 1; }
	@command -v $(or $(CXX),g++) >/dev/null || \
		{ echo "bot4: the compiler $(or $(CXX),g++) is missing; install it: apt-get install g++" >&2; exit 1; }
	@echo 'int main() {}' | $(or $(CXX),g++) -std=c++20 -x c++ -include atomic -include linux/futex.h -fsyntax-only - 2>/dev/null || \
		{ echo "bot4: $(or $(CXX),g++) cannot compile C++20 for Linux; install g++ 11 or newer and its headers: apt-get install g++ libc6-dev linux-libc-dev" >&2; exit 1; }

$(VENV)/.requires: pyproject.toml | tools
	@test -x $(BIN)/python || { echo "making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "installing what the build needs ..."
	@$(BUILD_REQUIRES) | $(PIP) install --requirement /dev/stdin
	@touch $@

# An editable install finds the modules that there were when it was made.
.PHONY: always
$(VENV)/.modules: always
	@mkdir -p $(VENV)
	@find shm pipeline workers -name '*.py' | LC_ALL=C sort | cmp -s - $@ || \
		find shm pipeline workers -name '*.py' | LC_ALL=C sort > $@

$(VENV)/.built: $(VENV)/.requires $(VENV)/.modules CMakeLists.txt $(NATIVE)
	@echo "building ..."
	@$(PIP) install --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.built
	@echo "installing what the tests need ..."
	@$(PIP) install --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.perf: $(VENV)/.built
	@echo "installing the peers ..."
	@$(PIP) install --no-build-isolation --editable '.[perf]'
	@touch $@
