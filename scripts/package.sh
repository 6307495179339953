#!/usr/bin/env bash
# Build the collection, install it outside the checkout, and check the syntax of every installed playbook by its full name.
set -euo pipefail

root=$PWD/.cache/package
tree=$(scripts/stage.sh "$root")
collection=$(basename "$(dirname "$tree")").$(basename "$tree")
rm -rf "$root/dist" "$root/installed"

ansible-galaxy collection build "$tree" --output-path "$root/dist"
cd "$root"
touch ansible.cfg
export ANSIBLE_CONFIG=$root/ansible.cfg ANSIBLE_COLLECTIONS_PATH=$root/installed ANSIBLE_LOCALHOST_WARNING=false
ansible-galaxy collection install --no-deps --collections-path "$root/installed" "$root"/dist/*.tar.gz

installed=$root/installed/ansible_collections/${collection/./\/}
test -s "$installed/docs/runbook/node-lost.md" # the role kube_prometheus_stack reads the pages of the runbook
for playbook in "$installed"/playbooks/*.yml; do
    ansible-playbook --syntax-check --inventory "$installed/inventories/dev" "$collection.$(basename "$playbook" .yml)"
done
ansible-playbook --syntax-check --inventory "$installed/inventories/dev" "$installed/site.yml"
