# make demo | playground | test | lint | run. Each installs what it needs, once, into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEPS := pyproject.toml constraints.txt

.PHONY: demo playground run test lint coverage locales clean

demo: $(VENV)/.installed-demo
	@$(BIN)/trinart demo

playground: $(VENV)/.installed-demo
	@$(BIN)/trinart playground

run: $(VENV)/.installed-demo
	@$(BIN)/trinart run

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

coverage: $(VENV)/.installed-dev
	$(BIN)/coverage run -m pytest && $(BIN)/coverage combine -q && $(BIN)/coverage report

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Takes new messages from the sources into the Japanese catalogue, for a translator to fill in.
locales: $(VENV)/.installed-dev
	$(BIN)/pybabel -q extract -k N_ -k t -k _t --no-location --omit-header -o bot/locales/messages.pot bot cogs
	$(BIN)/pybabel -q update --width=110 --no-fuzzy-matching -l ja -i bot/locales/messages.pot -o bot/locales/ja.po
	rm bot/locales/messages.pot

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: $(VENV)/bin/python $(DEPS)
	$(PIP) install -c constraints.txt -e '.[engine,demo]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-demo
	$(PIP) install -c constraints.txt -e '.[engine,demo,postgres,c2pa,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist demo-output .pytest_cache .ruff_cache .hypothesis
