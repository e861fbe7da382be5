# The two commands: `make demo` and `make test`. Everything is installed into .venv by the first call.
PYTHON ?= python3
TORCH ?= 2.13.0
HEAD ?= centernet

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test test-fast test-slow test-overfit test-gpu format check bench clean

demo: $(INSTALLED)
	$(BIN)/python tools/demo.py --head $(HEAD)

# Everything that CI runs.
test: check test-fast

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not overfit"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# Each head overfits eight images: AP50 above 0.95.
test-overfit: $(INSTALLED)
	$(BIN)/python -m pytest -m overfit

# Tests that need a CUDA device; skipped without one.
test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m cuda

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# The CPU part takes about ten minutes. On a GPU: make bench BENCH="--device cuda".
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) demo_output build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# torch first, since the rest depends on it; mmcv builds as pure Python because its isolated build does not see torch.
$(INSTALLED): pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==$(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[onedl,dev]"
	touch $@
