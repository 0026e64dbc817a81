# make lab         opens the notebooks in JupyterLab, installing what they need (Python 3.11+, nothing else)
# make test        installs what the tests need and runs all of them; parts: style types units cells browser
# make notebooks   runs the notebooks and stores their outputs
# make constraints pins every package anew
# Settings: PYTHON=/path/to/python3, LAB="--no-browser --port=9999", WORKERS=2

PYTHON  ?= python3
WORKERS ?= 2
LAB     ?=
BIN     := .venv/bin
# The clock's zone, hashing and AWS are the same for every run; nothing is asked of a person.
QUIET   := TZ=UTC PYTHONHASHSEED=0 SFLAB_HEADLESS=1
export PYTHON

.PHONY: lab env test style types units cells browser notebooks constraints clean
.NOTPARALLEL:

lab:
	@.ci/env
	@$(BIN)/jupyter trust notebooks/*.ipynb
	$(BIN)/jupyter lab $$([ "$$(id -u)" != 0 ] || echo --allow-root) --LabApp.default_url=/lab/tree/notebooks/00-tour.ipynb $(LAB)

env:
	@.ci/env test

test: style types units cells browser

style: env
	$(BIN)/ruff check --output-format=concise
	$(BIN)/ruff format --check

types: env
	$(BIN)/mypy

units: env
	$(QUIET) $(BIN)/pytest -n $(WORKERS) --ignore=tests/browser tests

cells: env
	$(QUIET) $(BIN)/pytest -n $(WORKERS) --dist loadfile --nbval --nbval-sanitize-with=notebooks/sanitize.cfg \
	    --nbval-cell-timeout=60 --ignore-glob='*/mine-*' notebooks

browser: env
	@.ci/browser install
	$(QUIET) $(BIN)/pytest tests/browser

notebooks: env
	$(BIN)/python .ci/notebooks.py notebooks/[0-9]*.ipynb

constraints: env
	printf 'uv\nhatchling\n' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
	    --no-header --no-annotate --no-emit-index-url pyproject.toml - -o constraints.txt

clean:
	rm -rf .venv .*_cache .hypothesis dist tests/browser/artefacts
	find . -name __pycache__ -prune -exec rm -rf {} +
