# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create releases and pull requests with the API of GitHub."""

from __future__ import annotations

import typing as t

import requests

from .programs import ReleaseError

_TIMEOUT = 30
_HINTS = {
    401: "CI_GITHUB_TOKEN is wrong or has expired.",
    403: "CI_GITHUB_TOKEN needs write access to contents and pull requests of the repository.",
    404: "Check GITHUB_REPOSITORY, and that CI_GITHUB_TOKEN may read the repository.",
}


class GitHub:
    """One repository of GitHub, or of a server with the same API."""

    def __init__(self, api: str, repository: str, token: str) -> None:
        # As a header of the session, the token would give way to credentials in a .netrc.
        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        self._base = f"{api.rstrip('/')}/repos/{repository}"
        self._owner = repository.partition("/")[0]
        self._session = requests.Session()
        self._session.auth = authorize
        self._session.headers["Accept"] = "application/vnd.github+json"
        self._session.headers["X-GitHub-Api-Version"] = "2022-11-28"

    def pull_request(self, branch: str) -> str:
        """Return the address of the branch's pull request, also of a closed one, or an empty text."""
        parameters = {"state": "all", "head": f"{self._owner}:{branch}"}
        found = self._request(f"read the pull requests of {branch}", "GET", "/pulls", params=parameters)
        return str(found[0]["html_url"]) if found else ""

    def open_pull_request(self, branch: str, base: str, title: str, body: str) -> str:
        """Open a pull request and return its address."""
        content = {"head": branch, "base": base, "title": title, "body": body}
        return str(self._request(f"open a pull request for {branch}", "POST", "/pulls", json=content)["html_url"])

    def has_release(self, tag: str) -> bool:
        """Say whether the tag has a release."""
        return self._request(f"read the release {tag}", "GET", f"/releases/tags/{tag}", absent=True) is not None

    def create_release(self, tag: str, name: str, body: str) -> None:
        """Create a release of an existing tag."""
        self._request(
            f"create the release {tag}", "POST", "/releases", json={"tag_name": tag, "name": name, "body": body}
        )

    def _request(self, purpose: str, method: str, path: str, *, absent: bool = False, **content: t.Any) -> t.Any:
        """Return the answer, or None if it is 404 and the thing may be absent."""
        url = self._base + path
        try:
            response = self._session.request(method, url, timeout=_TIMEOUT, allow_redirects=False, **content)
        except requests.RequestException as error:
            raise ReleaseError(f"Cannot {purpose}: {method} {url} failed: {error}. Run again.") from None
        if absent and response.status_code == 404:
            return None
        if not 200 <= response.status_code < 300:
            hint = _HINTS.get(response.status_code, "Run again; the release continues where it stopped.")
            raise ReleaseError(
                f"Cannot {purpose}: {method} {url} answered {response.status_code} {response.text[:500]}. {hint}"
            )
        return response.json()
