#!/usr/bin/env bash
# Check the types of the collection's plugins and of what Python there is outside it.
set -euo pipefail

status=0
mypy --package ansible_collections.drystone.platform.plugins || status=$?
mypy app benchmarks molecule tests || status=$?
exit "$status"
