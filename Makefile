# Everything from a bare clone: needs python3 (3.11 or newer), pip and make. `make help` lists the targets.

PYTHON ?= python3
SIZE   ?= 4GB
MEMORY ?= 1GB
ARGS   ?=

VENV := .venv
BIN  := $(VENV)/bin
# uv is used where a version that knows dependency groups is found: it installs faster.
UV   := $(shell uv pip install --help 2>/dev/null | grep -q -e --group && command -v uv)
PIP  := $(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install -qq --disable-pip-version-check)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Tests start many processes: where no bytecode may be kept, each compiles all of dem again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test test-kernels test-sanitize test-slow test-workflows test-cluster docs-test matrix check wheel bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 23
	@echo "Settings: PYTHON=$(PYTHON) SIZE=$(SIZE) MEMORY=$(MEMORY) ARGS='$(ARGS)' (as in: make demo SIZE=200MB)"

demo: $(VENV)/.installed  ## fit Old Faithful, then a mixture to a 4 GB store in 1 GB of memory
	@$(BIN)/dem demo --size $(SIZE) --memory $(MEMORY) --scratch scratch $(ARGS)

test: $(VENV)/.installed-test  ## run the tests
	@$(BIN)/python -m pytest -q -m "not slow and not cluster and not workflows" --no-moves -n auto --maxprocesses 4 --dist worksteal $(ARGS)

ARITHMETIC := $(addprefix tests/,core em estimators families kernel models run scan) \
	$(filter-out tests/test_layers.py tests/test_docs.py,$(wildcard tests/test_*.py))

PYTEST_ARITHMETIC = $(BIN)/python -m pytest -q -m "not slow" -n auto --maxprocesses 4 $(ARITHMETIC) $(ARGS)

test-kernels: $(VENV)/.installed-test  ## run the tests of arithmetic by NumPy alone, and by another BLAS kernel than this machine's own (x86-64)
	@echo "Tests of arithmetic without the native kernel:"
	@DEM_KERNEL=numpy $(PYTEST_ARITHMETIC)
	@set -e; kernel=$$($(BIN)/python tests/other_kernel.py); [ -z "$$kernel" ] || { \
		echo "Tests of arithmetic by the kernel $$kernel:"; \
		OPENBLAS_CORETYPE=$$kernel $(PYTEST_ARITHMETIC); }

test-sanitize: $(VENV)/.installed-test  ## run the tests of the native kernel with the sanitizers of addresses and undefined behaviour (g++)
	@LD_PRELOAD=$$(g++ -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=tests \
		$(BIN)/python -m pytest -q -m "not slow" -n 0 --capture=sys -p kernel_sanitizers $(ARGS) tests/kernel

test-slow: $(VENV)/.installed-test  ## run the tests that need minutes, whole crosses, and property tests with more examples
	@$(BIN)/python -m pytest -q -m "slow or hypothesis" --hypothesis-profile thorough -n auto --maxprocesses 2 $(ARGS)

test-cluster:  ## run the tests on real parts: Slurm, sshd, MPI, a gateway (installs Debian packages)
	@bash tests/real/setup.sh
	@$(MAKE) --no-print-directory .venv-cluster/.installed
	@.venv-cluster/bin/python -m pytest -q -m cluster $(ARGS) tests/real

ENGINES := prefect snakemake airflow

test-workflows: $(VENV)/.installed-test $(ENGINES:%=.venv-%/.installed)  ## run workflows/ by Prefect, Snakemake, Airflow and Slurm
	@bash tests/real/setup.sh
	@$(BIN)/python -m pytest -q -m workflows -n 0 $(ARGS)

docs-test: $(VENV)/.installed-docs-test  ## run the code blocks of README.md, CONTRIBUTING.md and docs/
	@PYTHONPATH=tests $(BIN)/python -m pytest -q -p docs_blocks -rs $(ARGS) README.md CONTRIBUTING.md docs

matrix: $(VENV)/.installed-matrix  ## run the tests on Python 3.11 to 3.13, with lowest and newest dependencies, without optional ones
	@$(BIN)/python -m nox $(ARGS)

check: $(VENV)/.installed-check  ## ruff (lint and format), mypy, and the spelling
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .
	@$(BIN)/python -m mypy
	@$(BIN)/typos
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

wheel: $(VENV)/.installed-wheel  ## build dist/, and try the wheel in an empty environment
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist . >/dev/null
	@bash tests/try_wheel.sh $(BIN)/python dist/*.whl

bench: $(VENV)/.installed-bench  ## measure, side by side; writes benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove what the demo wrote, caches and builds (.venv stays)
	@rm -rf scratch dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .nox
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# One stamp for each set of dependencies; a newer pyproject.toml or newer sources of the native kernel install again.
INSTALLED_FROM := pyproject.toml hatch_build.py dem/kernel/build.py dem/kernel/digest.py $(wildcard dem/kernel/source/*)

$(VENV)/.installed: $(INSTALLED_FROM) | $(VENV)/.created
	@echo "Installing dem into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-%: $(INSTALLED_FROM) | $(VENV)/.created
	@echo "Installing dem and what 'make $*' needs into $(VENV) ..."
	@$(PIP) --editable . --group $*
	@touch $@

# Kubernetes' client and the S3 server of the tests want different versions of one package.
.venv-cluster/.installed: $(INSTALLED_FROM)
	@echo "Installing dem and what 'make test-cluster' needs into .venv-cluster ..."
	@$(if $(UV),uv venv --quiet --allow-existing --python $(PYTHON) .venv-cluster,$(PYTHON) -m venv .venv-cluster)
	@$(if $(UV),,.venv-cluster/bin/python -m pip install -qq --disable-pip-version-check --upgrade pip)
	@$(if $(UV),uv pip install --quiet --python .venv-cluster/bin/python,.venv-cluster/bin/python -m pip install -qq --disable-pip-version-check) --editable . --group cluster
	@touch $@

# Each workflow engine in an environment of its own: what they need would not go together.
.venv-%/.installed: $(INSTALLED_FROM)
	@echo "Installing dem and $* into .venv-$* ..."
	@$(if $(UV),uv venv --quiet --allow-existing --python $(PYTHON) .venv-$*,$(PYTHON) -m venv .venv-$*)
	@$(if $(UV),uv pip install --quiet --python .venv-$*/bin/python --editable .[$*],.venv-$*/bin/python -m pip install -qq --disable-pip-version-check --editable .[$*])
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("dem needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": name another, as in PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(if $(UV),uv venv --quiet --allow-existing --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	@$(if $(UV),,$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade pip)  # groups need pip 25.1
	@touch $@
