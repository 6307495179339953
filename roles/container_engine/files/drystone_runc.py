# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI runtime that requests only what this host grants, then executes runc.

On a host with a restricted capability bounding set, runc refuses every privileged container: the engine requests all
capabilities, resource limits above the hard limits, and a lower OOM score. runc reads the container's config.json
(create, run, restore) or the process to start in it (exec --process). Before that, this program removes the
capabilities outside its own bounding set. If CAP_SYS_RESOURCE is one of them, it also keeps the rlimits within its own
hard limits and oomScoreAdj at or above its own. It changes nothing else, and nothing at all on other hosts.

It runs for each container and each exec. To start fast, it uses only the standard library, and loads json only if
there is a file to read.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing for its constant would take longer than the rest of a start
if TYPE_CHECKING:
    from typing import Any

RUNC = ("/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc")

# Ordered by the numbers of the kernel
# fmt: off
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)
# fmt: on

# Options of runc whose value is the next argument. All other options have no value, or have it after "=".
GLOBAL_VALUES = frozenset({"criu", "log", "log-format", "root", "rootless"})
COMMAND_VALUES = frozenset(
    {
        *("additional-gids", "apparmor", "b", "bundle", "c", "cap", "cgroup", "console-socket", "cwd", "e", "empty-ns"),
        *("env", "g", "image-path", "lsm-mount-context", "lsm-profile", "manage-cgroups-mode", "p", "parent-path"),
        *("pid-file", "preserve-fds", "process", "process-label", "u", "user", "work-path"),
    }
)


class ShimError(Exception):
    """An error of this program, with the operation and the file."""


def parse(arguments: list[str], values: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    """Separate leading options from the remaining arguments. The last of several equal options wins, as in runc."""
    options: dict[str, str] = {}
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if not argument.startswith("-") or argument == "-":
            break
        position += 1
        if argument == "--":
            break
        name, equals, value = argument.lstrip("-").partition("=")
        if not equals and name in values and position < len(arguments):
            value = arguments[position]
            position += 1
        options[name] = value
    return options, arguments[position:]


def target(command: str, options: dict[str, str]) -> str | None:
    """Return the JSON file that runc reads for this command, or None."""
    if command in ("create", "run", "restore"):
        return os.path.join(options.get("bundle") or options.get("b") or ".", "config.json")
    if command == "exec":
        return options.get("process") or options.get("p")
    return None


def bounding_set(status: str) -> int:
    """Read the capability bounding set from the text of /proc/self/status."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    raise ShimError("/proc/self/status has no line CapBnd")


def drop_capabilities(process: dict[str, Any], bounding: int) -> None:
    """Remove the capabilities outside the bounding set. Keep unknown names, which runc will check."""
    lost = {name for number, name in enumerate(CAPABILITIES) if not bounding >> number & 1}
    sets = process.get("capabilities")
    if isinstance(sets, dict):
        for kind, names in sets.items():
            if isinstance(names, list):
                sets[kind] = [name for name in names if name not in lost]


def clamp_rlimits(process: dict[str, Any], hard_limits: dict[str, int]) -> None:
    """Reduce limits to this process's hard limits. Keep those that are unlimited or unknown here."""
    for limit in process.get("rlimits") or []:
        ceiling = hard_limits.get(limit.get("type"))
        if ceiling is not None:
            limit["hard"] = min(limit["hard"], ceiling)
            limit["soft"] = min(limit["soft"], limit["hard"])


def fit(spec: dict[str, Any], bounding: int, hard_limits: dict[str, int], oom_score_adj: int) -> None:
    """Reduce a container's configuration, or a bare process, to what the host grants."""
    process = spec.get("process", spec)
    if not isinstance(process, dict):
        return
    drop_capabilities(process, bounding)
    if bounding >> CAPABILITIES.index("CAP_SYS_RESOURCE") & 1:
        return
    clamp_rlimits(process, hard_limits)
    if process.get("oomScoreAdj") is not None:
        process["oomScoreAdj"] = max(process["oomScoreAdj"], oom_score_adj)


def own_hard_limits() -> dict[str, int]:
    """Read this process's finite hard limits, by their OCI names."""
    import resource

    limits = {name: resource.getrlimit(getattr(resource, name))[1] for name in dir(resource) if name[:7] == "RLIMIT_"}
    return {name: hard for name, hard in limits.items() if hard != resource.RLIM_INFINITY}


def read_text(path: str) -> str:
    """Read a whole file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def replace(path: str, text: str) -> None:
    """Replace the file atomically, and keep its owner and mode."""
    old = os.stat(path)
    new = f"{path}.{os.urandom(8).hex()}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chown(new, old.st_uid, old.st_gid)
        os.chmod(new, old.st_mode & 0o7777)
        os.replace(new, path)
    except OSError:
        os.unlink(new)
        raise


def rewrite(path: str) -> None:
    """Reduce one JSON file to what the host grants. Leave an invalid file to runc, which reports the error."""
    import json

    if not os.path.isfile(path):
        return
    try:
        before = read_text(path)
        spec = json.loads(before)
    except ValueError:
        return
    except OSError as error:
        raise ShimError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(spec, dict):
        return
    try:
        fit(
            spec,
            bounding_set(read_text("/proc/self/status")),
            own_hard_limits(),
            int(read_text("/proc/self/oom_score_adj")),
        )
    except (AttributeError, KeyError, TypeError):
        return
    if spec != json.loads(before):
        try:
            replace(path, json.dumps(spec, separators=(",", ":")))
        except OSError as error:
            raise ShimError(f"cannot write {path}: {error.strerror}") from error


def report(message: str, options: dict[str, str]) -> None:
    """Write an error to stderr and to runc's log, from which the engine reads the reason of a failure."""
    sys.stderr.write(f"{message}\n")
    if options.get("log"):
        import json

        quoted = json.dumps(message)
        line = (
            f'{{"level":"error","msg":{quoted}}}'
            if options.get("log-format") == "json"
            else f"level=error msg={quoted}"
        )
        try:
            with open(options["log"], "a", encoding="utf-8") as log:
                log.write(f"{line}\n")
        except OSError:
            pass  # the error is already on stderr


def main(arguments: list[str]) -> int:
    """Rewrite the file that this command reads, if any, then execute runc."""
    options, rest = parse(arguments, GLOBAL_VALUES)
    try:
        path = target(rest[0], parse(rest[1:], COMMAND_VALUES)[0]) if rest else None
        if path:
            rewrite(path)
        runc = next((candidate for candidate in RUNC if os.access(candidate, os.X_OK)), None)
        if runc is None:
            raise ShimError(f"runc was not found at {', '.join(RUNC)}: install the package runc")
        # Python ignores these two signals. Without a reset, runc and the container would ignore them as well.
        import signal

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execv(runc, [runc, *arguments])  # nosec B606  # the shim becomes the real runtime
    except ShimError as error:
        report(f"drystone-runc: {error}", options)
    except OSError as error:
        report(f"drystone-runc: cannot run runc: {error}", options)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
