#!/usr/bin/env bash
# Check the types of the collection's plugins, of each application and of the tests.
set -euo pipefail

has_python() { find "$1" -name '*.py' -print -quit 2>/dev/null | grep -q .; }

status=0
if has_python plugins; then mypy --package ansible_collections.drystone.platform.plugins || status=$?; fi
for app in app/*/; do
    # Each application is an import root of its own, so each is checked by itself.
    if has_python "$app"; then (cd "$app" && mypy --config-file ../../pyproject.toml --cache-dir "$OLDPWD/.cache/mypy" .) || status=$?; fi
done
exit "$status"
