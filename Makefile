# One command for each thing a developer does; `make` alone lists them.
#
# Whatever is needed is installed into .venv from the locks, by hash, the first time and whenever
# a lock changes. PYTHON=/path picks the interpreter, ARGS="..." reaches the command that is run.

VENV = .venv
PY = $(VENV)/bin/python
# The scanners have an environment of their own, since they need other versions.
SCAN = .venv-scan
# What has been done to .venv so far: made (with the interpreter named inside), and filled.
MADE = $(VENV)/.made
CLI = $(VENV)/.cli
DEV = $(VENV)/.dev

INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes
# Warnings matter only once something has failed.
LOGGED = 2>$(VENV)/.log || { cat $(VENV)/.log >&2; exit 1; }
COMPILE = $(PY) -m uv pip compile --quiet --python $(PY)

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help run start test explore lint scan infra bench package publish docs lock upgrade clean FORCE

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(CLI) ## run the detection on recorded logs and show what it finds
	@$(PY) -m detection demo $(ARGS)

start: $(DEV) ## run the app on this machine (ARGS="--recorded DIR": over recorded logs)
	@$(PY) -m emulator $(ARGS)

# Sets have the same order on every run, so that red means that something was changed.
test: $(DEV) ## run the tests
	@PYTHONHASHSEED=0 $(PY) -m pytest -n auto --dist worksteal $(ARGS)

explore: $(DEV) ## look for failures with new examples and seeds (10 minutes; ARGS="--minutes 60")
	@$(PY) -m scripts.explore $(ARGS)

lint: $(DEV) ## check style, format, types and the deployment
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@$(PY) -m mypy --platform win32 detection
	@sh scripts/infra.sh lint

scan: $(SCAN)/.made ## scan the deployment and the workflows: checkov, actionlint, zizmor
	@$(PY) -m scripts.scan

infra: $(CLI) ## bring the deployment in line with the product, and compile it
	@PYTHON=$(PY) sh scripts/infra.sh make

bench: $(DEV) ## measure speed and memory, beside polars, DuckDB and pandas
	@status=0; \
	$(PY) -m bench.startup || status=1; \
	$(PY) -m bench $(ARGS) || status=1; \
	$(PY) -m bench.live || status=1; \
	exit $$status

package: $(DEV) ## build the app to deploy, out/package.zip and out/app/ (ARGS=--help: more)
	@$(PY) -m scripts.package $(ARGS)

# Needs Python alone. In quotation marks, since a resource group's name may have parentheses.
publish: ## publish out/package.zip (APP=name GROUP=name SUBSCRIPTION=id)
	@python=$$(sh scripts/find_python.sh) || exit 1; \
	"$$python" -m scripts.publish --name "$(APP)" --resource-group "$(GROUP)" \
		--subscription "$(SUBSCRIPTION)" $(ARGS)

docs: $(DEV) ## take the picture of the report again
	@$(PY) -m scripts.take_picture >/dev/null

# The smaller locks start from the big one, so that all three agree. The scanners' lock is apart.
lock: $(DEV) ## bring the locks in line with pyproject.toml, keeping versions
	@$(COMPILE) $(UPGRADE) pyproject.toml --group dev --output-file requirements-dev.txt
	@cp requirements-dev.txt requirements-cli.txt
	@$(COMPILE) pyproject.toml --output-file requirements-cli.txt
	@cp requirements-dev.txt requirements.txt
	@$(COMPILE) --group app --output-file requirements.txt
	@$(COMPILE) $(UPGRADE) --group scan --output-file requirements-scan.txt

upgrade: UPGRADE = --upgrade
upgrade: lock ## move the locks to the newest versions

clean: ## remove .venv and .venv-scan, caches, packages and benchmark data
	@rm -rf $(VENV) $(SCAN) .mypy_cache .pytest_cache .ruff_cache .hypothesis bench/data build *.egg-info out/app out/package*.zip
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CLI): requirements-cli.txt $(MADE)
	@echo "Installing requirements-cli.txt"
	@$(INSTALL) -r requirements-cli.txt $(LOGGED)
	@touch $(CLI)

# requirements-dev.txt holds all that requirements-cli.txt does.
$(DEV): requirements-dev.txt $(MADE)
	@echo "Installing requirements-dev.txt"
	@$(INSTALL) -r requirements-dev.txt $(LOGGED)
	@touch $(CLI) $(DEV)

# By uv, which takes seconds where pip takes more than a minute; its settings in pyproject.toml
# are for locks, and would choose another Python.
$(SCAN)/.made: requirements-scan.txt $(MADE) | $(DEV)
	@echo "Installing requirements-scan.txt"
	@$(PY) -m uv venv --quiet --clear --python $(PY) $(SCAN) $(LOGGED)
	@$(PY) -m uv pip install --quiet --no-config --system-certs --python $(SCAN)/bin/python \
		--no-build --require-hashes -r requirements-scan.txt $(LOGGED)
	@touch $@

# Looked at again where PYTHON may name another interpreter or the one used has gone.
$(MADE): $(if $(PYTHON),FORCE) $(shell test -x $(PY) || echo FORCE)
	@python=$$(sh scripts/find_python.sh) || exit 1; \
	if test -x $(PY) && test "$$(cat $(MADE) 2>/dev/null)" = "$$python"; then exit 0; fi; \
	version=$$("$$python" -c 'import platform; print(platform.python_version())'); \
	echo "Setting up $(VENV) with Python $$version (first time only, about half a minute)"; \
	"$$python" -m venv --clear $(VENV) && echo "$$python" >$(MADE)
