# make repro                 environment, then every table and figure of the active profile
# make repro JOBS=8          the same with eight stages at a time, not two; 1: dvc repro alone
# make repro CPU=1           the same with PyTorch without CUDA; an environment that is there is kept
# make profile NAME=small    make another profile the active one
# make verify                are quick's figures those of results/reference?
# make test | lint | lab     the tests; ruff and mypy; the notebooks
# make docs                  the documentation as a site, site/
# make fuzz EXAMPLES=5000    as many random inputs for each test of tests/fuzz, and kills; 25 minutes
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
LOCK := requirements$(if $(CPU),-cpu).lock
export PATH := $(CURDIR)/$(BIN):$(PATH)

ifdef CPU  # where pip finds PyTorch's CPU builds, besides its index
PIP_EXTRA_INDEX_URL ?= https://download.pytorch.org/whl/cpu
export PIP_EXTRA_INDEX_URL
endif

.PHONY: repro total profile verify test fuzz lab lint docs
.DEFAULT_GOAL := repro

repro: total .venv/installed
	@test -e .git || grep -qs no_scm .dvc/config.local || { echo "DVC asks for a git repository, and there is none: git init, or dvc config --local core.no_scm true"; exit 2; }
	@mkdir -p data/own
	@python -m replication.stages.estimate --unmeasured
	$(if $(filter-out 1,$(JOBS)),python -m replication.stages.repro --jobs $(JOBS))
	dvc repro
	@python -m replication.stages.clock
	@echo "tables, figures and report.html are in $$(ls -td results/*/ | head -n 1)"

total:
	@profile=$$(sed -n 's,^ *- profiles/\([A-Za-z0-9._-]*\)\.yaml.*,\1,p' dvc.yaml | head -n 1); \
	minutes=$$(sed -n 's/^minutes: *\([0-9]*\).*/\1/p' "profiles/$$profile.yaml"); \
	setup=$(if $(wildcard .venv/installed),0,5); \
	if [ -n "$$minutes" ]; then \
	  echo "total: about $$((setup + minutes)) minutes on two cores ($$setup for the environment," \
	    "$$minutes for profile $$profile); less where something is done already"; \
	else \
	  echo "total: nobody measured profile $$profile; with the environment there, it is estimated"; \
	fi

profile: export NAME := $(NAME)
profile: .venv/installed
	@test -n "$$NAME" || { echo "which? make profile NAME=..., of" profiles/*.yaml; exit 2; }
	@python -m replication.settings "$$NAME"

verify: .venv/installed
	@python -m replication.verify quick

test: .venv/installed
	@echo "tests: about 9 minutes on two cores"
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadscope --no-loadscope-reorder

fuzz: EXAMPLES ?= 5000
fuzz: .venv/installed
	SAFLEX_FUZZ=$(EXAMPLES) OMP_NUM_THREADS=1 pytest -n 2 tests/fuzz

lab: .venv/installed
	jupyter lab notebooks

lint: .venv/installed
	ruff check . && ruff format --check . && mypy

docs: .venv/installed
	@mkdocs --version >/dev/null 2>&1 || pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

.venv/installed: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; run: make PYTHON=/path/to/python3.11")'
	@echo "environment: .venv, about $(if $(CPU),2,7) GB, 3 to 5 minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r $(LOCK)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
