#!/bin/bash
# containerd unpacks an image that came with the node when a container of it is made: for each of those that are made at
# the same time anew. The parts of the control plane are made at the same time, and are one image; so it is done before.
set -euo pipefail

# The entrypoint has chosen the one that works on this host.
snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"$/\1/p' /etc/containerd/config.toml)
digest=$(ctr --namespace k8s.io images list 'name~="/kube-apiserver:"' | awk 'NR == 2 { print $3 }')
ctr --namespace k8s.io snapshots --snapshotter "$snapshotter" unpack "$digest"
