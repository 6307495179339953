"""Helpers for the tests of all scenarios: kubectl, HTTP through the API server, playbooks, Git, waiting."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import requests
import yaml

ROOT = Path(__file__).resolve().parents[1]
INVENTORY = ROOT / "molecule/inventory"


def run(
    *command: str, stdin: str | None = None, timeout: float = 120, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its result without checking it."""
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout, env=env, check=False, cwd=ROOT
    )


def wait_until(what: Callable[[], bool], timeout: float = 60, every: float = 0.5) -> bool:
    """Return whether a condition becomes true within the timeout."""
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


def documents(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream in which a line with a single brace starts and ends each object."""
    text: list[str] = []
    for line in lines:
        text.append(line)
        if line == "}\n":
            yield json.loads("".join(text))
            text.clear()


class Kubectl:
    """The platform's kubectl, which only uses the cluster of the inventory."""

    def __init__(self, binary: str, kubeconfig: str) -> None:
        self.binary = binary
        self.kubeconfig = kubeconfig

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "KUBECONFIG": self.kubeconfig}
        return run(self.binary, *arguments, stdin=stdin, timeout=timeout, env=env)

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl and return its output. Fail the test with the error message of kubectl."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--output=json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("get", *arguments)["items"]
        return found

    def watch(self, holds: Callable[[dict[str, Any]], bool], *what: str, timeout: float = 60) -> bool:
        """Return whether a condition holds for an object within the timeout. Check it when the object changes.

        C(what) names the object as for C(kubectl get). The object need not exist yet.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            command = [self.binary, f"--kubeconfig={self.kubeconfig}", "get", *what, "--watch", "--output=json"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                ends = threading.Timer(left, process.terminate)
                ends.start()
                try:
                    assert process.stdout is not None
                    if any(holds(seen) for seen in documents(process.stdout)):
                        return True
                finally:
                    ends.cancel()
                    process.terminate()
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
        return False

    def apply(self, *objects: dict[str, Any]) -> None:
        self("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))

    def may(self, account: str, *questions: str) -> list[bool]:
        """Return whether a ServiceAccount may do each C(verb resource[.group][/subresource] [namespace]).

        The account is C(namespace/name).

        This asks the authorizer directly. C(kubectl auth can-i) depends on the discovery of the resource, so the answer
        for a kind would change when the kind is installed.
        """
        namespace, _slash, name = account.partition("/")
        reviews = []
        for question in questions:
            verb, what, *where = question.split()
            resource, _slash, subresource = what.partition("/")
            resource, _dot, group = resource.partition(".")
            attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
            attributes |= {"namespace": where[0]} if where else {}
            user = f"system:serviceaccount:{namespace}:{name}"
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
            reviews.append(
                {
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SubjectAccessReview",
                    "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
                }
            )
        shown = r"--output=jsonpath={.status.allowed}{'\n'}"
        answers = self("create", "--filename=-", shown, stdin=yaml.safe_dump_all(reviews)).split()
        assert len(answers) == len(questions), answers
        return [answer == "true" for answer in answers]


def refresh_applications(kubectl: Kubectl) -> None:
    """Have Argo CD compare every Application with Git now instead of at its next reconciliation."""
    kubectl("annotate", "applications", "--all", "--all-namespaces", "--overwrite", "argocd.argoproj.io/refresh=normal")


class Http:
    """Requests to a Service or a Pod through the API server, so that the host needs no open port."""

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        names = {}
        for name, data in (
            ("ca", cluster["certificate-authority-data"]),
            ("cert", user["client-certificate-data"]),
            ("key", user["client-key-data"]),
        ):
            path = folder / name
            path.write_bytes(base64.b64decode(data))
            path.chmod(0o600)
            names[name] = str(path)
        self.server = cluster["server"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = names["ca"]
        self.session.cert = (names["cert"], names["key"])

    def get(
        self, namespace: str, name: str, port: int | str, path: str = "/", kind: str = "services"
    ) -> requests.Response:
        return self.session.get(self._url(namespace, name, port, path, kind), timeout=30)

    def post(self, namespace: str, name: str, port: int | str, path: str, body: Any) -> requests.Response:
        """Send a JSON body to a Service."""
        return self.session.post(self._url(namespace, name, port, path, "services"), json=body, timeout=30)

    def _url(self, namespace: str, name: str, port: int | str, path: str, kind: str) -> str:
        return f"{self.server}/api/v1/namespaces/{namespace}/{kind}/{name}:{port}/proxy{path}"


class Playbook:
    """Run a playbook of the project with the inventory of the tests."""

    def __init__(self, name: str, variables: dict[str, Any], *flags: str, timeout: float = 600) -> None:
        started = time.monotonic()
        done = run(
            "ansible-playbook",
            f"--inventory={INVENTORY}",
            f"--extra-vars={json.dumps(variables)}",
            *flags,
            name,
            timeout=timeout,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        )
        self.seconds = time.monotonic() - started
        self.code = done.returncode
        self.output = done.stdout + done.stderr


class Users(ABC):
    """Threads that act as users until they are stopped."""

    def __init__(self, count: int) -> None:
        self.stopped = threading.Event()
        self._threads = [threading.Thread(target=self.act, args=(number,)) for number in range(count)]

    @abstractmethod
    def act(self, number: int) -> None:
        """Act as one user until C(stopped) is set."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join()


class Git:
    """Git with one key of the server, without this user's configuration and keys."""

    def __init__(self, variables: dict[str, Any], key: str) -> None:
        self.url = variables["git_host_url"]
        self.port = str(variables["git_ssh_port"])
        self.ssh = [
            *("ssh", "-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={variables['git_dir']}/known_hosts", "-i", f"{variables['git_dir']}/{key}"),
        ]
        identity = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.env = {**os.environ, **identity, "GIT_SSH_COMMAND": " ".join(self.ssh), "GIT_CONFIG_GLOBAL": "/dev/null"}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("git", *arguments, env=self.env)

    def head(self) -> str:
        return self("ls-remote", self.url, "refs/heads/main").stdout.split()[0]


class Clone:
    """A clone of a repository, as its users have it."""

    def __init__(self, git: Git, url: str, clone: Path) -> None:
        self.git, self.url, self.clone = git, url, clone
        done = git("clone", "--quiet", url, str(clone))
        assert done.returncode == 0, done.stderr

    def __call__(self, *arguments: str) -> str:
        """Run Git in the clone."""
        done = self.git("-C", str(self.clone), *arguments)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()


class Repository(Clone):
    """A clone of the repository of the platform, as a developer uses it."""

    def __init__(self, git: Git, clone: Path) -> None:
        super().__init__(git, git.url, clone)
        self.start = self("rev-parse", "HEAD")

    def change(self, path: str, edit: Callable[[dict[str, Any]], object], message: str) -> str:
        """Edit a YAML file, push it and return the commit."""
        file = self.clone / path
        content = yaml.safe_load(file.read_text())
        edit(content)
        file.write_text("---\n" + yaml.safe_dump(content))
        self("commit", "--quiet", "--all", f"--message={message}")
        return self.push()

    def push(self) -> str:
        self("push", "--quiet", "origin", "HEAD:main")
        return self("rev-parse", "HEAD")

    def restore(self) -> str:
        """Push a commit with the files of the start, unless they are there, and return the newest commit."""
        self("read-tree", "-u", "--reset", self.start)
        if self("status", "--porcelain"):
            self("commit", "--quiet", "--message=Restore the files")
        return self.push()


def deployed(kubectl: Kubectl, application: str, commit: str) -> bool:
    """Return whether Argo CD has deployed a commit of an Application and everything in it is healthy."""
    status = kubectl.json("get", "applications.argoproj.io", application, "--namespace=argocd")["status"]
    sync = status["sync"]
    return (sync["status"], sync["revision"], status["health"]["status"]) == ("Synced", commit, "Healthy")
