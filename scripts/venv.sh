#!/usr/bin/env bash
# Install a requirements file into a virtual environment, then write a stamp.
# usage: venv.sh VENV REQUIREMENTS STAMP
#
# The stamp is written last, and a marker exists while pip installs. An environment that a killed run left incomplete is recreated.
set -euo pipefail

venv=$1 requirements=$2 stamp=$3
python=${PYTHON:-python3}
marker=$venv/.unfinished

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Cannot set up $venv: $python is $("$python" --version 2>&1 || true), but Drystone needs Python 3.11 or newer." \
        "Install it, or set its path: make PYTHON=/path/to/python3"
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    say "$python has no venv module; installing Debian's package python3-venv"
    if ! { command -v apt-get >/dev/null && { as_root apt-get install -qq -y --no-install-recommends python3-venv ||
        { as_root apt-get update -qq && as_root apt-get install -qq -y --no-install-recommends python3-venv; }; }; } >&2; then
        say "Cannot set up $venv: $python has no venv module, and its installation failed." \
            "Install it as root (Debian, Ubuntu: apt-get install python3-venv), then run make again."
        exit 1
    fi
fi

if [ -e "$marker" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "creating $venv"
    "$python" -m venv --clear "$venv"
fi

touch "$marker"
say "installing $requirements into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
rm "$marker"
touch "$stamp"
