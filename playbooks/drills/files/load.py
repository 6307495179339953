# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send requests to a URL for ever, from a Pod: load.py URL USERS PAUSE. The API server gets the token of the Pod."""

from __future__ import annotations

import http.client
import ssl
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def ask(url: str) -> None:
    """Send one request on a new connection, and ignore the answer."""
    parts, headers = urlsplit(url), {}
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(parts.netloc, timeout=30, context=context)
        headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", parts.path, headers=headers)
        connection.getresponse().read()
    finally:
        connection.close()


def act(url: str, pause: float) -> None:
    """Send requests as one user."""
    while True:
        try:
            ask(url)
        except (OSError, http.client.HTTPException):
            time.sleep(1)
        time.sleep(pause)


for _user in range(int(sys.argv[2])):
    threading.Thread(target=act, args=(sys.argv[1], float(sys.argv[3]))).start()
