#!/usr/bin/env bash
# Print only the shell settings with which kubectl and the other tools use an inventory's cluster.
# usage: env.sh INVENTORY
set -euo pipefail

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
if ! output=$(ansible-playbook --inventory "$1" playbooks/env.yml --extra-vars "env_file=$lines" 2>&1 </dev/null); then
    printf '%s\n' "$output" >&2
    exit 1
fi
cat "$lines"
