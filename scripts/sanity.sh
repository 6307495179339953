#!/usr/bin/env bash
# Run ansible-test on a staged copy of the collection.
# usage: sanity.sh COMMAND [ARGUMENTS...]    for example: sanity.sh sanity --test pep8
set -euo pipefail

root=$PWD
# Clones share the virtual environments of ansible-test, whose installation takes minutes.
home=${XDG_CACHE_HOME:-$HOME/.cache}/drystone/ansible-test
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
tree=$(scripts/stage.sh "$root/.cache/$1")

# ansible-test hides PIP_* variables from pip and downloads pip from pip's own site. A separate home directory contains pip's
# current settings and a bootstrap script that takes pip from Python's ensurepip, so a package registry is sufficient.
mkdir -p "$home/.ansible/test/cache" "$home/.config/pip"
python - >"$home/.config/pip/pip.conf" <<'PYTHON'
import ast
import subprocess
import sys

found = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True).stdout
settings = {}
for section in ("global.", ":env:."):  # variables override the configuration file, as in pip
    for line in found.splitlines():
        if line.startswith(section):
            key, _, value = line.removeprefix(section).partition("=")
            settings[key] = ast.literal_eval(value).replace("\n", "\n    ")
print("[global]", *(f"{key} = {value}" for key, value in settings.items()), sep="\n")
PYTHON
cat >"$home/.ansible/test/get_pip.py" <<'PYTHON'
import runpy
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
sys.argv[1:] = ["install", *(word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel"))]
runpy.run_module("pip", run_name="__main__")
PYTHON
pip_version=$(python - <<'PYTHON'
import sys
from ansible_test._internal.host_configs import VirtualPythonConfig
from ansible_test._internal.python_requirements import get_venv_packages

print(get_venv_packages(VirtualPythonConfig(version="%d.%d" % sys.version_info[:2]))["pip"].replace(".", "_"))
PYTHON
)
cp "$home/.ansible/test/get_pip.py" "$home/.ansible/test/cache/get_pip_$pip_version.py"

command=$1
shift
cd "$tree"
HOME=$home LC_ALL=C.UTF-8 ansible-test "$command" --python "$python" --color no "$@"
