# Needs Python >= 3.11, make and git. Every target sets up what it needs in .venv.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3

.PHONY: demo demo-full docs test test-slurm test-all lint format bench lock clean

# small jobs: one thread each, as many in parallel as there are cores; their numbers do not depend on the number of cores
SMALL = --resources gpu=100 --set-threads verify_dataset=1 train=1 extract_descriptors=1 search=1 fit_whitening=1 measure_sizes=1

demo: .venv/ready ## training, evaluation and the report on a rendered city, in minutes on the CPU of a laptop
	snakemake --profile profiles/local all --configfile config/city.yaml $(SMALL)
	@echo "Open results/report.html; the tables and figures are in results/city and results/city_night."

demo-full: .venv/ready ## the same with all losses and four generations
	snakemake --profile profiles/local all --configfile config/city.yaml config/city_full.yaml $(SMALL)
	@echo "Open results/report.html; the tables and figures are in results/city and results/city_night."

test: .venv/ready ## a worker a core, each on one thread
	OMP_NUM_THREADS=1 pytest -n logical --maxprocesses 8 --dist worksteal -m "not slow and not slurm"

test-slurm: .venv/ready ## on SLURMs of their own on this machine, where Debian's packages can be installed
	tests/slurm/install.sh
	OMP_NUM_THREADS=1 timeout 900 pytest -n 2 --dist loadfile -m "slurm and not slow" tests/slurm

test-all: .venv/ready
	pytest

lint: .venv/ready
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint

format: .venv/ready
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

docs: .venv/ready ## the documentation as a site, docs/_build/html/index.html; a warning is an error
	sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: .venv/ready ## each figure beside its physical limit, measured in the same run
	python -m benchmarks

lock: .venv/bin/uv
	.venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean: ## the environment, caches and everything the workflow made; never data/ but the rendered city
	rm -rf .venv .snakemake .pytest_cache .ruff_cache results logs data/city data/city_night data/toy data/toy_night docs/_build docs/reference/generated

.venv/ready: requirements.lock .venv/bin/uv
	VIRTUAL_ENV="$(CURDIR)/.venv" .venv/bin/uv pip sync --quiet --compile-bytecode requirements.lock
	touch $@

.venv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; make PYTHON=... names one")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet uv
