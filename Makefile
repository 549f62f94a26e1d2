# make repro: environment, then every table and figure of the active profile.  make test: the tests.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test lab lint
.DEFAULT_GOAL := repro

repro: .venv/installed
	@python -m replication.stages.estimate --unmeasured
	dvc repro

test: .venv/installed
	@echo "tests: 4 to 8 minutes on two cores"
	OMP_NUM_THREADS=1 pytest -n 2

lab: .venv/installed
	jupyter lab notebooks

lint: .venv/installed
	ruff check . && ruff format --check .

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 13) else "Python 3.11 or 3.12 is needed, this is " + sys.version.split()[0] + "; run: make PYTHON=/path/to/python3.11")'
	@echo "environment: .venv, about 6 GB, 3 to 5 minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
