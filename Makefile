# Everything runs in .venv, made here from constraints.txt. Choose another Python with
# `make PYTHON=python3.12 ...` (run `make clean` first where .venv exists).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check \
	--constraint constraints.txt

# The root folder holds `datasets` and `metrics`: it must never come first on sys.path.
export PYTHONSAFEPATH := 1

# What an installation depends on; the code itself is installed editable.
METADATA := setup.cfg pyproject.toml constraints.txt xai/_version.py

.PHONY: help demo test lint docs bench format notebooks clean

help:
	@echo 'make demo       explain a model: a table here, pictures and a page in xai-demo (core dependencies only)'
	@echo 'make test       run every test, and fail under 90% line coverage'
	@echo 'make lint       ruff check, ruff format --check, mypy --strict'
	@echo 'make docs       build the site in docs/_build/html; a warning is an error'
	@echo 'make bench      sampling beside shap, shapiq, captum and lime: hours (QUICK=--quick: minutes)'
	@echo 'make format     let ruff format the code and fix what it can'
	@echo 'make notebooks  run every notebook from a clean kernel, and store its outputs'
	@echo 'make clean      remove .venv, xai-demo, the site and the tools'"'"' caches'

demo: $(VENV)/core.stamp
	$(BIN)/xai demo

# Two workers on two cores: one BLAS thread each.
test: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --cov --cov-report=term

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/test.stamp
	$(BIN)/sphinx-build --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo 'docs/_build/html/index.html'

# Scripts of benchmarks/ import one another: their own folder may come first.
bench: $(VENV)/test.stamp
	$(PIP_INSTALL) --no-build-isolation --editable '.[bench]'
	for script in cost shapley scaling; do \
		PYTHONSAFEPATH= $(BIN)/python benchmarks/$$script.py $(QUICK) || exit 1; \
	done

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(VENV)/test.stamp
	$(BIN)/python notebooks/run.py

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info \
		xai-demo docs/_build docs/generated

# The stamps: each step runs again only when it was cut short or the metadata changed.
$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'xai needs Python 3.11 or newer, and $(PYTHON) is older or missing:' \
			'name another with `make PYTHON=/path/to/python3.11 ...`' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/core.stamp: $(VENV)/made.stamp $(METADATA)
	$(PIP_INSTALL) setuptools wheel
	$(PIP_INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/test.stamp: $(VENV)/core.stamp
	$(PIP_INSTALL) --no-build-isolation --editable '.[test]'
	touch $@
