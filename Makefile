# `make` lists the verbs. Nothing is needed but make and a Python from 3.11 to 3.13 with its venv.
PYTHON ?= python3
JOBS ?= 2
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
LOWEST := $(VENV)/lowest

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-fast test-all golden mutants test-lowest fuzz lint format bench kills advice power profile sync clean clean-all

help: ## List these verbs
	@echo "regraft: how much of a pretrained network should I keep?"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(STAMP) ## Run the four strategies in the four quadrants, draw the answer
	@touch $(VENV)/.quickstart
	@$(PY) train.py -m sweep=quadrants $(ARGS); status=$$?; \
	picture=$$(find outputs -name quadrants.png -newer $(VENV)/.quickstart | sort | tail -n 1); \
	if [ -n "$$picture" ]; then echo; echo "The picture: $$picture"; fi; \
	exit $$status

# Each worker takes a row of neighbouring tests and, when it has none left, some of the other's.
PYTEST = $(PY) -m pytest -n $(JOBS) --dist worksteal --durations=10 --durations-min=0.5

install: $(STAMP) ## Make the environment, which the other verbs do by themselves

.PHONY: machine
machine: $(STAMP)
	@$(PY) tests/support/machine.py

test: machine ## All tests but the nightly ones (JOBS=2 at a time, ARGS="-k words" for some)
	@$(PYTEST) $(ARGS)

test-fast: machine ## Those that train no run and start no command
	@$(PYTEST) tests/unit src $(ARGS)

test-all: machine ## All tests and the nightly ones: an hour or more
	@$(PYTEST) tests src $(ARGS)

golden: $(STAMP) ## Train the jobs of the golden losses again, show old beside new, write the file
	@$(PY) tests/support/golden.py

mutants: $(STAMP) ## Break the engine in many small ways; some test must catch each
	@JOBS=$(JOBS) $(PY) tests/support/mutants.py $(ARGS)

# Without pytest's filter: old packages use what newer ones, which they take, are about to remove.
TESTED_AT_FLOORS := $(addprefix tests/unit/,test_conf.py test_config.py test_provenance.py test_plan.py \
	test_head.py test_optim.py test_backbone.py test_weights.py test_hub.py data/test_manifest.py)

test-lowest: $(STAMP) ## A job and some tests on the lowest allowed dependencies
	@$(PY) -m venv $(LOWEST) && $(LOWEST)/bin/python -m pip install --no-input -q "uv>=0.5"
	@$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct -e ".[parquet]" "pytest>=8.3" "hypothesis>=6.100"
	@rm -rf $(LOWEST)/outputs
	@WANDB_MODE=offline $(LOWEST)/bin/python train.py -m strategy=feature_extraction,finetune \
		logger=wandb data.per_class=20 trainer.max_epochs=2 hydra.sweep.dir=$(LOWEST)/outputs
	@$(LOWEST)/bin/regraft report $(LOWEST)/outputs
	@$(LOWEST)/bin/python -m pytest -q -o filterwarnings= $(TESTED_AT_FLOORS) $(ARGS)

fuzz: $(STAMP) ## 2,000 random command lines, each a fast run or one clear line
	@$(PY) benchmarks/fuzz.py $(ARGS)

lint: $(STAMP) ## Style, format, types, and that imports only go down
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(STAMP) ## Put style and format right
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(STAMP) ## Measure what the README claims
	@$(PY) benchmarks/run.py $(ARGS)

kills: $(STAMP) ## Kill -9 at 50 random moments, go on, compare
	@$(PY) benchmarks/kills.py $(ARGS)

power: $(STAMP) ## How often a verdict over a sweep is wrong, and which lead it finds
	@$(PY) benchmarks/power.py $(ARGS)

advice: $(STAMP) ## What strategy=auto loses against the best strategy, at many sizes
	@$(PY) benchmarks/advice.py $(ARGS)

profile: $(STAMP) ## Show where the time of a head-only job goes
	@GOMP_SPINCOUNT=20000 $(PY) benchmarks/one_job.py $(ARGS)

sync: $(STAMP) ## Upload the W&B runs that were logged offline
	@if [ -z "$$(find outputs -type d -path '*/wandb/offline-run-*' -prune -print)" ]; then \
		echo "Nothing to upload: no offline run in outputs/."; \
	else \
		find outputs -type d -path '*/wandb/offline-run-*' -prune -exec $(PY) -m wandb sync --yes $(ARGS) {} + \
		|| { echo "Not logged in? Once: $(VENV)/bin/wandb login" >&2; exit 1; }; \
	fi

clean: ## Remove caches and builds; keep outputs/ and .venv
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name $(VENV) -prune -o -name outputs -prune -o -name __pycache__ -type d -print | xargs rm -rf

clean-all: clean ## The same and .venv; keep outputs/
	@rm -rf $(VENV)

# The environment. The stamp is newer than what it was made from, so a second call costs nothing.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

$(STAMP): pyproject.toml constraints.txt
	@if ! $(PY) -c 'import pip; $(SUPPORTED)' 2>/dev/null; then \
		found=; \
		for python in $(PYTHON) python3.13 python3.12 python3.11; do \
			if $$python -c '$(SUPPORTED)' 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "regraft needs Python 3.11, 3.12 or 3.13 with its venv module: install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$($$found --version) ..."; \
		rm -rf $(VENV) && $$found -m venv $(VENV) || exit 1; \
	fi
	@echo "Installing what regraft needs into $(VENV) (about 3 GB to fetch the first time, a few minutes) ..."
	@$(PY) -m pip install --disable-pip-version-check --no-input -e ".[dev]" -c constraints.txt
	@touch $@
	@echo "Installed."
