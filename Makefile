# Every target needs only Python and make. The first target that runs creates .venv/ from the lock.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: pictures python help setup run test trial check check-deploy sbom docs format lock bench soak clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A chosen version is checked each time, the default one before it makes an environment.
python:
ifneq ($(origin PYTHON),file)
	@./scripts/check-python "$(PYTHON)" .venv
endif

setup: python .venv/.installed  ## Create .venv/ with the packages of requirements.lock

.venv/.installed: requirements.lock pyproject.toml scripts/uv
	@test -x $(BIN)/python || ./scripts/check-python "$(PYTHON)"
	@test -x $(BIN)/python || PYTHON="$(PYTHON)" ./scripts/uv venv --quiet --python "$(PYTHON)" .venv
	@./scripts/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@./scripts/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: setup  ## Start all services, plan today and show its mails (ONCE=1 stops after the first mails)
	@$(BIN)/sequences day $(if $(filter-out 0,$(ONCE)),--once,)

test: setup  ## Run all tests on real servers, three files at a time
	@$(BIN)/pytest --numprocesses 3 --dist loadfile $(ARGS)

trial: setup  ## List the long trials, or run one (NAME=soak)
	@$(BIN)/python -m tests.trials $(NAME) $(ARGS)

check: setup  ## Check format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet . || (echo "Run 'make format'."; exit 1)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check-deploy: python .venv-deploy/.installed  ## Check the files of deploy/, without running them
	@.venv-deploy/bin/python deploy/check.py

.venv-deploy/.installed: deploy/tools.lock scripts/uv
	@test -x .venv-deploy/bin/python || ./scripts/check-python "$(PYTHON)"
	@test -x .venv-deploy/bin/python || \
	    PYTHON="$(PYTHON)" ./scripts/uv venv --quiet --python "$(PYTHON)" .venv-deploy
	@./scripts/uv pip sync --quiet --python .venv-deploy/bin/python --require-hashes deploy/tools.lock
	@touch $@

sbom: python .venv-deploy/.installed  ## Write the bill of materials .local/sbom.json (CycloneDX, with hashes)
	@mkdir -p .local
	@.venv-deploy/bin/python -W ignore -m cyclonedx_py requirements requirements.lock \
	    --pyproject pyproject.toml --output-reproducible --output-file .local/sbom.json
	@echo "Wrote .local/sbom.json."

docs: setup  ## Build the documentation in .local/site, with the reference generated from the code
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open .local/site/index.html."

format: setup  ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock:  ## Update the locks to the newest allowed versions that are at least a week old
	@./scripts/uv pip compile --quiet pyproject.toml --all-extras --universal --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header --exclude-newer "1 week" --upgrade -o requirements.lock
	@./scripts/uv pip compile --quiet deploy/tools.in --python-version 3.11 --universal --generate-hashes \
	    --no-emit-index-url --no-annotate --no-header --exclude-newer "1 week" --upgrade -o deploy/tools.lock

pictures: setup  ## Take the pictures of docs/tutorial.md from a stack with the sample data (needs Chromium)
	@PICTURES=docs/pictures $(BIN)/python -m tests.pictures

bench: setup  ## Measure the figures of docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

soak: setup  ## Run the trial soak: faults every few seconds, every mail accounted for (MINUTES=10)
	@$(BIN)/python -m tests.trials soak $(ARGS)

clean: setup  ## Stop the local stack and delete its data
	@$(BIN)/sequences stack down
	@rm -rf .local
