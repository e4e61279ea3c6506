# Two commands do it all: `make demo` and `make test`. Every target builds on `make install`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/complete-journey
DATA ?= data/complete-journey

.PHONY: install demo data test test-unit test-integration test-e2e test-slow lint types contracts docs check bench clean

install: $(VENV)/.installed

# torch first and pinned: an open range may pull a CUDA build of several gigabytes
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo,dev]'
	touch $@

data: $(DATA)/interactions.parquet

$(DATA)/interactions.parquet: | install
	$(BIN)/timerec data complete-journey --out $(DATA)

demo: data
	$(BIN)/timerec run --data $(DATA) --out $(RUN) > /dev/null
	$(BIN)/timerec show --bundle $(RUN)/bundle
	@echo
	@echo "The evidence: $(RUN)/report.html    The recommender: $(RUN)/bundle"

test: install
	$(BIN)/pytest -q -m "not slow" tests timerec

test-unit: install
	$(BIN)/pytest -q tests/unit

test-integration: install
	$(BIN)/pytest -q -m "not slow" tests/integration

test-e2e: install
	$(BIN)/pytest -q -m "not slow" tests/e2e

test-slow: install
	$(BIN)/pytest -q -m slow tests

lint: install
	$(BIN)/ruff check timerec jobs tests bench docs
	$(BIN)/ruff format --check timerec jobs tests bench docs

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

docs: install
	PYTHONPATH=. $(BIN)/python docs/settings.py

check: lint types contracts

clean:
	rm -rf runs data build dist .pytest_cache .mypy_cache .ruff_cache
