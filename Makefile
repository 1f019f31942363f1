# Everything is set up on first use in .venv; python3 (3.11 or newer), pip and make must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHARED := -q --numprocesses auto --maxprocesses 4 --dist loadfile
FAST := tests --ignore=tests/integration --ignore=tests/reliability $(SHARED)
DOCS_READY := $(VENV)/.docs-ready

.PHONY: demo test check docs format test-thorough test-lowest test-newest coverage clean

demo: $(READY)  ## few labels, much unlabelled text: one table in a few minutes
	$(BIN)/ukd demo

# Several at a time with a thread each, for threads of two would wait for each other; runs that are killed at a moment have
# the machine for themselves.
test: $(READY)  ## fast tests first, then whole runs, then disturbed ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(FAST)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration $(SHARED)
	$(BIN)/python -m pytest tests/reliability -q

check: $(READY)  ## style, types, security, architecture
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive ukd_core ukd_adapters plugins examples benchmarks
	$(BIN)/python -m pytest tests/test_architecture.py -q

docs: $(DOCS_READY)  ## the site, into site/, and its tests; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python -m pytest tests/test_site.py -q

format: $(READY)
	$(BIN)/ruff check --fix .

test-thorough: $(READY)  ## ten times the examples for every law
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest tests/properties -q

# The oldest versions that pyproject.toml allows, and the newest there are, in environments of their own. Their torch comes
# from the registry, with several gigabytes of GPU libraries.
test-lowest test-newest: test-%: .venv-%/.ready  ## the fast tests with other versions
	OMP_NUM_THREADS=1 .venv-$*/bin/python -m pytest $(FAST)

# Processes that tests start count as well; those of tests/reliability are killed, which leaves nothing of them.
coverage: $(READY)  ## branches of ukd_core that the tests take; fewer than 95 % is an error
	$(BIN)/python -m pytest tests --ignore=tests/reliability -q --cov=ukd_core --cov-branch \
		--cov-report=term-missing:skip-covered --cov-fail-under=95

# torch comes first and pinned: a plain `torch` would bring gigabytes of GPU libraries where a CPU build is at hand.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-lowest/.ready: RESOLUTION := lowest-direct
.venv-newest/.ready: RESOLUTION := highest
.venv-lowest/.ready .venv-newest/.ready: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(@D)/bin/uv pip install --quiet --python $(@D)/bin/python --resolution $(RESOLUTION) --editable '.[dev]'
	touch $@

# Apart from the rest, so that nobody waits for it who builds no site.
$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest site build dist *.egg-info
