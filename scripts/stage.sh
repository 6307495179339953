#!/usr/bin/env bash
# Copy what Git knows of the project, new files included, to where ansible-test and ansible-galaxy want a collection.
# usage: stage.sh DIRECTORY    makes DIRECTORY/ansible_collections/<namespace>/<name>
#
# collections/ stays behind: its links serve a checkout, and ansible-test rejects links to directories.
set -euo pipefail

tree=$1/ansible_collections/$(awk '$1 == "namespace:" { n = $2 } $1 == "name:" { print n "/" $2 }' galaxy.yml)
rm -rf "$1/ansible_collections"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard -- ':!collections' |
    while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    xargs -0 cp --parents -t "$tree"
git -C "$tree" init --quiet
printf '%s\n' "$tree"
