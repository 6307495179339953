# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh command, as the real ssh reads it."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote

FOLDERS = pytest.mark.parametrize("folder", ["plain", "with a space", "100%h of it", '"quoted"', "back\\slash"])


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that sends the greeting of SSH and then ends the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-test\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@FOLDERS
def test_ssh_reads_the_host_keys_of_any_directory(folder: str) -> None:
    known_hosts = f"/{folder}/known_hosts"
    command = Remote("ssh://git@h/x.git", known_hosts=known_hosts).ssh_command()
    read = subprocess.run([*command, "-G", "h"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert f"userknownhostsfile {known_hosts}" in read
    assert "globalknownhostsfile /dev/null" in read


@FOLDERS
def test_ssh_reads_the_key_of_any_directory(folder: str, tmp_path: Path, port: int) -> None:
    key = tmp_path / folder / "key"
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    command = [*Remote("ssh://git@h/x.git", private_key=str(key)).ssh_command(), "-v", "-p", str(port), "127.0.0.1"]
    said = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    shown = str(key).replace("\\", "\\\\")  # ssh escapes it in messages
    assert f"identity file {shown} type 3" in said
