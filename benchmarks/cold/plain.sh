#!/usr/bin/env bash
# The obvious way to the same platform: kind, kind load, then each part applied and waited for before the next.
# Usage: plain.sh DIRECTORY   with kind.yaml, images.txt, parts/*.yaml and repositories/*.git, as bench.py writes them.
set -Eeuo pipefail
trap 'echo "line $LINENO: $BASH_COMMAND: ended with $?" >&2' ERR
cd "$1"
cluster=$(<cluster.txt)
export KUBECONFIG=$PWD/kubeconfig

step() { printf '%s %s\n' "$(date +%s.%N)" "$*" >>steps.txt; }

step cluster
kind create cluster --quiet --name "$cluster" --config kind.yaml --wait 300s
kubectl label nodes --selector '!node-role.kubernetes.io/control-plane' node-role.kubernetes.io/worker= >/dev/null

step images
while read -r image; do
    kind load docker-image --quiet --name "$cluster" "$image"
done <images.txt

for part in parts/*.yaml; do
    name=${part##*/}
    step "${name%.yaml}"
    # The first time fails where the part brings kinds of its own: it is what everybody's script does about that.
    kubectl apply --server-side --force-conflicts --filename "$part" >/dev/null 2>&1 || {
        kubectl wait --for=condition=Established crds --all --timeout=60s >/dev/null
        kubectl apply --server-side --force-conflicts --filename "$part" >/dev/null
    }
    # Some parts have no workloads, and grep would call that a failure.
    kubectl get --filename "$part" --output=custom-columns=:kind,:metadata.name,:metadata.namespace --no-headers |
        { grep -E '^(Deployment|StatefulSet|DaemonSet) ' || true; } |
        while read -r kind workload namespace; do
            kubectl rollout status --namespace "$namespace" "$kind/$workload" --timeout=300s >/dev/null
        done
    if [[ $name == *-git-server.yaml ]]; then
        for repository in repositories/*.git; do
            # Ready a moment before its port leads to it.
            until git -C "$repository" push --quiet origin main 2>/dev/null; do sleep 1; done
        done
    fi
done

step applications
until kubectl get --namespace argocd applications --output=name | grep -q .; do sleep 1; done
kubectl wait --namespace argocd applications --all --for=jsonpath='{.status.health.status}'=Healthy --timeout=300s >/dev/null
step end
