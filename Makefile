# Two commands for a fresh clone, on a machine with Python >= 3.11 and make:
#   make demo    five methods on rendered birds, to a report (about ten minutes on two cores)
#   make test    all checks
# Both set up an environment in .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean

demo: $(VENV)/ready
	$(BIN)/python -m benchmark run --methods dense,glm_saga,sldd,qsenn,qpm --dataset toybirds --out runs/demo

test: $(VENV)/ready lint
	$(BIN)/python -m pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Timings, as ratios against a baseline in the same run; not part of the tests.
bench: $(VENV)/ready
	$(BIN)/python -m pytest tests/benchmarks/bench_*.py --benchmark-enable --benchmark-only

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,glm-saga]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
