# `make quickstart` and `make test` do all the set-up on a fresh machine. Python 3.11 or newer is all they need:
# `make PYTHON=python3.12 test` picks one.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := plugins/specforge-rnnsearch plugins/specforge-focal plugins/specforge-trackers plugins/specforge-comet

# Versions come from constraints.txt, the build backend's too, which is why builds are not isolated.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: quickstart environment test test-slow test-gpu lint bench clean

quickstart: $(VENV)/.installed
	$(BIN)/specforge run specs/quickstart/quickstart.toml

environment: $(VENV)/.installed-dev

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for plugin in $(PLUGINS); do (cd $$plugin && ../../$(BIN)/mypy) || exit 1; done
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/validate_time.py
	$(BIN)/python benchmarks/memory_estimate.py
	$(BIN)/python benchmarks/multi30k.py

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find benchmarks plugins specforge specs tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched after the install, so a second make installs nothing until a list of dependencies changes.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "specforge needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/.backend: $(VENV)/.created constraints.txt
	$(INSTALL) hatchling editables setuptools
	touch $@

$(VENV)/.installed: $(VENV)/.backend pyproject.toml
	$(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.backend pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(INSTALL) --no-build-isolation --editable '.[dev,ctranslate2,huggingface,numba,onnx,rouge,tensorboard]' $(PLUGINS:%=--editable %)
	touch $@ $(VENV)/.installed
