#!/bin/bash
# containerd unpacks an image that came with the node when a container of it is made: for each of those that are made at
# the same time anew, and the parts of the control plane are one image. Done once and before them, they start earlier.
set -euo pipefail

# The entrypoint has chosen the one that works on this host.
snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"$/\1/p' /etc/containerd/config.toml)
for name in kube-apiserver etcd coredns; do
  digest=$(ctr --namespace k8s.io images list "name~=/$name:" | awk 'NR == 2 { print $3 }')
  ctr --namespace k8s.io snapshots --snapshotter "$snapshotter" unpack "$digest"
done
