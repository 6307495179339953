#!/usr/bin/env bash
# Copy the project's files, including new ones that Git does not ignore, to the path that ansible-test and ansible-galaxy expect.
# usage: stage.sh DIRECTORY    creates DIRECTORY/ansible_collections/<namespace>/<name>
#
# Leave out collections/: only a checkout needs its links, and ansible-test rejects links to directories.
set -euo pipefail

tree=$1/ansible_collections/$(awk '$1 == "namespace:" { n = $2 } $1 == "name:" { print n "/" $2 }' galaxy.yml)
rm -rf "$1/ansible_collections"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard -- ':!collections' |
    while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    xargs -0 cp --parents -t "$tree"
git -C "$tree" init --quiet
printf '%s\n' "$tree"
