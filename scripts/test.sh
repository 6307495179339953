#!/usr/bin/env bash
# Run the tests that need a container engine: all roles on one cluster, then downloads from local servers.
set -euo pipefail

# The state of a killed run would claim that its cluster still exists.
rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"
trap 'molecule destroy --scenario-name default' EXIT

# One converge of site.yml. The scenario site then tests a second run and check mode; each role has its own tests.
molecule converge --scenario-name site
python -m pytest --quiet --durations=20 --durations-min=5 --hosts=local:// molecule
trap - EXIT
molecule destroy --scenario-name default

python -m pytest --quiet --durations=20 --durations-min=5 tests/integration
