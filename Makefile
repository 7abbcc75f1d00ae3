# `make` alone lists what there is. Set-up happens by itself, once, and again when its pins change.
MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
AZURITE := tests/local_azure/azurite
COLLECTION := build/collections/ansible_collections/vmguard/azure
# Two runs in one clone wait for each other where they would write the same files.
LOCKED = mkdir -p build && flock build/$(1).lock
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/tests
# Playbooks find the work tree as vmguard.azure, and nothing is written into the user's home.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build/collections
export ANSIBLE_HOME := $(CURDIR)/build/ansible

# `make test` runs these beside each other, the steps of each in this order. pytest has two processes.
LANES := lint,unit,integration azurite,sanity,demo,molecule,oldest

# What meets the packages most: every operation of the SDK that is used, logins, blobs, compression.
OLDEST_TESTS := $(addprefix tests/unit/plugins/test_,arm.py arm_requests.py auth.py requirements.py image_codec.py \
  restore_machine.py restore_point_request.py) tests/clients/test_sdk.py

##@ Try it
.PHONY: demo
demo: setup ## protect two VMs, lose data, bring it back: all on this machine
	@python tests/demo/demo.py

.PHONY: azure
azure: setup ## run local Azure in the foreground; it prints the environment to paste elsewhere
	@exec python -m local_azure

##@ Test it
.PHONY: test
test: venv ## everything, in two lanes; the first failure stops it, unless KEEP_GOING=1
	@exec python tests/tools/steps.py $(if $(KEEP_GOING),--keep-going) $(LANES)

.PHONY: lint
lint: venv ## formatter, linter, complexity, fragments, ansible-lint (production), docs
	@ruff format --check --quiet . || { echo "Not formatted: run 'make format'."; exit 1; }
	@ruff check --quiet .
	@$(MAKE) changelog
	@ansible-lint --offline --nocolor
	@$(MAKE) docs-lint

.PHONY: unit
unit: setup ## unit, contract and meta tests; PYTEST_ARGS="-k name" picks some
	@pytest --quiet -n 2 --dist worksteal tests/unit tests/contract tests/clients/test_sdk.py $(PYTEST_ARGS)

.PHONY: faults
faults: setup ## every request of a backup and a restore fails in every way, and is killed; PYTEST_ARGS as for unit
	@VMGUARD_FAULTS=all pytest --quiet -n 2 --dist worksteal tests/unit/plugins/test_*_faults.py tests/unit/plugins/test_*_kill.py \
	  tests/unit/plugins/test_restore_together.py tests/unit/plugins/test_restore_processes.py \
	  tests/unit/plugins/test_permissions.py tests/playbooks/test_playbooks.py $(PYTEST_ARGS)

.PHONY: sanity
sanity: venv ## ansible-test sanity, no ignores; SANITY_ARGS="--test pylint" picks some
	@python tests/tools/sanity.py $(SANITY_ARGS)

.PHONY: integration
integration: setup ## playbook tests against local Azure; PYTEST_ARGS="-k name" picks some
	@pytest --quiet -n 2 --dist worksteal tests/playbooks $(PYTEST_ARGS)

.PHONY: molecule
molecule: setup ## the roles against local Azure, with molecule's idempotence step
	@mkdir -p build; folder=$$(mktemp -d $(CURDIR)/build/molecule.XXXXXX); trap 'rm -rf "$$folder"' EXIT; \
	  cd extensions && NO_COLOR=1 MOLECULE_EPHEMERAL_DIRECTORY=$$folder molecule test

.PHONY: clients
clients: setup ## the Azure CLI and azure.azcollection, unchanged, against local Azure (sets up both: some minutes, 2 GB)
	@python tests/clients/setup.py
	@pytest --quiet tests/clients $(PYTEST_ARGS)

.PHONY: docs-lint
docs-lint: venv ## the documentation of every plugin and role
	@mkdir -p build/home
	@HOME=$(CURDIR)/build/home antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs dependent --disallow-unknown-collection-refs .

.PHONY: changelog
changelog: venv ## the changelog fragments
	@antsibull-changelog lint

.PHONY: oldest
oldest: setup build/oldest/.stamp ## with the oldest packages that requirements.txt allows; OLDEST_TESTS=tests/unit runs more
	@PATH="$(CURDIR)/build/oldest/bin:$$PATH" build/oldest/bin/python -m pytest --quiet $(OLDEST_TESTS) $(PYTEST_ARGS)

.PHONY: cores
cores: setup ## playbooks end to end on ansible-core 2.17, 2.18, 2.19 and the newest; CORES="2.17" picks some
	@python tests/tools/cores.py $(CORES) $(PYTEST_ARGS)

.PHONY: bench
bench: setup ## measure backup and restore beside rclone, restic and borg; BENCH_ARGS="--size 4GiB" and --help
	@python -m bench $(BENCH_ARGS)

##@ Change it
.PHONY: setup
setup: ## the virtual environment, Azurite, qemu-img, the collection's place in build/
	@$(MAKE) --silent -j2 venv azurite

.PHONY: venv
venv:
	@$(call LOCKED,venv) $(MAKE) --silent $(VENV)/.stamp $(COLLECTION)

.PHONY: azurite
azurite:
	@$(call LOCKED,azurite) $(MAKE) --silent $(AZURITE)/node_modules/.stamp
	@$(call LOCKED,azurite) tests/tools/install_qemu.sh

.PHONY: format
format: venv ## format the Python code, and mend what the linter can
	@ruff check --quiet --fix --exit-zero .
	@ruff format --quiet .

.PHONY: action-groups
action-groups: venv ## write the modules there are into meta/runtime.yml
	@python tests/tools/action_groups.py --write

.PHONY: pins
pins: ## write tests/requirements/dev.txt from dev.in, with the newest versions there are
	@rm -rf build/pins && $(PYTHON) -m venv build/pins
	@build/pins/bin/python -m pip install -qq --requirement tests/requirements/dev.in
	@{ echo "# Written by 'make pins' from dev.in: do not edit."; build/pins/bin/python -m pip freeze; } \
	  > build/pins/dev.txt && mv build/pins/dev.txt tests/requirements/dev.txt

.PHONY: build
build: venv ## the collection as an artefact, in build/
	@ansible-galaxy collection build --force --output-path build .

.PHONY: clean
clean: ## remove what all of this made
	@rm -rf build $(VENV) $(AZURITE)/node_modules tests/output .ansible .pytest_cache .ruff_cache

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: name it with 'make PYTHON=...'."; exit 1; }
	@$(call LOCKED,python) tests/tools/make_venv.sh $(PYTHON) $(VENV)

$(VENV)/.stamp: tests/requirements/dev.txt | $(BIN)/python
	@$(PIP_INSTALL) --requirement tests/requirements/dev.txt
	@touch $@

$(AZURITE)/node_modules/.stamp: $(AZURITE)/package-lock.json tests/requirements/node.txt | $(BIN)/python
	@echo "Setting up Azurite (about a minute)"
	@tests/tools/install_azurite.sh $(AZURITE) tests/requirements/node.txt
	@touch $@

$(COLLECTION):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

build/oldest/.stamp: requirements.txt tests/requirements/dev.txt tests/requirements/oldest.txt
	@rm -rf build/oldest && $(PYTHON) -m venv build/oldest
	@{ sed 's/>=/==/' requirements.txt; cat tests/requirements/oldest.txt; } > build/oldest/bounds.txt
	@grep -E '^(ansible-core|hypothesis|pytest|pytest-xdist|antsibull-changelog)==' tests/requirements/dev.txt \
	  >> build/oldest/bounds.txt
	@build/oldest/bin/python -m pip install -qq --disable-pip-version-check -r build/oldest/bounds.txt
	@touch $@
