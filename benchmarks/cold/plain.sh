#!/usr/bin/env bash
# Create the same platform with plain commands: kind, kind load, then apply each part and wait for it before the next.
# Usage: plain.sh DIRECTORY   with kind.yaml, images.txt, parts/*.yaml and repositories/*.git, which bench.py writes.
set -Eeuo pipefail
trap 'echo "line $LINENO: $BASH_COMMAND: ended with $?" >&2' ERR
cd "$1"
cluster=$(<cluster.txt)
export KUBECONFIG=$PWD/kubeconfig

step() { printf '%s %s\n' "$(date +%s.%N)" "$*" >>steps.txt; }

step cluster
kind create cluster --name "$cluster" --config kind.yaml --wait 300s
kubectl label nodes --selector '!node-role.kubernetes.io/control-plane' node-role.kubernetes.io/worker= >/dev/null

step images
while read -r image; do
    kind load docker-image --name "$cluster" "$image"
done <images.txt

for part in parts/*.yaml; do
    name=${part##*/}
    step "${name%.yaml}"
    # The first attempt fails if the part contains definitions of its own kinds; a plain script simply applies it again.
    kubectl apply --server-side --force-conflicts --filename "$part" >/dev/null 2>&1 || {
        kubectl wait --for=condition=Established crds --all --timeout=60s >/dev/null
        kubectl apply --server-side --force-conflicts --filename "$part" >/dev/null
    }
    # Some parts have no workloads, for which grep would fail.
    kubectl get --filename "$part" --output=custom-columns=:kind,:metadata.name,:metadata.namespace --no-headers |
        { grep -E '^(Deployment|StatefulSet|DaemonSet) ' || true; } |
        while read -r kind workload namespace; do
            kubectl rollout status --namespace "$namespace" "$kind/$workload" --timeout=300s >/dev/null
        done
    if [[ $name == *-git-server.yaml ]]; then
        for repository in repositories/*.git; do
            # The pod is ready shortly before its port works.
            until git -C "$repository" push --quiet origin main 2>/dev/null; do sleep 1; done
        done
    fi
done

step applications
until kubectl get --namespace argocd applications --output=name | grep -q .; do sleep 1; done
kubectl wait --namespace argocd applications --all --for=jsonpath='{.status.health.status}'=Healthy --timeout=300s >/dev/null
step end
