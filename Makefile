# Everything a developer does here. Needs make, a Python >= 3.11 (PYTHON=…) and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SOURCES := $(wildcard integrations langchain_fm llamaindex_fm mlflow_fm tests benchmarks)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-mlflow test-providers test-schema soak load bench check format wheel requirements clean

help:  ## Show these commands
	@sed -n 's/^\([a-z-]*\):.*##/\1 /p' $(firstword $(MAKEFILE_LIST)) | awk '{ name = $$1; $$1 = ""; printf "  make %-15s%s\n", name, $$0 }'

install: $(STAMP)  ## Create .venv and install everything into it (nothing to do when it is up to date)

# --require-hashes fails on anything that is not the file that was locked; --no-deps and --no-build-isolation keep
# the second step from asking the index for anything at all.
$(STAMP): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || true). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## Chat, stream, call tools and embed on this machine, without an account
	@$(BIN)/fm demo

test: $(STAMP)  ## Run the tests
	$(BIN)/python -m pytest

# The development environment has mlflow-skinny, as users of the extra have it. The whole of mlflow, of the same version,
# gets an environment of its own, and meets the wheel there and not the checkout (hence `pytest`, not `python -m pytest`).
MLFLOW := .venv-mlflow
test-mlflow: $(STAMP)  ## Run the tests of mlflow_fm on the built wheel, with the whole of mlflow
	rm -rf $(MLFLOW)/wheel
	test -x $(MLFLOW)/bin/pip || $(PYTHON) -m venv $(MLFLOW)
	$(BIN)/python -m build --wheel --no-isolation --outdir $(MLFLOW)/wheel
	$(MLFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(MLFLOW)/bin/python -m pip install --quiet --group dev "mlflow==$$($(BIN)/python -c 'from mlflow import version; print(version.VERSION)')" \
	  "fm-integrations[langchain,llamaindex,mlflow,workspace] @ file://$(abspath $(MLFLOW))/wheel/$$(ls $(MLFLOW)/wheel)"
	$(MLFLOW)/bin/python -m pip install --quiet --no-deps --force-reinstall $(MLFLOW)/wheel/*.whl
	$(MLFLOW)/bin/pytest tests/mlflow

# What the development environment leaves out (docs/decisions.md), each in an environment of its own, not locked.
TOOLS := pytest pytest-asyncio pytest-rerunfailures pytest-socket pytest-timeout hypothesis httpx
OWN = $(PYTHON) -m venv $(1) && $(1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade $(2) --editable

.venv-providers/.installed: pyproject.toml
	$(call OWN,.venv-providers,$(TOOLS) cryptography) '.[workspace,providers]'
	@touch $@

test-providers: .venv-providers/.installed  ## Test the providers that litellm calls, in an environment of their own
	.venv-providers/bin/python -m pytest tests/workspace/test_vendors.py tests/workspace/test_providers.py tests/workspace/test_vendor_addresses.py

.venv-schema/.installed: pyproject.toml
	$(call OWN,.venv-schema,$(TOOLS) schemathesis) '.[workspace]'
	@touch $@

test-schema: .venv-schema/.installed  ## Let schemathesis try the workspace's OpenAPI description for FM_SCHEMA_SECONDS (100)
	.venv-schema/bin/python -m pytest tests/workspace/test_description.py

SOAK_SECONDS ?= 60
soak: $(STAMP)  ## Storm the client with faults for SOAK_SECONDS (60), and see that every call adds up
	$(BIN)/python -m benchmarks.soak --seconds $(SOAK_SECONDS)

# BENCH=full takes an hour, and tries what a short run leaves out; DOCS=1 writes the figures into docs/.
BENCH ?= quick
bench: $(STAMP)  ## Measure ours and the peers side by side, and what each makes of faults
	$(BIN)/python -m benchmarks.speed --plan $(BENCH) $(if $(DOCS),--docs)
	$(BIN)/python -m benchmarks.correctness $(if $(DOCS),--docs)

LOAD_SECONDS ?= 60
load: $(STAMP)  ## Hold 1,000 streams of the embedded workspace for LOAD_SECONDS (60); none fails, nothing is left
	$(BIN)/python -m benchmarks.load --seconds $(LOAD_SECONDS)

check: $(STAMP)  ## Check format, lint, types and who imports whom
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)  ## Format, and mend what ruff can mend
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

wheel: $(STAMP)  ## Build the wheel into dist/ and check what it holds
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation
	$(BIN)/python -m pytest tests/test_packaging.py

LOCK = $(VENV)/lock/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header --quiet
CLIENTS := $(basename $(notdir $(wildcard requirements/clients/*.in)))
requirements: $(STAMP)  ## Lock the newest allowed versions again
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) pyproject.toml --extra all --group dev --output-file requirements/dev.txt
	$(foreach name,$(CLIENTS),$(LOCK) requirements/clients/$(name).in --output-file requirements/clients/$(name).txt &&) true
	rm -rf $(VENV)/lock

clean:  ## Remove .venv and everything that was built or cached
	rm -rf $(VENV) $(MLFLOW) .venv-clients .venv-providers .venv-schema .bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
