# Everything stays inside the checkout: uv in .uv, the packages in .venv. Nothing of the user's own
# Python is touched; only uv's cache of downloads is shared, so that a second clone installs fast.

.DEFAULT_GOAL := help
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3.11 python3.10 python3 python
UV_VERSION := 0.13.8
UV_READY := .uv/ready-$(UV_VERSION)
UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/ready
BUNDLE ?= models/kws-b.bundle
SUITE ?= bookworm
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest

# Keras 2, and quiet: TensorFlow 2.16 and its companions warn by the hundred about one another.
export TF_USE_LEGACY_KERAS := 1
export TF_CPP_MIN_LOG_LEVEL := 3
export PYTHONWARNINGS := ignore
export UV_PYTHON_DOWNLOADS := never
# A user's own modules must not shadow the locked ones.
unexport PYTHONPATH
unexport PYTHONHOME
unexport VIRTUAL_ENV

.PHONY: help setup demo test test-slow test-pi lint format bench lock clean

help:  ## Say what there is
	@echo "make setup      install everything into .venv (the other targets do it by themselves)"
	echo "make demo       the main job on embedded data: train, compress, verdicts, serve, predict"
	echo "make test       the tests (15 minutes at most)"
	echo "make test-slow  the tests that take minutes each"
	echo "make test-pi    edge_client in an emulated 64-bit ARM Debian (as root; SUITE=trixie: Python 3.13)"
	echo "make lint       ruff and mypy"
	echo "make format     let ruff repair and format the sources"
	echo "make bench      the benchmarks behind the README's table (BUNDLE=…: of this one)"
	echo "make lock       resolve requirements.lock anew, keeping what still fits (UPGRADE=1: newest)"
	echo "make clean      remove the environments and all caches"
	echo
	echo "Real data is looked for in \$$ML4IOT_DATA, else in ../shared/data; tests skip without it."

setup: $(READY)

demo: $(READY)
	@$(BIN)/python -m pipeline.demo

test: $(READY)
	@$(PYTEST) -n $(JOBS) --dist loadfile

test-slow: $(READY)
	@$(PYTEST) -m slow

test-pi: $(READY)
	@$(BIN)/python -m tests.pi --suite $(SUITE)

lint: $(READY)
	@status=0
	$(BIN)/ruff check . || status=1
	$(BIN)/ruff format --check . || status=1
	$(BIN)/mypy || status=1
	exit $$status

format: $(READY)
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The figures do not depend on what is said, so spoken words of our own will do.
bench: $(READY)
	@clips="$$(mktemp -d)"
	trap 'rm -rf "$$clips"' EXIT
	$(BIN)/python -m components.default_data audio --speakers 10 --takes 1 "$$clips/words"
	$(BIN)/python -m tests.benchmarks.device_vs_tf $(BUNDLE) "$$clips"/words/*/*.wav
	$(BIN)/python -m tests.benchmarks.mfcc_throughput
	$(BIN)/python -m serving.benchmark --model models/big
	$(BIN)/python -m serving.gateway.benchmark --model models/big
	$(BIN)/python -m tests.benchmarks.cooperation_throughput
	$(BIN)/python -m tests.benchmarks.push_to_answer

# Existing pins are kept where they still fit, so that a new dependency changes its own lines only.
lock: $(UV_READY)
	@$(UV) pip compile --universal --python-version 3.10 --generate-hashes $(if $(UPGRADE),--upgrade) \
	    --no-header --no-annotate --no-emit-index-url --quiet \
	    --no-emit-package ml4iot --no-emit-package ml4iot-edge \
	    --group dev pyproject.toml edge_client/pyproject.toml --output-file requirements.lock
	echo "requirements.lock: $$(grep -c '==' requirements.lock) pins"

clean:
	@rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis build edge_client/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv does not read pip's settings, by which a site may name its own index.
$(READY): $(UV_READY) requirements.lock pyproject.toml edge_client/pyproject.toml
	@if [ -z "$${UV_DEFAULT_INDEX:-}$${UV_INDEX_URL:-}" ]; then
	    index="$${PIP_INDEX_URL:-$$(.uv/bin/python -m pip config get global.index-url 2>/dev/null || true)}"
	    [ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"
	fi
	started=$$SECONDS
	rm -f $@
	$(BIN)/python -c '' 2>/dev/null || $(UV) venv --quiet --clear --python .uv/bin/python .venv
	echo "Installing $$(grep -c '==' requirements.lock) locked packages (3 GB) into .venv"
	# Compiled here whatever PYTHONDONTWRITEBYTECODE says: TFX takes 45 s to import without, 12 s with.
	$(UV) pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --offline --no-deps --no-build-isolation \
	    --editable . --editable ./edge_client
	touch $@
	echo "Ready after $$((SECONDS - started)) s"

$(UV_READY):
	@python=
	for candidate in $(PYTHON); do
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' \
	        2>/dev/null; then python="$$candidate"; break; fi
	done
	if [ -z "$$python" ]; then
	    echo "make: no Python 3.10 or 3.11 among: $(PYTHON); install one, or name it with" \
	        "'make PYTHON=/path/to/python3.11 …'" >&2
	    exit 2
	fi
	rm -rf .uv
	# Debian keeps what venv needs in a package of its own.
	if ! "$$python" -m venv .uv >/dev/null 2>&1; then
	    package="$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
	    if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	        rm -rf .uv
	        echo "make: $$python cannot make virtual environments; install $$package first" >&2
	        exit 2
	    fi
	    echo "Installing $$package, which $$python needs for virtual environments"
	    apt-get update -qq
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$package" >/dev/null
	    "$$python" -m venv --clear .uv
	fi
	echo "Installing uv $(UV_VERSION) into .uv"
	.uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	touch $@
