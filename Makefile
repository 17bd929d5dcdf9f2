# Everything a new clone needs: `make demo` shows what spikescan does, `make test` proves it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check venv clean

demo: $(VENV)/installed
	$(BIN)/spikescan demo

test: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup

# What the pre-commit hooks and CI check besides the tests.
check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: $(VENV)/installed

# constraints.txt pins the CPU build of torch; without the pin a range would fetch gigabytes of CUDA libraries.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,mnist,tensorboard,gpu,control]" --group dev
	touch $@

clean:
	rm -rf $(VENV)
