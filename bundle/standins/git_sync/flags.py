# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of git-sync that Drystone sets, with the same names, defaults and limits. All others are refused."""

from __future__ import annotations

import argparse
import dataclasses
import re
import typing as t
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
_SWITCHES = ("--one-time", "--group-write", "--http-metrics")
# Upstream or its Git would use these variables; this program would silently ignore them, so it refuses them. Kubernetes
# also sets variables with such names for Services; these are harmless.
_VARIABLE = re.compile(r"GITSYNC_|GIT_(SYNC_|ASKPASS|CONFIG|COOKIE_FILE|KNOWN_HOSTS|PROXY|SSH|SSL)")
_OF_A_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$")
_NO_REF = re.compile(r"^-|\.\.|[\s~^:?*\[\\\x00-\x1f\x7f]|\$\(")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', ",": ",", "\\": "\\"}


class Wrong(Exception):
    """The flags are invalid."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The values of the flags; times are in seconds."""

    repo: str
    ref: str
    root: Path
    link: str
    depth: int
    sparse_checkout_file: str
    period: float
    init_period: float
    sync_timeout: float
    one_time: bool
    max_failures: int
    init_max_failures: int
    stale_worktree_timeout: float
    webhook_url: str
    webhook_method: str
    webhook_success_status: int
    webhook_timeout: float
    webhook_backoff: float
    exechook_command: str
    exechook_timeout: float
    exechook_backoff: float
    touch_file: str
    error_file: str
    username: str
    password_file: str
    ssh_key_file: tuple[str, ...]
    ssh_known_hosts: bool
    ssh_known_hosts_file: str
    git_config: dict[str, str]
    http_bind: tuple[str, int] | None
    http_metrics: bool
    group_write: bool
    verbose: int

    def path(self, name: str) -> Path:
        """Return the path of a file in a flag: absolute, or relative to the root."""
        return self.root / name


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> t.NoReturn:
        raise Wrong(message)


def duration(text: str) -> float:
    """Parse a duration in Go's format: 1m30s, 20ms, 0."""
    parts = _AMOUNT.findall(text)
    if text != "0" and (not parts or "".join(amount + unit for amount, unit in parts) != text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: use numbers with units, as in 10s or 1m30s")
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts)


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address with a port: use :9000 or 127.0.0.1:9000")
    return host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="git-sync", description="Drystone's stand-in for git-sync.", allow_abbrev=False)
    add = parser.add_argument
    add("--repo", default="", help="repository to sync (required)")
    add("--ref", default="HEAD", help="branch, tag or commit to sync")
    add("--root", default="", help="directory to work in (required)")
    add("--link", default="", help="symbolic link to publish, relative to --root; default: the last part of --repo")
    add("--depth", type=int, default=1, help="number of commits to fetch; 0 for all")
    add("--submodules", default="recursive", help="must be off (required)")
    add("--sparse-checkout-file", default="", help="file with the patterns of files to check out")
    add("--period", type=duration, default=10.0, help="time between syncs")
    add("--init-period", type=duration, default=0.0, help="time between syncs until the first one succeeds")
    add("--sync-timeout", type=duration, default=120.0, help="time for one sync")
    add("--one-time", type=_truth, default=False, help="exit after the first sync")
    add("--max-failures", type=int, default=0, help="consecutive failures before exiting; negative for never")
    add("--init-max-failures", type=int, default=None, help="the same until the first sync succeeds")
    add("--stale-worktree-timeout", type=duration, default=0.0, help="how long to keep replaced worktrees")
    add("--webhook-url", default="", help="URL to call for each new commit")
    add("--webhook-method", default="POST")
    add("--webhook-success-status", type=int, default=200, help="expected status; 0 for any")
    add("--webhook-timeout", type=duration, default=1.0)
    add("--webhook-backoff", type=duration, default=3.0, help="time before a failed webhook is repeated")
    add("--exechook-command", default="", help="program to run in each new worktree")
    add("--exechook-timeout", type=duration, default=30.0)
    add("--exechook-backoff", type=duration, default=3.0, help="time before a failed exechook is repeated")
    add("--touch-file", default="", help="file to touch after each change, relative to --root")
    add("--error-file", default="", help="file for the current error, relative to --root")
    add("--username", default="", help="user for HTTP")
    add("--password-file", default="", help="file with the password or token for HTTP; read again for each sync")
    add("--ssh-key-file", action="append", help="private key; may be given more than once")
    add("--ssh-known-hosts", type=_truth, default=True, help="whether to check host keys")
    add("--ssh-known-hosts-file", default="/etc/git-secret/known_hosts")
    add("--git-config", default="", help="additional Git settings: key:value,key:value")
    add("--http-bind", type=_address, default=None, help="address and port to answer probes on")
    add("--http-metrics", type=_truth, default=False, help="also answer /metrics at --http-bind")
    add("--group-write", type=_truth, default=False, help="let the group write all files")
    add("--verbose", "-v", type=int, default=0)
    return parser


def parse(arguments: list[str], environment: Mapping[str, str]) -> Options:
    """Parse the flags."""
    names = [name for name in environment if _VARIABLE.match(name) and not _OF_A_SERVICE.search(name)]
    if names:
        raise Wrong(f"the environment sets {', '.join(sorted(names))}: this stand-in takes flags alone")
    # A switch accepts a value only after =.
    values = vars(_parser().parse_args([f"{one}=true" if one in _SWITCHES else one for one in arguments]))
    values["git_config"] = git_config(values["git_config"])
    values["ssh_key_file"] = tuple(values["ssh_key_file"] or ["/etc/git-secret/ssh"])
    values["link"] = values["link"] or values["repo"].strip("/").split("/")[-1]
    values["init_period"] = values["init_period"] or values["period"]
    values["webhook_success_status"] = max(values["webhook_success_status"], 0)
    if values["init_max_failures"] is None:
        values["init_max_failures"] = values["max_failures"]
    _check(values)
    del values["submodules"]
    # Resolve links in the path of the root, because they would make the published relative link wrong.
    values["root"] = Path(values["root"]).resolve()
    return Options(**values)


def _check(values: dict[str, t.Any]) -> None:
    """Refuse values that upstream refuses, and features that only upstream supports."""
    repo = urlsplit(values["repo"])
    http = repo.scheme in ("http", "https")
    limits = {"period": 0.01, "init_period": 0.01, "sync_timeout": 0.01}
    for hook, on in (("webhook", values["webhook_url"]), ("exechook", values["exechook_command"])):
        limits |= {f"{hook}_timeout": 1.0, f"{hook}_backoff": 1.0} if on else {}
    wrong = {
        **{f"--{name} must be given": not values[name] for name in ("repo", "ref", "root")},
        f"--submodules is {values['submodules']!r}, here it must be off": values["submodules"] != "off",
        "--repo begins with -": values["repo"].startswith("-"),
        "--repo holds a user or a password: give --username and --password-file": repo.password
        or (http and repo.username is not None),
        f"--ref {values['ref']!r} is no name of a branch or tag and no commit": _NO_REF.search(values["ref"]),
        "--depth must be 0 or more": values["depth"] < 0,
        **{
            f"--{name.replace('_', '-')} must be at least {least:g}s": values[name] < least
            for name, least in limits.items()
        },
        "--webhook-url must begin with http:// or https://": not re.match(r"(https?://|$)", values["webhook_url"]),
        "--http-metrics needs --http-bind": values["http_metrics"] and not values["http_bind"],
        "--username and --password-file go together": bool(values["username"]) != bool(values["password_file"]),
        "--username is for repositories at http and https addresses": values["username"] and not http,
    }
    if found := [text for text, is_so in wrong.items() if is_so]:
        raise Wrong("; ".join(found))


def git_config(text: str) -> dict[str, str]:
    """Parse Git settings in git-sync's format: section.key:value,"section.sub.key":"value"."""
    found: dict[str, str] = {}
    rest = text
    while rest:
        key, rest = _quoted(rest) if rest.startswith('"') else _bare(rest, ":", escapes=False)
        if not key.strip() or not rest.startswith(":"):
            raise Wrong(f"--git-config: no value for the key {key!r}")
        rest = rest[1:].lstrip(" ")
        value, rest = _quoted(rest) if rest.startswith('"') else _bare(rest, ",", escapes=True)
        if rest and not rest.startswith(","):
            raise Wrong(f"--git-config: something follows the quoted value of {key!r}")
        rest = rest[1:].lstrip(" ")
        found[key] = value
    return found


def _quoted(text: str) -> tuple[str, str]:
    match = re.match(r'"((?:[^"\\]|\\.)*)"', text, re.DOTALL)
    if not match:
        raise Wrong("--git-config: a quote is not closed")
    return _unescaped(match[1]), text[match.end() :]


def _bare(text: str, end: str, *, escapes: bool) -> tuple[str, str]:
    match = re.match(rf"(?:[^{end}\\]|\\.)*" if escapes else rf"[^{end}]*", text, re.DOTALL)
    found = match[0] if match else ""
    return (_unescaped(found) if escapes else found), text[len(found) :]


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise Wrong(f"--git-config: \\{match[1]} is no escape; known are {' '.join(chr(92) + e for e in _ESCAPES)}")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.?)", one, text, flags=re.DOTALL)
