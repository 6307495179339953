# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Git server for tests: a real repository, real git on both ends, and configurable access control.

Over HTTPS git http-backend runs behind TLS and basic authentication. Over SSH the commands ssh and ssh-keyscan are
replaced by fakes that check keys and known_hosts like OpenSSH and print its messages. See the fixture fake_git.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import ssl
import subprocess
import sys
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

HOST = "git-server.git.svc"
PEM, OPENSSH = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
_SSH = """#!{python} -IS
import base64, json, os, shlex, stat, subprocess, sys

state = json.load(open({state!r}))
with open({log!r}, "a") as log:
    log.write(json.dumps({{"argv": sys.argv, "env": dict(os.environ)}}) + "\\n")
words, options, port = sys.argv[1:], {{}}, "22"
while words[0].startswith("-"):
    flag, value = words.pop(0), words.pop(0)
    if flag == "-o":
        name, value = value.split("=", 1)
        options[name] = shlex.split(value)[0]
    port = value if flag == "-p" else port
key = options.get("IdentityFile")
target, command = words[0], " ".join(words[1:])
host = target.rpartition("@")[2]

def end(*lines):
    sys.stderr.write("".join(line + "\\r\\n" for line in lines))
    sys.exit(255)

assert options["StrictHostKeyChecking"] == options["IdentitiesOnly"] == options["BatchMode"] == "yes"
assert options["IdentityAgent"] == "none" and "SSH_AUTH_SOCK" not in os.environ
if state["down"]:
    end("ssh: connect to host " + host + " port " + port + ": " + state["down"])
name = options.get("HostKeyAlias") or (host if port == "22" else "[" + host + "]:" + port)
known = [line.split() for line in open(options["UserKnownHostsFile"])]
known = [" ".join(words[1:3]) for words in known if words[0] == name]
if not known:
    end("No ED25519 host key is known for " + name + " and you have requested strict checking.",
        "Host key verification failed.")
if state["host_key"] not in known:
    end("@" * 59, "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "@" * 59,
        "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!",
        "The fingerprint for the ED25519 key sent by the remote host is", state["host_key_fingerprint"] + ".",
        "Offending ED25519 key in " + options["UserKnownHostsFile"] + ":1",
        "Host key for " + name + " has changed and you have requested strict checking.",
        "Host key verification failed.")
assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
assert stat.S_IMODE(os.stat(os.path.dirname(key)).st_mode) == 0o700
# An OpenSSH key without passphrase: cipher, kdf, its options, how many keys, and the public one in the clear.
rest, parts = base64.b64decode("".join(open(key).read().split("\\n")[1:-2]))[15:], []
while len(parts) < 4:
    rest = rest[4:] if len(parts) == 3 else rest
    size = int.from_bytes(rest[:4], "big")
    parts, rest = [*parts, rest[4 : 4 + size]], rest[4 + size :]
kind = parts[3][4 : 4 + int.from_bytes(parts[3][:4], "big")]
public = kind.decode() + " " + base64.b64encode(parts[3]).decode()
rights = state["authorized"].get(public)
if rights is None:
    end(target + ": Permission denied (publickey).")
program, path = shlex.split(command)
if program == "git-receive-pack" and rights == "read-only":
    sys.exit(print(state["refusal"], file=sys.stderr) or 128)
assert program in ("git-upload-pack", "git-receive-pack"), command
sys.exit(subprocess.call(["git", program[4:], {root!r} + path]))
"""
_KEYSCAN = """#!{python} -IS
import json, sys
state = json.load(open({state!r}))
port, host = sys.argv[sys.argv.index("-p") + 1], sys.argv[-1]
if state["down"]:
    sys.exit(1)
print("# " + host + ":" + port + " SSH-2.0-OpenSSH_10.0", file=sys.stderr)
print("[" + host + "]:" + port + " " + state["host_key"])
"""


class Pair(t.NamedTuple):
    """The SSH key pair of a user."""

    private: str
    public: str


def ssh_pair(key: t.Any = None) -> Pair:
    key = key or ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return Pair(key.private_bytes(PEM, OPENSSH, serialization.NoEncryption()).decode(), public.decode())


class FakeGit:
    """The server. Tests change its state (SSH), its users and status (HTTPS), and the repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        self.log = root / "ssh.log"
        self.repository = root / "srv/git/site-content.git"
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.repository))
        self.commit = self.add_commit()
        self._state = root / "state.json"
        self.state: dict[str, t.Any] = {"down": "", "authorized": {}, "refusal": "This key may only read."}
        self.change_host_key()
        for name, text in (("ssh", _SSH), ("ssh-keyscan", _KEYSCAN)):
            names = {"python": sys.executable, "state": str(self._state), "log": str(self.log), "root": str(root)}
            (self.bin / name).write_text(text.format(**names))
            (self.bin / name).chmod(0o755)
        self.users = {"site": ("correct-horse", "read-only"), "editor": ("battery-staple", "read-write")}
        self.status = 0
        self.body = ""
        self.https_requests: list[str] = []
        self.ca_cert, chain = certificates(root, names=["localhost"])
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def ssh_url(self) -> str:
        return f"ssh://git@{HOST}:2222/srv/git/site-content.git"

    @property
    def ssh_name(self) -> str:
        return f"[{HOST}]:2222"

    @property
    def known_hosts(self) -> str:
        return f"{self.ssh_name} {self.state['host_key']}\n"

    @property
    def https_url(self) -> str:
        return f"https://localhost:{self.server.server_address[1]}/site-content.git"

    def set(self, **state: t.Any) -> None:
        self.state |= state
        self._state.write_text(json.dumps(self.state))

    def authorize(self, public: str, rights: str = "read-only") -> None:
        self.set(authorized={**self.state["authorized"], " ".join(public.split()[:2]): rights})

    def withdraw(self, public: str) -> None:
        kept = {key: value for key, value in self.state["authorized"].items() if key != " ".join(public.split()[:2])}
        self.set(authorized=kept)

    def change_host_key(self) -> None:
        public = ssh_pair().public
        digest = hashes.Hash(hashes.SHA256())
        digest.update(base64.b64decode(public.split()[1]))
        fingerprint = base64.b64encode(digest.finalize()).decode().rstrip("=")
        self.set(host_key=public, host_key_fingerprint=f"SHA256:{fingerprint}")

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "ada@example.org"}
        done = subprocess.run(
            ["git", *arguments], env=environment, check=True, capture_output=True, text=True, input=""
        )
        return done.stdout.strip()

    def add_commit(self, ref: str = "refs/heads/main") -> str:
        at = ("--git-dir", str(self.repository))
        tree = self.git(*at, "hash-object", "-t", "tree", "-w", "--stdin")
        commit = self.git(*at, "commit-tree", tree, "-m", f"For {ref}")
        self.git(*at, "update-ref", ref, commit)
        return commit

    def ssh_calls(self) -> list[dict[str, t.Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


def certificates(root: Path, *, names: list[str], days: int = 30) -> tuple[str, Path]:
    """Create a CA and a server certificate. Return the certificate of the CA, and the file of the server."""
    now = dt.datetime.now(dt.UTC)
    since, until = now - dt.timedelta(days=60), now + dt.timedelta(days=days)

    def made(subject: str, key: t.Any, issuer: str, signer: t.Any, *extensions: tuple[t.Any, bool]) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
            key.public_key(),
            x509.random_serial_number(),
            since,
            until,
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _which in range(2))
    authority = made("ca", ca_key, "ca", ca_key, (x509.BasicConstraints(ca=True, path_length=None), True))
    leaf = made("git", key, "ca", ca_key, (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False))
    path = root / "server.pem"
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(leaf.public_bytes(PEM) + private)
    return authority.public_bytes(PEM).decode(), path


def _handler(site: FakeGit) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
            """Log nothing."""

        def serve(self) -> None:
            site.https_requests.append(f"{self.command} {self.path}")
            given = self.headers.get("Authorization", "")
            user, _colon, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            if site.status:
                self.answer(site.status, site.body.replace("AUTHORIZATION", f"{given} {user}:{password}"))
                return
            expected, rights = site.users.get(user, (None, ""))
            if not given or password != expected:
                self.answer(401, "Invalid username or password.")
            elif "git-receive-pack" in self.path and rights != "read-write":
                self.answer(403, "You may only read.")
            else:
                self.backend(user)

        do_GET = do_POST = serve  # noqa: N815  the names that http.server requires

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def backend(self, user: str) -> None:
            url = urlsplit(self.path)
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(site.repository.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": user,
                "REMOTE_ADDR": self.client_address[0],
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            done = subprocess.run(
                ["git", "http-backend"], env=environment, input=body, capture_output=True, check=False
            )
            head, _blank, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in {**fields, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler
