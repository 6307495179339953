#!/usr/bin/env bash
# Print the shell lines that point kubectl and the tools at an inventory's cluster, and nothing else.
# usage: env.sh INVENTORY
set -euo pipefail

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
if ! output=$(ansible-playbook --inventory "$1" playbooks/env.yml --extra-vars "__env_file=$lines" 2>&1 </dev/null); then
    printf '%s\n' "$output" >&2
    exit 1
fi
cat "$lines"
