#!/usr/bin/env bash
# Check the types of the collection's plugins and of the project's other Python code.
set -euo pipefail

status=0
mypy --package ansible_collections.drystone.platform.plugins || status=$?
mypy app benchmarks molecule scripts tests || status=$?
exit "$status"
