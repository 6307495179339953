#!/bin/bash
# containerd unpacks a preloaded image when it creates the first container, and again for each container that starts at
# the same time. The control plane's containers start together and share one image, so unpack it before.
set -euo pipefail

# The entrypoint has selected the snapshotter that works on this host.
snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"$/\1/p' /etc/containerd/config.toml)
digest=$(ctr --namespace k8s.io images list 'name~="/kube-apiserver:"' | awk 'NR == 2 { print $3 }')
ctr --namespace k8s.io snapshots --snapshotter "$snapshotter" unpack "$digest"
