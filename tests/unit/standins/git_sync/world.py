# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real repositories and a real git-sync, connected by files, a fake ssh or an HTTP server with passwords."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[4]
# Much longer than any operation takes, even on a busy machine.
LIMIT = 60.0
FAKE_SSH = """\
#!/bin/sh
# Lets in whose key is in authorized, if the host is in the known_hosts that were given, as the real one would.
printf '%s\\n' "$*" >>{folder}/calls
keys= known= strict=yes
while [ $# -gt 2 ]; do
  case "$1" in -i) keys="$keys $2" ;; esac
  case "$2" in
    UserKnownHostsFile=*) known="${{2#*=}}" ;;
    StrictHostKeyChecking=*) strict="${{2#*=}}" ;;
  esac
  shift 2
done
host="${{1#*@}}"
if [ $strict = yes ] && ! grep -q "^$host " "$known" 2>/dev/null; then
  echo 'Host key verification failed.' >&2
  exit 255
fi
for key in $keys; do
  if [ "$(cat "$key" 2>/dev/null)" = "$(cat {folder}/authorized)" ]; then exec sh -c "$2"; fi
done
echo "$1: Permission denied (publickey)." >&2
exit 255
"""


def wait_for(what: Callable[[], Any]) -> bool:
    """Poll until the condition is true."""
    deadline = time.monotonic() + LIMIT
    while not (found := bool(what())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def environment(home: Path, *paths: Path) -> dict[str, str]:
    path = os.pathsep.join([*(str(one) for one in paths), os.environ["PATH"]])
    return {"PATH": path, "HOME": str(home), "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Remote:
    """A repository that receives pushes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"file://{path}"
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Author")
        self.git("config", "user.email", "author@example.com")
        self.git("config", "gc.auto", "0")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        variables = {**environment(self.path), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str, name: str = "file") -> str:
        """Change a file, and return the commit."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)
        return self.head()

    def head(self, ref: str = "HEAD") -> str:
        return self.git("rev-parse", f"{ref}^{{commit}}")


@dataclasses.dataclass
class Done:
    """A finished git-sync process."""

    status: int
    log: str

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines()]


class Running:
    """A running git-sync process."""

    def __init__(self, command: list[str], variables: dict[str, str], log: Path, port: int) -> None:
        self._log = log
        self._port = port
        with log.open("ab") as target:
            self.process = subprocess.Popen(command, env=variables, stdout=target, stderr=target)

    def log(self) -> str:
        return self._log.read_text()

    def said(self, text: str) -> bool:
        """Wait until its output contains a text."""
        return wait_for(lambda: text in self.log())

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def ready(self) -> bool:
        """Return whether its startup probe would succeed."""
        try:
            return self.get("/")[0] == 200
        except OSError:
            return False

    def metric(self, series: str) -> float:
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def wait(self) -> Done:
        return Done(self.process.wait(LIMIT), self.log())

    def stop(self, number: int = signal.SIGTERM) -> Done:
        self.process.send_signal(number)
        return self.wait()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the process while the test changes something."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


class World:
    """A remote, a root directory, and git-sync processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = Remote(folder / "remote")
        self.root = folder / "volume" / "root"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.running: list[Running] = []
        self.usual = {
            "--repo": self.remote.url,
            "--ref": "main",
            "--root": str(self.root),
            "--link": "link",
            "--submodules": "off",
            "--period": "20ms",
            "--max-failures": "-1",
        }

    # --- git-sync ---

    def flags(self, *more: str) -> list[str]:
        given = {flag.split("=")[0] for flag in more}
        return [*(f"{name}={value}" for name, value in self.usual.items() if name not in given), *more]

    def variables(self, **more: str) -> dict[str, str]:
        return {**environment(self.folder, self.bin), **more}

    def command(self, *flags: str) -> list[str]:
        return [sys.executable, "-m", "bundle.standins.git_sync", *self.flags(*flags)]

    def start(self, *flags: str, **variables: str) -> Running:
        """Start a git-sync that keeps running."""
        port = free_port()
        bind = (f"--http-bind=127.0.0.1:{port}", "--http-metrics")
        log = self.folder / f"log-{len(self.running)}"
        self.running.append(Running(self.command(*bind, *flags), self.variables(**variables), log, port))
        return self.running[-1]

    def synced(self, *flags: str) -> Running:
        """Start a git-sync, and wait for its first sync."""
        running = self.start(*flags)
        assert wait_for(running.ready), running.log()
        return running

    def once(self, *flags: str, **variables: str) -> Done:
        """Run a git-sync for a single sync."""
        command = self.command("--one-time", "--max-failures=0", *flags)
        done = subprocess.run(
            command, env=self.variables(**variables), check=False, capture_output=True, text=True, timeout=LIMIT
        )
        assert not done.stdout
        return Done(done.returncode, done.stderr)

    # --- results ---

    @property
    def link(self) -> Path:
        return self.root / "link"

    def published(self) -> str:
        """Return the commit of the link, or an empty string."""
        return self.link.readlink().name if self.link.is_symlink() else ""

    def text(self, name: str = "file") -> str:
        return (self.link / name).read_text()

    def worktrees(self) -> set[str]:
        folder = self.root / ".worktrees"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def git(self, *arguments: str) -> str:
        """Run Git in the root directory like a consumer."""
        variables = {**environment(self.folder), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-C", *arguments]
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        return file

    def program(self, name: str, text: str) -> Path:
        """Put a program on PATH before others with its name."""
        file = self.bin / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def fake_ssh(self) -> Path:
        folder = self.folder / "ssh"
        folder.mkdir()
        self.program("ssh", FAKE_SSH.format(folder=folder))
        (folder / "authorized").write_text("key 1\n")
        (folder / "key").write_text("key 1\n")
        (folder / "known_hosts").write_text("git.example ssh-ed25519 AAAA\n")
        return folder

    def end(self) -> None:
        for running in self.running:
            running.process.kill()
            running.process.wait()


class GitOverHttp:
    """A Git server that requires a user and a password."""

    def __init__(self, remote: Remote) -> None:
        self.username, self.password = "reader", "right"
        self.asked = 0
        backend = Path(remote.git("--exec-path")) / "git-http-backend"
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked += 1
                wanted = base64.b64encode(f"{served.username}:{served.password}".encode()).decode()
                if self.headers.get("Authorization") != f"Basic {wanted}":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.end_headers()
                    return
                path, _, query = self.path.partition("?")
                variables = {
                    **environment(remote.path),
                    "GIT_PROJECT_ROOT": str(remote.path.parent),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "safe.directory",
                    "GIT_CONFIG_VALUE_0": "*",
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "REMOTE_USER": served.username,
                }
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = subprocess.run([str(backend)], env=variables, input=body, stdout=subprocess.PIPE, check=True)
                head, _, content = answer.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815  the name that the base class requires

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{remote.path.name}/.git"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Listener:
    """The receiver of the webhook."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.status = 200
        listening = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listening.calls.append((self.command, self.headers.get("Gitsync-Hash", ""), len(body)))
                self.send_response(listening.status)
                self.end_headers()

            do_PUT = do_POST  # noqa: N815  the name that the base class requires

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def told(self) -> list[str]:
        return [commit for _, commit, _ in self.calls]

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def copy(source: Path, target: Path) -> None:
    """Copy a root directory with its links and times."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
