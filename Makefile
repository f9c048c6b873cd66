# Needs Python >= 3.11, make and git. Every target sets up what it needs in .venv.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3

.PHONY: demo test test-slurm test-all lint format bench lock clean

# small jobs: one thread each, as many at once as there are cores; their numbers then do not depend on that number
SMALL = --resources gpu=100 --set-threads verify=1 train=1 extract=1 search=1 whiten=1 sizes=1

demo: .venv/ready ## the main job on the embedded city: minutes on a laptop's CPU
	snakemake --profile profiles/local all --configfile config/city.yaml $(SMALL)
	@echo "The city's recalls and plots: results/report.html; results/city, results/city_night, results/comparison.svg"

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
	snakemake --lint

format: .venv/ready
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

bench: .venv/ready ## each figure beside its physical limit, measured in the same run
	python -m benchmarks

lock: .venv/bin/uv
	.venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean: ## the environment, caches and everything the workflow made; never data/ but the rendered city
	rm -rf .venv .snakemake .pytest_cache .ruff_cache results logs data/city data/city_night

.venv/ready: requirements.lock .venv/bin/uv
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip sync --quiet --compile-bytecode requirements.lock
	touch $@

.venv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; make PYTHON=... names one")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet uv
