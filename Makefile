# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
# Each target makes what it needs: the virtual environment, the packages, Kafka's jars.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
# Kafka's jars are downloaded once per user, not once per test.
export PYTHONPATH := $(CURDIR)

.PHONY: help demo up test tests programs lint types layers unit integration bench bench-formats bench-page bench-quick compare faults long mutants interop registry wheel docs lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

$(VENV)/app: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/dev: $(VENV)/app requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/app  ## the whole story on a real Kafka, in under a minute, ended by a proof
	$(RUN) -m kafka_orders demo

$(VENV)/page: $(VENV)/app requirements-dashboard.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dashboard.txt
	@touch $@

up: $(VENV)/page  ## everything at once until Ctrl-C, with a page to look at
	$(RUN) -m kafka_orders up

test: lint types layers tests  ## all that CI runs

# Three workers, a Kafka each: most of these tests wait for a broker, not for a processor. Those that measure how long
# something takes come after them, with nothing beside them.
tests: $(VENV)/dev programs
	$(RUN) -m pytest -n 3 --dist worksteal -m "not timed"
	$(RUN) -m pytest -m timed

programs: $(VENV)/dev
	$(RUN) tools/programs.py

lint: $(VENV)/dev  ## ruff: style and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/dev  ## mypy --strict
	$(RUN) -m mypy

layers: $(VENV)/dev  ## import-linter: each room imports only from the rooms below
	$(BIN)/lint-imports

unit: $(VENV)/dev  ## the tests that need no broker, in seconds
	$(RUN) -m pytest tests/unit

integration: $(VENV)/dev  ## the tests on a real broker
	$(RUN) -m pytest tests/integration tests/faults tests/acceptance

# The peers' libraries, apart from the product's; Quix Streams pins another client, so it is apart from these.
$(VENV)-bench/peers: requirements-bench.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

$(VENV)-bench-quix/peers: requirements-bench-quix.txt
	$(PYTHON) -m venv $(VENV)-bench-quix
	$(VENV)-bench-quix/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench-quix.txt
	@touch $@

bench: $(VENV)-bench/peers $(VENV)-bench-quix/peers  ## ours and its peers on one broker, then latency; writes docs/benchmarks.*
	$(VENV)-bench/bin/python -m benchmarks $(BENCH)
	$(VENV)-bench/bin/python -m benchmarks.latency

bench-formats: $(VENV)-bench/peers  ## ours with each format, raw and framed by a schema registry; into docs/benchmarks.*
	$(VENV)-bench/bin/python -m benchmarks --formats $(BENCH)

compare: $(VENV)/dev  ## the formats side by side: docs/formats-compared.*
	$(RUN) -m kafka_orders schema compare --chart docs/formats-compared.svg --page docs/formats-compared.md --force

bench-page: $(VENV)-bench/peers  ## page and chart anew from docs/benchmarks.json
	$(VENV)-bench/bin/python -m benchmarks --render

bench-quick: $(VENV)-bench/peers  ## the same with few orders and the quicker peers, in under 3 minutes; prints, writes nothing
	$(VENV)-bench/bin/python -m benchmarks --quick $(BENCH)

faults: $(VENV)/dev  ## the fault campaign: 1,000 kills, 1,000,000 orders, about an hour; goes on where it stopped
	$(RUN) -m tests.faults.campaign $(FAULTS)

long: $(VENV)/dev programs  ## 1,000,000 dead letters, a page open for an hour, each decoder fuzzed for 10 minutes; prints figures
	CI=true KAFKA_ORDERS_TEST_LETTERS=1000000 $(RUN) -m pytest -s tests/integration/test_dlq_scale.py
	CI=true KAFKA_ORDERS_TEST_PAGE_MINUTES=60 $(RUN) -m pytest -s tests/acceptance/test_page_cost.py
	$(RUN) -m tests.fuzz all --seconds 600 --page docs/fuzzing.md

mutants: $(VENV)/dev  ## each defence taken away: a fault scenario has to notice
	$(RUN) -m tests.faults.mutate

interop: $(VENV)/dev  ## orders between us and other people's clients (Java, node, Go) by a real registry; prints what each reads
	$(RUN) -m tests.interop $(INTEROP)

registry: $(VENV)/dev  ## a schema registry to try things with until Ctrl-C; prints its URL
	$(RUN) -m tests.support.registry

wheel: $(VENV)/dev  ## wheel, sdist and SBOM in dist/, the same bytes every time
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RUN) tools/distribution.py

docs: $(VENV)/dev  ## docs/reference, from the code
	$(RUN) tools/reference.py

lock: $(VENV)/dev  ## renew the hash-pinned requirements
	for name in requirements requirements-dashboard requirements-dev requirements-bench requirements-bench-quix; do $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal \
	  --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header $$name.in -o $$name.txt; done

clean:  ## remove the virtual environment and what tools leave
	rm -rf $(VENV) $(VENV)-bench $(VENV)-bench-quix .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
