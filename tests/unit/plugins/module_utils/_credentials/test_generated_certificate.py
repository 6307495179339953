# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._credentials.generated_certificate import (
    must_renew,
    new_certificate,
    public_part,
)

HOSTS = ("git-server.git.svc", "localhost", "127.0.0.1")
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def text() -> str:
    return new_certificate(HOSTS, 100, NOW)


@pytest.fixture
def port(text: str, tmp_path: Path) -> t.Iterator[int]:
    """Run a TLS server with the key and certificate of one file. It greets clients that trust it."""
    (tmp_path / "server.pem").write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.sendall(b"hello")
            except OSError:
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def greet(port: int, name: str, trusted: str) -> bytes:
    context = ssl.create_default_context(cadata=trusted)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return secured.recv(5)


@pytest.mark.parametrize("host", HOSTS)
def test_who_trusts_the_certificate_reaches_the_server_by_each_of_its_names(port: int, text: str, host: str) -> None:
    assert greet(port, host, public_part(text)) == b"hello"


def test_another_name_and_another_certificate_are_refused(port: int, text: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        greet(port, "example.org", public_part(text))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        greet(port, "localhost", public_part(new_certificate(HOSTS, 100, NOW)))


def test_the_public_part_has_no_private_key(text: str) -> None:
    assert "PRIVATE" in text
    assert "PRIVATE" not in public_part(text)
    assert public_part(text) in text


@pytest.mark.parametrize("damaged", ["", "canary", "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n"])
def test_what_is_no_key_with_a_certificate_is_refused_and_not_shown(damaged: str) -> None:
    with pytest.raises(ValueError, match="Error") as caught:
        public_part(damaged)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("days", "expected"), [(0, False), (69, False), (71, True), (101, True)])
def test_it_is_renewed_in_its_last_thirty_days(text: str, days: int, expected: bool) -> None:
    assert must_renew(text, HOSTS, NOW + dt.timedelta(days=days)) is expected


def test_it_is_renewed_when_it_lacks_a_name(text: str) -> None:
    assert must_renew(text, [*HOSTS, "git.example.org"], NOW)
    assert not must_renew(text, ["localhost"], NOW)
