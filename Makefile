# Chatacter. `make` lists what can be done. The same targets run in CI (.ci/run).
PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
TOOLS := .venv/.tools-installed

.DEFAULT_GOAL := help
.PHONY: help run test torture check render bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUNTIME) ## Install what is missing and start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/chatacter up

test: $(DEV) $(TOOLS) ## Run every test, with real small models
	@$(BIN)/chatacter models install --profile tests
	$(BIN)/python -m pytest

torture: $(DEV) ## Ask each memory 100,000 times for what is another's; kill dispatchers and Redis under 2,000 jobs
	ISOLATION_QUERIES=100000 $(BIN)/python -m pytest tests/contract/test_memory_isolation.py -k thousand
	TORTURE_JOBS=2000 TORTURE_KILLS=50 TORTURE_STOPS=10 TORTURE_POWER_CUTS=2 TORTURE_SECONDS=420 \
		$(BIN)/python -m pytest tests/integration/test_jobs_torture.py -s

check: $(DEV) $(TOOLS) ## Check style, types, import rules and generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy services
	$(BIN)/lint-imports
	$(BIN)/python scripts/render --check

render: $(DEV) $(TOOLS) ## Write the generated files anew
	$(BIN)/python scripts/render

bench: $(DEV) $(TOOLS) ## Measure on this machine
	@$(BIN)/chatacter models install --profile embedded
	@set -e; for benchmark in benchmarks/*.py; do echo "$$benchmark"; $(BIN)/python "$$benchmark"; done

clean: ## Remove what can be made again; never data, never models
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock pyproject.toml scripts/venv
	@PYTHON=$(PYTHON) scripts/venv requirements.lock $@

$(DEV): requirements-dev.lock requirements-torch.txt pyproject.toml scripts/venv
	@PYTHON=$(PYTHON) TORCH=requirements-torch.txt scripts/venv requirements-dev.lock $@ $(RUNTIME)

$(TOOLS): requirements-tools.lock scripts/tools | $(DEV)
	@scripts/tools $@
