# Two commands do it all: `make demo` and `make test`. Every target builds on `make install`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/complete-journey
DATA ?= data/complete-journey

.PHONY: install dev redis browser rectools demo data test test-unit test-integration test-e2e test-slow lint types contracts docs proto check clean

install: $(VENV)/.installed

# torch first and pinned: an open range may pull a CUDA build of several gigabytes
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo]'
	touch $@

# what tests and checks need beside it
dev: $(VENV)/.dev redis browser

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev]'
	touch $@

# the server that the tests of the event store start for themselves
redis:
	@command -v redis-server > /dev/null || { \
	  command -v apt-get > /dev/null || { echo "redis-server is missing and there is no apt-get: install Redis 7"; exit 1; }; \
	  apt-get install -y -q redis-server || { apt-get update -q && apt-get install -y -q redis-server; }; }

# what the tests of the page drive
browser:
	@command -v chromium > /dev/null || { \
	  command -v apt-get > /dev/null || { echo "chromium is missing and there is no apt-get: install Chromium"; exit 1; }; \
	  apt-get install -y -q --no-install-recommends chromium || { \
	    apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }; }

# the peer SASRec wants older releases of NumPy and pandas: an environment of its own
rectools: .venv-rectools/.installed

.venv-rectools/.installed: constraints-rectools.txt
	$(PYTHON) -m venv .venv-rectools
	.venv-rectools/bin/pip install --quiet -c constraints-rectools.txt torch
	.venv-rectools/bin/pip install --quiet -c constraints-rectools.txt 'rectools[torch]'
	touch $@
	@echo "set evaluate.rectools=$(CURDIR)/.venv-rectools/bin/python"

data: $(DATA)/interactions.parquet

$(DATA)/interactions.parquet: | install
	$(BIN)/timerec data complete-journey --out $(DATA)

demo: data
	$(BIN)/timerec run --data $(DATA) --out $(RUN) > /dev/null
	$(BIN)/timerec unpack --bundle $(RUN)/bundle
	$(BIN)/timerec show --bundle $(RUN)/bundle
	@echo
	@echo "The evidence: $(RUN)/report.html    The recommender: $(RUN)/bundle"

test: dev
	$(BIN)/pytest -q -m "not slow" tests timerec

test-unit: dev
	$(BIN)/pytest -q tests/unit

test-integration: dev
	$(BIN)/pytest -q -m "not slow" tests/integration

test-e2e: dev
	$(BIN)/pytest -q -m "not slow" tests/e2e

test-slow: dev
	$(BIN)/pytest -q -m slow tests

lint: dev
	$(BIN)/ruff check timerec jobs serve_app tests bench docs
	$(BIN)/ruff format --check timerec jobs serve_app tests bench docs

types: dev
	$(BIN)/mypy

contracts: dev
	$(BIN)/lint-imports

docs: install
	PYTHONPATH=. $(BIN)/python docs/settings.py

# messages and stubs of gRPC
proto: dev
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. serve_app/timerec.proto

check: lint types contracts

clean:
	rm -rf runs data build dist .pytest_cache .mypy_cache .ruff_cache
