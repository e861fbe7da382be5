# The two commands: `make demo` and `make test`. Everything is installed into .venv by the first call.
PYTHON ?= python3
TORCH ?= 2.13.0
HEAD ?= autoassign
FOLDER ?= functional

VENV := .venv
BIN := $(VENV)/bin
# Python compiles a module when it is first imported: faster than all modules of all packages now.
PIP := $(BIN)/python -m pip install --quiet --no-compile
FOR_DEMO := $(VENV)/installed_for_demo
INSTALLED := $(VENV)/installed
# Its python3.X commands answer for chosen versions only.
PYENV_PYTHONS = $(shell pyenv versions --bare 2>/dev/null | sort -rV | paste -sd:)

.PHONY: demo test test-fast test-docs coverage test-slow mutants test-overfit test-gpu gpu matrix release-check docs docs-serve format check bench clean

demo: $(FOR_DEMO)
	$(BIN)/python tools/demo.py --head $(HEAD)

# Lint and the fast tests.
test: check test-fast

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not overfit"

# Lines that the fast tests run; fails below the floor of pyproject.toml.
coverage: $(INSTALLED)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not slow and not overfit"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Links, commands and examples in the docs.
test-docs: $(INSTALLED)
	$(BIN)/python -m pytest tests/test_docs.py tests/test_docstrings.py

# Long tests, and the property tests with hundreds of new examples each.
test-slow: $(INSTALLED)
	HYPOTHESIS_PROFILE=slow $(BIN)/python -m pytest -m "slow or property"

# Does a test notice when one thing in a folder changes? make mutants FOLDER=functional; the folders are those of
# tests/mutants.toml, at most an hour each on two cores. Needs Python 3.11.
mutants: $(INSTALLED)
	$(PIP) --editable ".[mutants]"
	-OMP_NUM_THREADS=1 $(BIN)/python -P tests/mutants.py $(FOLDER)
	OMP_NUM_THREADS=1 $(BIN)/python -P tests/mutants.py $(FOLDER) --again

# Each head overfits eight images: AP50 above 0.95.
test-overfit: $(INSTALLED)
	$(BIN)/python -m pytest -m overfit

# Tests that need a CUDA device; skipped without one.
test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m cuda

# All that a card has to show, in at most 20 minutes: tests, benchmarks, a training in bfloat16; one report.
# Without a card: make gpu GPU=--dry-run, which goes the same way on the CPU with the smallest sizes.
gpu: $(INSTALLED)
	$(BIN)/python -m benchmarks.gpu $(GPU)

# The documentation site, in build/site; broken links and references are errors.
docs: $(INSTALLED)
	$(BIN)/nox --session docs

docs-serve: $(INSTALLED)
	$(BIN)/nox --session docs -- serve

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# The CPU part takes about a quarter of an hour. On a GPU: make bench BENCH="--device cuda".
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(BENCH)

# The fast tests in every environment that docs/environments.md promises, one after the other: about an hour.
# One of them: make matrix ROW=oldest. Needs Python 3.10 to 3.13, on the PATH or in pyenv.
matrix: $(INSTALLED)
	PYENV_VERSION=$(PYENV_PYTHONS) $(BIN)/nox --session $(if $(ROW),"tests($(ROW))",tests tables)

# The sdist and the wheel: equal bytes twice, metadata, and a walk through the wheel in an empty folder.
release-check: $(INSTALLED)
	$(BIN)/nox --session release

clean:
	rm -rf $(VENV) .nox demo_output* build mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache

# torch first, since the rest depends on it; mmcv builds as pure Python because its isolated build does not see torch.
$(FOR_DEMO): pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==$(TORCH)
	$(PIP) --editable ".[onedl,demo]"
	touch $@

$(INSTALLED): $(FOR_DEMO)
	$(PIP) --editable ".[onedl,dev]"
	touch $@
