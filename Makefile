# Drystone's commands; `make` lists them. The first target that needs the Python tooling installs it into .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

INVENTORY ?= inventories/dev
ENGINE ?= 0
FAST ?= 0
ROWS ?=
SCENARIO ?=
NAME ?=
ARGS ?=
PYTHON ?= python3
JOBS ?= $(shell nproc)

VENV := $(CURDIR)/.venv
RUN_READY := .venv/.ready-run
DEV_READY := .venv/.ready-dev
PLAYBOOK = ansible-playbook --inventory "$(INVENTORY)"
GATE := scripts/gate.sh
# ansible-test checks only the Ansible content; the other gates check the rest.
SANITY := changelogs/ galaxy.yml meta/ playbooks/ plugins/ roles/
SCRIPTS := $(wildcard scripts/*.sh benchmarks/*/*.sh bundle/images/*/*.sh) .ci/run app/rokken/database/database \
  app/rokken/database/entrypoint

export PATH := $(VENV)/bin:$(PATH)
export PYTHON
export PYTHONDONTWRITEBYTECODE := 1
# Write progress to logs without buffering.
export PYTHONUNBUFFERED := 1
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Keep Molecule's state in the checkout: clones whose folders have the same name must not share it.
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/.cache/molecule
export MOLECULE_GLOB := molecule/*/molecule.yml

##@ Platform

.PHONY: up
up: $(RUN_READY)  ## install or update the whole platform on this host
	$(PLAYBOOK) site.yml $(ARGS)

.PHONY: down
down: $(RUN_READY)  ## remove the cluster; ENGINE=1 also removes the engine and kernel settings that Drystone installed
	$(PLAYBOOK) playbooks/destroy_cluster.yml --extra-vars '{"container_engine_remove": $(if $(filter 1,$(ENGINE)),true,false)}' $(ARGS)

.PHONY: env
env: $(RUN_READY)  ## print shell settings for the cluster; use them with: eval "$$(make -s env)"
	@scripts/env.sh "$(INVENTORY)"

.PHONY: validate
validate: $(RUN_READY)  ## check all manifests and environments in deploy/
	python deploy/validate.py $(ARGS)

.PHONY: verify
verify: $(RUN_READY)  ## prove every requirement like a user, and write a report, in a quarter of an hour; FAST=1 only looks, ROWS=F6,K1 chooses
	$(PLAYBOOK) playbooks/verify.yml --extra-vars '{"verify_all": $(if $(filter 1,$(FAST)),false,true), "verify_rows": "$(ROWS)"}' $(ARGS)

.PHONY: evidence
evidence: $(RUN_READY)  ## run verify, and write what it saw to docs/evidence
	$(PLAYBOOK) playbooks/verify.yml --extra-vars '{"acceptance_report_dir": "$(CURDIR)/.cache/report"}' $(ARGS)
	scripts/evidence.py .cache/report/report.json

.PHONY: drills
drills: $(RUN_READY)  ## inject faults into the platform one after the other, and repair each (docs/drills.md)
	$(PLAYBOOK) playbooks/drills/all.yml $(ARGS)

.PHONY: drill
drill: $(RUN_READY)  ## run one drill: NAME=node_lost; NAME=restore undoes what an interrupted drill left
	$(PLAYBOOK) playbooks/drills/$(or $(NAME),$(error name a drill: make drill NAME=node_lost)).yml $(ARGS)

.PHONY: status
status: $(RUN_READY)  ## list nodes, Applications, pods and Services
	@settings=$$(scripts/env.sh "$(INVENTORY)") && eval "$$settings" && kubectl get nodes && \
	  kubectl get applications.argoproj.io,pods,services --all-namespaces

##@ Tests

LINTERS := ansible-lint mypy bandit ruff format yamllint hadolint shellcheck actionlint zizmor
GATES := unit sanity helm-unittest package docs changelog $(LINTERS)

.PHONY: check
check: $(DEV_READY)  ## run all checks that need no cluster
	@$(MAKE) --keep-going --output-sync --jobs=$(JOBS) $(addprefix gate-,$(GATES))

.PHONY: test
test: check  ## run check, then test-roles
	@$(MAKE) test-roles

.PHONY: test-roles
test-roles: $(DEV_READY)  ## run the tests of all roles on one cluster that is removed at the end
	scripts/test.sh

.PHONY: test-apps
test-apps: $(DEV_READY)  ## run the tests of all applications with coverage
	python -m pytest -p no:cacheprovider --cov=app --cov-report=term --cov-report=xml:.cache/coverage.xml app $(ARGS)

.PHONY: test-inventories
test-inventories: $(DEV_READY)  ## take every inventory from nothing to the end, a second time, and down, two at a time
	python -m pytest --durations=20 --durations-min=5 tests/inventories

.PHONY: test-browser
test-browser: $(DEV_READY)  ## test the page of Rokken in Chromium; screenshots are in .cache/browser
	python -m pytest -p no:cacheprovider tests/browser

.PHONY: soak
soak: $(DEV_READY)  ## run the long tests of content from Git and of the workloads on the test cluster; the cluster stays
	molecule converge --scenario-name site
	DRYSTONE_SOAK=1 python -m pytest --durations=20 --durations-min=5 --hosts=local:// molecule/site molecule/workloads

.PHONY: lint
lint: $(DEV_READY)  ## run only the linters
	@$(MAKE) --keep-going --output-sync --jobs=$(JOBS) $(addprefix gate-,$(LINTERS))

.PHONY: readme
readme: $(RUN_READY)  ## write the generated tables of the READMEs and of docs/
	scripts/readme_tables.py

.PHONY: unit
unit: $(DEV_READY)  ## run unit and contract tests with coverage; ARGS="-k name"
	python -m pytest --cov $(ARGS)

.PHONY: sanity
sanity: $(DEV_READY)  ## run ansible-test sanity; ARGS="--test validate-modules"
	scripts/sanity.sh sanity $(ARGS) $(SANITY)

.PHONY: molecule
molecule: $(DEV_READY)  ## test one role (SCENARIO=argocd) on the test cluster; the cluster stays
	molecule converge --scenario-name $(or $(SCENARIO),$(error name a scenario: make molecule SCENARIO=$(notdir $(firstword $(wildcard roles/*)))))
	molecule verify --scenario-name $(SCENARIO)

.PHONY: molecule-down
molecule-down: $(DEV_READY)  ## remove the test cluster
	molecule destroy --scenario-name default

##@ Images and releases (docs/release.md)

.PHONY: images
images:  ## build the images of hello and Rokken with Docker
	scripts/images.sh build

.PHONY: sbom
sbom:  ## list the contents of these images in .cache/sbom
	scripts/images.sh sbom

.PHONY: scan
scan: sbom  ## scan these images, and fail for critical vulnerabilities; needs internet access
	scripts/images.sh scan

.PHONY: release-dry-run
release-dry-run: $(RUN_READY)  ## show what a release of hello from this commit would do
	@python -m scripts.release --dry-run $(ARGS)

.PHONY: release
release: $(RUN_READY)  ## release hello from the branch main
	@python -m scripts.release $(ARGS)

##@ Other

.PHONY: clean
clean:  ## remove files that checks and tests created in the checkout
	rm -rf .cache .venv .pytest_cache .ruff_cache .coverage .ansible

# What `make help` shows below the list. Each line can be pasted.
define EXAMPLES
  make up INVENTORY=inventories/staging
  make up ARGS='--check --diff'
  make down INVENTORY=inventories/staging
  eval "$$(make -s env INVENTORY=inventories/staging)"
  make molecule SCENARIO=argocd
endef
export EXAMPLES

.PHONY: help
help:  ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { gsub(/\$$\$$/, "$$", $$2); printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@printf '\nExamples (the inventory is inventories/dev if you name none; ARGS are options of ansible-playbook)\n%s\n' "$$EXAMPLES"

# The gates of `check`. make starts them in this order, so the slowest come first.
.PHONY: $(addprefix gate-,$(GATES))
gate-sanity:
	@$(GATE) sanity scripts/sanity.sh sanity $(SANITY)
gate-ansible-lint:
	@$(GATE) ansible-lint ansible-lint --offline --strict --nocolor -q
gate-unit:
	@$(GATE) unit python -m pytest --quiet --tb=short -p no:cacheprovider --numprocesses=$(JOBS) --dist=worksteal
gate-helm-unittest:
	@$(GATE) helm-unittest scripts/go_tool.sh helm-unittest --strict $(wildcard deploy/workloads/*/chart)
gate-mypy:
	@$(GATE) mypy scripts/mypy.sh
gate-package:
	@$(GATE) package scripts/package.sh
gate-docs:
	@$(GATE) docs antsibull-docs lint-collection-docs --plugin-docs .
gate-yamllint:
	@$(GATE) yamllint yamllint --strict .
gate-ruff:
	@$(GATE) ruff ruff check
gate-format:
	@$(GATE) format ruff format --check --diff
gate-bandit:
	@$(GATE) bandit bandit --quiet --configfile pyproject.toml --recursive app bundle deploy plugins roles scripts
gate-shellcheck:
	@$(GATE) shellcheck shellcheck $(SCRIPTS)
gate-hadolint:
	@$(GATE) hadolint hadolint $$(git ls-files '*Dockerfile')
gate-actionlint:
	@$(GATE) actionlint scripts/go_tool.sh actionlint
gate-zizmor:
	@$(GATE) zizmor zizmor --offline --no-progress .github/workflows
gate-changelog:
	@$(GATE) changelog antsibull-changelog lint

$(RUN_READY): requirements.txt scripts/venv.sh
	@scripts/venv.sh .venv $< $@

$(DEV_READY): requirements-dev.txt $(wildcard app/*/requirements.txt app/*/*/requirements.txt) $(RUN_READY)
	@scripts/venv.sh .venv $< $@
