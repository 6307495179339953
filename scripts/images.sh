#!/usr/bin/env bash
# Build the images of hello and Rokken, list their contents, or scan them for vulnerabilities.
# usage: images.sh build|sbom|scan
#
# For hosts without the default base images: BASE for hello, and DEBIAN_BASE, BACKEND_BASE and BACKEND_PYTHON as for Rokken's
# compose.yaml. For hosts behind a proxy that inspects TLS, or with their own package index: CA_BUNDLE, certificates in PEM
# format, and PIP_INDEX_URL and similar variables of pip.
set -euo pipefail

docker=${DOCKER:-docker}
names=(hello rokken-backend rokken-database rokken-frontend)
tag=checked # not the tag of a release
folder=.cache/sbom
syft=github.com/anchore/syft/cmd/syft@v1.57.0
grype=github.com/anchore/grype/cmd/grype@v0.121.2

# Write a directory as a build context in which CA_BUNDLE is ca.crt.
context() {
    local bundle=${CA_BUNDLE:+$(realpath "$CA_BUNDLE")}
    tar -c ${bundle:+--transform "s|^${bundle#/}$|ca.crt|" -C / "${bundle#/}"} -C "$PWD/$1" .
}

build() {
    make --directory=app/hello build REGISTRY=localhost VERSION="$tag"
    "$docker" tag "localhost/hello:$tag" "hello:$tag"
    # Docker takes the values of pip's variables from the environment.
    context app/rokken/backend | "$docker" build --build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL \
        --build-arg PIP_TRUSTED_HOST --build-arg PIP_DEFAULT_TIMEOUT ${BACKEND_BASE:+--build-arg "BASE=$BACKEND_BASE"} \
        ${BACKEND_PYTHON:+--build-arg "PYTHON=$BACKEND_PYTHON"} --tag "rokken-backend:$tag" -
    for part in database frontend; do
        "$docker" build ${DEBIAN_BASE:+--build-arg "BASE=$DEBIAN_BASE"} --tag "rokken-$part:$tag" "app/rokken/$part"
    done
}

sbom() {
    mkdir -p "$folder"
    for name in "${names[@]}"; do
        scripts/go_tool.sh "$syft" scan --quiet "docker:$name:$tag" --output "spdx-json=$folder/$name.spdx.json"
        printf 'wrote %s\n' "$folder/$name.spdx.json"
    done
}

scan() {
    local failed=()
    for name in "${names[@]}"; do
        printf '\n%s\n' "$name"
        scripts/go_tool.sh "$grype" --fail-on critical "sbom:$folder/$name.spdx.json" || failed+=("$name")
    done
    if [ "${#failed[@]}" -gt 0 ]; then
        printf 'The scan of these images failed or found critical vulnerabilities: %s\n' "${failed[*]}" >&2
        exit 1
    fi
}

case ${1:-} in
build | sbom | scan) "$1" ;;
*)
    printf 'usage: images.sh build|sbom|scan\n' >&2
    exit 2
    ;;
esac
