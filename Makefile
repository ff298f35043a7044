# `make` lists the verbs. Nothing is needed but make and a Python from 3.11 to 3.13 with its venv.
PYTHON ?= python3
JOBS ?= 2
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
BASE := $(VENV)/.needed
STAMP := $(VENV)/.installed
LOWEST := $(VENV)/lowest

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-fast test-all golden mutants test-lowest fuzz lint format bench kills advice power profile lock audit sync clean clean-all

help: ## List these verbs
	@echo "regraft: how much of a pretrained network should I keep?"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(BASE) ## Run the four strategies in the four quadrants, draw the answer
	@touch $(VENV)/.quickstart
	@$(PY) train.py -m sweep=quadrants $(ARGS); status=$$?; \
	picture=$$(find outputs -name quadrants.png -newer $(VENV)/.quickstart | sort | tail -n 1); \
	if [ -n "$$picture" ]; then echo; echo "The picture: $$picture"; fi; \
	exit $$status

# Each worker takes a row of neighbouring tests and, when it has none left, some of the other's.
PYTEST = $(PY) -m pytest -n $(JOBS) --dist worksteal --durations=10 --durations-min=0.5

install: $(STAMP) ## Make the environment with the developers' tools, which the other verbs do by themselves

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
	@$(PY) -m venv --clear $(LOWEST)
	@$(PY) -m uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct -e ".[parquet]" "pytest>=8.3" "hypothesis>=6.100"
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

lock: $(STAMP) ## Renew the locks: the newest versions that go together, with their hashes
	@$(LOCK) --upgrade --extra dev -o constraints.txt
	@cp constraints.txt requirements.txt && $(LOCK) -o requirements.txt

# On every Python and system that is supported. What the output holds already is kept, unless --upgrade.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m uv pip compile -q pyproject.toml --group build --universal \
	--python-version 3.11 --generate-hashes --no-annotate

audit: $(STAMP) ## Look for known holes in the locked and in the lowest allowed versions
	@$(AUDIT) --require-hashes -r constraints.txt || { $(NOT_AUDITED); }
	@$(PY) -m uv pip compile -q pyproject.toml --all-extras --resolution lowest-direct --no-annotate -o $(VENV)/lowest.txt
	@$(AUDIT) --no-deps -r $(VENV)/lowest.txt || { $(NOT_AUDITED); }

# Strict, or what the service of advisories does not know would pass, and all does where it cannot be reached.
AUDIT = $(PY) -m pip_audit --strict --disable-pip --progress-spinner off --desc off
NOT_AUDITED = echo "make audit: there is a known hole above, or the service of advisories could not be asked" >&2; exit 1

sync: $(BASE) ## Upload the W&B runs that were logged offline
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

# The environment: what the program needs, and all. A stamp is newer than what it was made from, so a second
# call costs nothing. Every verb but quickstart and sync wants all.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

$(BASE): pyproject.toml requirements.txt install.py
	@$(NEW_VENV)
	@$(PY) install.py requirements.txt
	@touch $@

$(STAMP): pyproject.toml constraints.txt install.py
	@$(NEW_VENV)
	@$(PY) install.py constraints.txt
	@touch $(BASE) $@

# Unless there is one of a Python that is supported.
define NEW_VENV
if ! $(PY) -c 'import pip; $(SUPPORTED)' 2>/dev/null; then \
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
endef
