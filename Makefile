# make run     set up .venv, then search on the sample; minutes on two cores
# make test    set up .venv, then all tests but those that take long or need a GPU
# make help    the rest

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SPACE ?= spaces/quick.yaml
# More for `make faults`, e.g. FAULTS="--files 10000 --seed 7"
FAULTS ?=

# The first Python that we run on; name another with PYTHON=...
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for name in python3 python3.12 python3.11; do \
	"$$name" -c '$(FITS)' 2>/dev/null && echo "$$name" && break; done)

.PHONY: run setup test check check-torch check-rest check-types check-lint thorough catalogue faults bench bench-quick score presets views pretrained gpu docs help
.DEFAULT_GOAL := help

run: $(STAMP)  ## set up, then search run spaces/quick.yaml (SPACE=... for another)
	$(BIN)/search run $(SPACE)

setup: $(STAMP)  ## make .venv with the tested versions

test: $(STAMP)  ## all tests but those of make thorough, make catalogue and make gpu; under 15 minutes
	$(BIN)/pytest -n 3 --dist loadfile -m "not gpu and not catalogue and not thorough" tests/contract tests/unit
	$(BIN)/pytest -n 2 --dist load --timeout 600 -m "not gpu and not thorough" tests/e2e

check: $(STAMP)  ## ruff, mypy, import-linter and the fast tests; under a minute
	@$(MAKE) --no-print-directory -j4 $(WHOLE) check-torch check-rest check-types check-lint

# Side by side, what each says as a whole. The rooms that import torch have a process of
# their own, so that it is imported once.
WHOLE = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
FAST := -m "not slow and not thorough and not gpu and not browser" -x
TORCH := $(addprefix tests/unit/,backbones export training tuning cli/test_hopeless.py)

check-torch: $(STAMP)
	$(BIN)/pytest $(FAST) $(TORCH)

check-rest: $(STAMP)
	$(BIN)/pytest $(FAST) $(TORCH:%=--ignore=%) tests/unit tests/contract

check-types: $(STAMP)
	$(BIN)/mypy search

check-lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/lint-imports

thorough: $(STAMP)  ## more cases of the tests, and faults that take minutes: full disks, no memory, a lost node
	$(BIN)/pytest -m thorough tests

catalogue: $(STAMP)  ## the backbones of more than 100 M parameters; 8 GB of memory
	$(BIN)/pytest -m catalogue tests/unit

faults: $(STAMP)  ## break it on purpose: kills, outages, hostile files; under 20 minutes
	$(BIN)/python -m tests.faults --report studies/faults.md $(FAULTS)

bench: $(STAMP)  ## ours, a usual script and a careful one on the same work; under 30 minutes
	$(BIN)/python benchmarks/bench.py

bench-quick: $(STAMP)  ## the same with fewer trials; under 5 minutes
	$(BIN)/python benchmarks/bench.py --quick --out bench-quick.json

score: $(STAMP)  ## what the exported models are worth on three data sets; under 30 minutes
	$(BIN)/python benchmarks/score.py

presets: $(STAMP)  ## each preset against a flat space, 5 splits; 45 minutes
	$(BIN)/python benchmarks/presets.py

views: $(STAMP)  ## what fewer augmented views cost in test score, 5 splits
	$(BIN)/python benchmarks/views.py

pretrained: $(STAMP)  ## what pretrained weights are worth, 3 splits
	$(BIN)/python benchmarks/pretrained.py

gpu: $(STAMP)  ## on a machine with a card: its tests, its speed, then spaces/vision.yaml
	$(BIN)/pytest -m gpu tests/gpu
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/search run spaces/vision.yaml --minutes 4 --name vision-gpu-$$(date +%Y%m%d-%H%M%S)

docs: $(STAMP)  ## docs/settings.md and the schema for editors, anew from the code
	$(BIN)/python -m search.cli.settings_page > docs/settings.md
	$(BIN)/search schema > schema/space.schema.json

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

# Installed again only when what should be installed changes.
$(STAMP): pyproject.toml constraints.txt
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || "$(PYTHON)" -c '$(FITS)' 2>/dev/null || { \
		echo "Python 3.11 or 3.12 is needed; $(or $(PYTHON),python3) is" \
			"$$("$(or $(PYTHON),python3)" --version 2>&1)" >&2; \
		echo "  fix: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check \
		--constraint constraints.txt --editable '.[demo,dev]'
	@touch $@
