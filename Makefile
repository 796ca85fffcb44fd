# Everything below works in a fresh clone that has only make and Python 3.11 or 3.12.
#   make demo      the whole pipeline in Airflow on this machine, then a summary
#   make demo-reasoning  from videos to questions and answers, in the same way
#   make demo-qa   questions about videos, answered from frames that are chosen in eight ways
#   make up        the same with Airflow's UI;  make down  stops it

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := airflow_provider_drivepipe maxcompute_local tests dags benchmarks docs .ci
ARGS ?=
# Tests of the local cloud wait half of their time for processes that they have started. A test goes to
# whoever is free, mostly beside others of its file, whose fixtures it shares.
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n $$((2 * $$(getconf _NPROCESSORS_ONLN))) --dist worksteal

# The first interpreter that really runs and that both Airflow and MaxFrame support.
IS_SUITABLE := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' >/dev/null 2>&1
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	"$$python" $(IS_SUITABLE) && { echo "$$python"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-reasoning demo-qa up down test test-slow test-conformance test-system test-crash \
	test-next-python lint release-check docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(INSTALLED)  ## make .venv with both packages and all they need

$(INSTALLED): pyproject.toml maxcompute_local/pyproject.toml constraints.txt
	@"$(or $(PYTHON),false)" $(IS_SUITABLE) || { echo "No Python 3.11 or 3.12:" \
		"$(or $(PYTHON),python3.11 python3.12 python3) was tried." \
		"Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments." \
		"On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time this takes a few minutes."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install $$(test -t 2 || echo --quiet) --disable-pip-version-check -c constraints.txt -e ./maxcompute_local -e ".[local,dev,docs]"
	@$(BIN)/python -c "from maxcompute_local.maxframe import workers; workers.prepare(None)"
	@touch $@

demo: $(INSTALLED)  ## run real videos through Airflow to a labelled partition, without a cloud account
	@$(BIN)/drivepipe demo $(ARGS)

demo-reasoning: $(INSTALLED)  ## run drawn videos through Airflow to training files of questions and answers
	@$(BIN)/drivepipe demo-reasoning $(ARGS)

demo-qa: $(INSTALLED)  ## ask questions about the demo's videos, and compare ways to choose frames
	@$(BIN)/drivepipe demo-qa $(ARGS)

up: $(INSTALLED)  ## start the local cloud and Airflow with its UI
	@$(BIN)/drivepipe up $(ARGS)

down: $(INSTALLED)  ## stop what 'make up' started
	@$(BIN)/drivepipe down $(ARGS)

test: $(INSTALLED)  ## unit and integration tests; no network beyond loopback
	@$(PYTEST) $(PARALLEL) tests/unit tests/integration -m 'not slow' $(ARGS)
	@cd maxcompute_local && ../$(PYTEST) $(PARALLEL) tests/unit tests/integration $(ARGS)

test-slow: $(INSTALLED)  ## integration tests that take longer: whole families, waves, golden files
	@$(PYTEST) $(PARALLEL) tests/integration -m slow $(ARGS)

test-conformance: $(INSTALLED)  ## the local cloud through the SDKs: scripts, tutorials, maxframe's own tests
	@cd maxcompute_local && ../$(PYTEST) -n auto --dist worksteal tests/conformance $(ARGS)

test-system: $(INSTALLED)  ## tests with a whole Airflow; that of the wheel is in release-check
	@$(PYTEST) tests/system --ignore tests/system/test_wheel.py $(ARGS)

test-crash: $(INSTALLED)  ## kill the local cloud at bad moments, and under load for CRASH_SECONDS (default 600)
	@cd maxcompute_local && ../$(PYTEST) -s tests/crash $(ARGS)

# MaxCompute's workers run Python 3.11, so all is tested on that; on 3.12 the unit tests that are quick.
PYTHON312 ?= $(shell for python in python3.12 "$$(pyenv prefix 3.12 2>/dev/null)/bin/python3.12"; do \
	"$$python" -c 'import ensurepip' >/dev/null 2>&1 && { echo "$$python"; break; }; done)
TESTS312 = $(filter-out %/test_factory.py %/test_airflow_home.py %/test_operator_defaults.py %/test_operators.py, \
	$(wildcard tests/unit/test_[a-p]*.py tests/unit/test_s*.py)) \
	tests/unit/test_worker_retrieval_travel.py tests/unit/test_worker_rows.py tests/unit/test_worker_labels.py

test-next-python:  ## unit tests on Python 3.12, in .venv-3.12, where there is one
	@if test -z "$(PYTHON312)"; then \
		echo "NOT TESTED: there is no Python 3.12 here. Name one: make test-next-python PYTHON312=/path/to/python3.12"; \
	else \
		"$(PYTHON312)" -m venv .venv-3.12 && .venv-3.12/bin/python -m pip install --quiet --disable-pip-version-check \
			--no-compile --no-deps -r constraints.txt -e ./maxcompute_local -e . && \
		.venv-3.12/bin/python -m pytest -q $(PARALLEL) $(TESTS312) $(ARGS); \
	fi

lint: $(INSTALLED)  ## ruff, format check, mypy, layers of imports
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

release-check: $(INSTALLED)  ## build both distributions and check what has to hold before a release
	@$(BIN)/python .ci/release_check.py $(ARGS)
	@$(PYTEST) tests/system/test_wheel.py

docs: $(INSTALLED)  ## make the documentation as a site in site/; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet $(ARGS)

bench: $(INSTALLED)  ## run the benchmarks that have a baseline (ARGS=--quick: under 5 minutes)
	@# Apart from the rest: Airflow would import it in each of its processes.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps \
		--target $(VENV)/dag-factory dag-factory==1.1.0
	@$(BIN)/python benchmarks/all.py $(ARGS)

clean:  ## delete .venv and caches; state of runs in .drivepipe stays
	@rm -rf $(VENV) .venv-3.12 .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
