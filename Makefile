# Every target installs its dependencies: `make demo` and `make test` run on a fresh machine.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.synced
RUN := $(VENV)/bin

# Some images set it; then each of a run's hundred processes compiles its imports again, for three seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check audit coverage fuzz soak overload matrix nodes chaos packaging compose-check reference serve bench bench-frames bench-agents compat unit clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(STAMP) ## Run real rooms against simulated models, and reconcile the bill
	@$(RUN)/rayroom demo

test: $(STAMP) ## Pass every check and every test
	@$(RUN)/python -m tests.all

check: $(STAMP) ## Lint, types and imports: seconds
	$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy && $(RUN)/lint-imports

unit: $(STAMP) ## Run the tests that need no services
	$(RUN)/pytest tests/unit

coverage: $(STAMP) ## List the lines that the tests below the acceptance floor leave out
	$(RUN)/coverage erase
	$(RUN)/coverage run -m pytest tests/unit tests/contract tests/integration
	$(RUN)/coverage combine --quiet && $(RUN)/coverage report

matrix: $(STAMP) ## Run every row of the fault matrix
	$(RUN)/pytest tests/integration/gateway/test_fault_matrix.py

nodes: $(STAMP) ## Run the tests on Ray clusters of several nodes
	$(RUN)/pytest tests/nodes

chaos: $(STAMP) ## Kill every part of the bill 100 times on each of 3 seeds, and compare all books
	@$(RUN)/python -m tests.chaos

packaging: $(STAMP) ## Replay the Dockerfile, build and run the release, and check compose.yaml and manifests by their schemas
	$(RUN)/pytest tests/packaging

compose-check: $(STAMP) ## Check compose.yaml by the schema of the Compose specification
	$(RUN)/pytest tests/unit/deploy/test_compose.py tests/packaging/test_compose.py

reference: $(STAMP) ## Write docs/reference.md anew
	@$(RUN)/rayroom reference > docs/reference.new && mv docs/reference.new docs/reference.md

serve: $(STAMP) ## Serve serve_config.yaml with Ray's fast path
	@$(RUN)/rayroom serve

bench: $(STAMP) ## Measure against named peers on this machine
	@$(RUN)/python -m tests.benchmarks

bench-frames: $(STAMP) ## Measure the frame gate and its peers on labelled screens
	@$(RUN)/python -m tests.benchmarks.frames

bench-agents: $(STAMP) ## Measure a room's processor time and memory beside a plain livekit-agents worker
	@$(RUN)/python -m tests.benchmarks.bench_agents

compat: $(STAMP) ## Run other people's clients and suites against the app and the emulator
	@$(RUN)/python -m tests.compat

fuzz: $(STAMP) ## Send broken input to every parser and route; FUZZ_SECONDS (60) a parser
	@$(RUN)/python -m tests.fuzz

audit: $(STAMP) ## Scan the files for secrets, and ask the OSV database about every dependency
	$(RUN)/pytest -q tests/unit/test_secrets.py
	$(RUN)/uv audit --frozen

soak: $(STAMP) ## Run 200 rooms with faults for 30 minutes; no process may grow. SOAK="--minutes 1 --rooms 20" is the short form
	@$(RUN)/python -m tests.soak $(SOAK)

overload: $(STAMP) ## Send three times the capacity of a router replica, and judge what becomes of it. OVERLOAD=--ray floods a Ray cluster
	@$(RUN)/python -m tests.soak.overload $(OVERLOAD)

clean: ## Remove everything that was installed or left by runs
	rm -rf $(VENV) .tools .demo .rayroom examples/*/node_modules tests/support/*/node_modules tests/compat/compatcanary/node_modules tests/compat/clients/node/node_modules

$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python 3.11 or newer is needed; this is %d.%d. Install it, or name it: make PYTHON=python3.12" % v[:2])'
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@UV_PYTHON_DOWNLOADS=never $(RUN)/uv sync --quiet --frozen --all-extras --inexact --python $(RUN)/python
	@touch $@
