# Every target needs only Python and make; the first one that runs makes .venv/ from the lock.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: pictures help setup run test test-celery check check-deploy sbom docs format lock bench soak clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed  ## Make .venv/ with exactly what requirements.lock names

.venv/.installed: requirements.lock pyproject.toml scripts/uv
	@test -x $(BIN)/python || ./scripts/uv venv --quiet --python $(PYTHON) .venv
	@./scripts/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@./scripts/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: setup  ## Start everything, plan today, watch it being mailed (ONCE=1: stop after the first mails)
	@$(BIN)/sequences day $(if $(filter-out 0,$(ONCE)),--once,)

test: setup  ## Run all tests on real servers, two files at a time
	@$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

test-celery: setup  ## Two Celery workers against one machine, and killed in the middle (ARGS=backfill or killed)
	@$(BIN)/python -m tests.celery $(ARGS)

check: setup  ## Format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet . || (echo "Run 'make format'."; exit 1)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check-deploy: .venv-deploy/.installed  ## Image, Compose, Kubernetes, Terraform and rules, without running them
	@.venv-deploy/bin/python deploy/check.py

.venv-deploy/.installed: deploy/tools.lock scripts/uv
	@test -x .venv-deploy/bin/python || ./scripts/uv venv --quiet --python $(PYTHON) .venv-deploy
	@./scripts/uv pip sync --quiet --python .venv-deploy/bin/python --require-hashes deploy/tools.lock
	@touch $@

sbom: .venv-deploy/.installed  ## Write .local/sbom.json: each package and its hashes, as CycloneDX
	@mkdir -p .local
	@.venv-deploy/bin/python -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
	    --output-reproducible --output-file .local/sbom.json
	@echo "It is in .local/sbom.json."

docs: setup  ## Build the documentation in .local/site, with the reference made from the code
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open .local/site/index.html."

format: setup  ## Rewrite the code in the project's format
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock:  ## Choose the newest allowed versions again (a week old at least) and write requirements.lock
	@./scripts/uv pip compile --quiet pyproject.toml --all-extras --universal --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header --exclude-newer "1 week" --upgrade -o requirements.lock
	@./scripts/uv pip compile --quiet deploy/tools.in --python-version 3.11 --universal --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header --exclude-newer "1 week" --upgrade -o deploy/tools.lock

pictures: setup  ## Open the pages of a running stack and take docs/tutorial.md's pictures anew (needs Chromium)
	@PICTURES=docs/pictures $(BIN)/pytest tests/end_to_end $(ARGS)

bench: setup  ## Measure, and print the figures of docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

soak: setup  ## Work under faults every few seconds (MINUTES=10), and account for every mail
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) $(ARGS)

clean: setup  ## Stop the local stack and remove its data
	@$(BIN)/sequences stack down
	@rm -rf .local
