"""The site's image with hostile content: responses, forbidden behaviour, logs, and the end of the process."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from drystone_testing import Http, Kubectl, wait_until

COMMIT = "a0" * 20
LARGE = 100_000_000
# A worktree like those of git-sync, with hostile files that an author of content could add.
CONTENT = f"""
set -eu
cd /git/repo
echo outside > outside.txt
mkdir -p .worktrees/{COMMIT}
ln -s .worktrees/{COMMIT} content
cd content
mkdir -p sub .hidden .well-known
echo 'At <!-- git-commit -->.' > index.html
echo 'Below.' > sub/index.html
echo 'plain' > file.txt
echo 'here <!-- git-commit -->' > untouched.txt
echo 'gitdir: ../../.git' > .git
echo hidden > .hidden/file
echo known > .well-known/file
ln -s /etc/passwd absolute
ln -s ../../outside.txt relative
ln -s /etc folder
ln -s file.txt inside
ln -s .git unhidden
head -c {LARGE} /dev/zero > large
"""
# Send the whole request at once: nginx may close the connection after the first line of an invalid request.
ASK = (
    'printf "%s %s HTTP/1.0\\r\\nHost: site\\r\\n\\r\\n" "$1" "$2" >/dev/shm/request;'
    " exec 3<>/dev/tcp/127.0.0.1/8080; cat /dev/shm/request >&3; head -c 100000 <&3"
)


class Answer:
    def __init__(self, text: str) -> None:
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        status, *lines = head.splitlines()
        self.status = int(status.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)


class Site:
    def __init__(self, kubectl: Kubectl, namespace: str, image: str) -> None:
        self.kubectl = kubectl
        self.where = f"--namespace={namespace}"
        security = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        container = {"image": image, "securityContext": security}
        mount = {"name": "content", "mountPath": "/git"}
        probe = {"httpGet": {"path": "/commit", "port": 8080}, "periodSeconds": 1}
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "site", "namespace": namespace},
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "fsGroup": 65533,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "initContainers": [
                        {
                            **container,
                            "name": "content",
                            "command": ["bash", "-c", f"mkdir -p /git/repo; {CONTENT}"],
                            "securityContext": {**security, "runAsUser": 65533, "runAsGroup": 65533},
                            "volumeMounts": [mount],
                        }
                    ],
                    "containers": [
                        {
                            **container,
                            "name": "site",
                            "readinessProbe": probe,
                            "volumeMounts": [{**mount, "readOnly": True}],
                        }
                    ],
                    "volumes": [{"name": "content", "emptyDir": {}}],
                },
            }
        )
        kubectl("wait", "pod/site", self.where, "--for=condition=Ready", "--timeout=120s")

    def ask(self, path: str, method: str = "GET") -> Answer:
        """Send a request with an unmodified path, which clients and proxies would normalize."""
        return Answer(self.kubectl("exec", "site", self.where, "--", "bash", "-c", ASK, "ask", method, path))

    def logged(self) -> list[dict[str, Any]]:
        lines = self.kubectl("logs", "site", self.where).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def site(kubectl: Kubectl, variables: dict[str, Any]) -> Iterator[Site]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield Site(kubectl, name, variables["images"]["site"])
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", f"At {COMMIT}.\n"),
        ("/index.html", f"At {COMMIT}.\n"),
        ("/sub/", "Below.\n"),
        ("/file.txt", "plain\n"),
        ("/sub/../file.txt", "plain\n"),
        ("/untouched.txt", "here <!-- git-commit -->\n"),
        ("/.well-known/file", "known\n"),
        ("/commit", f"{COMMIT}\n"),
        ("/healthz", "ok\n"),
    ],
)
def test_what_is_served(site: Site, path: str, body: str) -> None:
    answer = site.ask(path)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/absolute", 403),
        ("/relative", 403),
        ("/folder", 403),
        ("/folder/passwd", 404),
        ("/inside", 403),
        ("/unhidden", 403),
        ("/.git", 404),
        ("/%2egit", 404),
        ("/sub/../.git", 404),
        ("/.hidden/file", 404),
        ("/../outside.txt", 400),
        ("/%2e%2e/outside.txt", 400),
        ("/..%2foutside.txt", 400),
        ("/sub/../../outside.txt", 400),
        ("/../../../../etc/passwd", 400),
        ("/nowhere", 404),
    ],
)
def test_what_is_never_served(site: Site, path: str, status: int) -> None:
    answer = site.ask(path)
    assert answer.status == status
    assert not any(word in answer.body for word in ("outside", "root:", "gitdir", "hidden", "plain"))
    assert answer.headers["Git-Commit"] == COMMIT


@pytest.mark.parametrize("path", ["/", "/file.txt", "/commit", "/healthz", "/nowhere"])
def test_every_answer_says_its_commit(site: Site, path: str) -> None:
    headers = site.ask(path).headers
    assert headers["Git-Commit"] == COMMIT
    assert headers["Server"] == "nginx"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_taken(site: Site, method: str) -> None:
    assert site.ask("/", method).status == 405


def test_probes_are_not_logged_and_the_rest_is_json(site: Site) -> None:
    marker = f"/{uuid.uuid4().hex}"
    site.ask("/healthz")
    site.ask(f"{marker}?token=secret")
    assert wait_until(lambda: any(line["path"] == marker for line in site.logged()))
    assert not {line["path"] for line in site.logged()} & {"/healthz", "/commit"}
    assert all(line["commit"] == COMMIT for line in site.logged())
    assert "secret" not in site.kubectl("logs", "site", site.where)


def test_a_download_is_finished_after_the_stop_signal(site: Site, http: Http) -> None:
    """Run this test last, because it replaces the container. The stop signal of the image is SIGQUIT."""
    namespace = site.where.removeprefix("--namespace=")
    url = f"{http.server}/api/v1/namespaces/{namespace}/pods/site:8080/proxy/large"
    with http.session.get(url, stream=True, timeout=60) as answer:
        chunks = answer.iter_content(1000)
        received = len(next(chunks))
        site.kubectl("exec", "site", site.where, "--", "bash", "-c", "kill -QUIT 1")
        # The rest of the download is larger than all buffers between server and client.
        time.sleep(2)
        received += sum(len(chunk) for chunk in chunks)
    assert received == LARGE

    def ended() -> dict[str, Any]:
        (status,) = site.kubectl.json("get", "pod", "site", site.where)["status"]["containerStatuses"]
        found: dict[str, Any] = status.get("lastState", {}).get("terminated", {})
        return found

    assert wait_until(lambda: bool(ended()))
    assert ended()["exitCode"] == 0
