# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export metrics of a node without memory, a disk that fills up and a publisher that fails, on port 8000 of a Pod."""

from __future__ import annotations

import http.server
import time

STARTED = time.monotonic()
DISK = 'device="drill",fstype="ext4",mountpoint="/drill"'


def metrics(seconds: float) -> str:
    """Return the metrics at this many seconds after the start, in Prometheus' text format."""
    return (
        "node_memory_MemAvailable_bytes 5\n"
        "node_memory_MemTotal_bytes 100\n"
        f"node_filesystem_avail_bytes{{{DISK}}} {max(0.0, 100 - seconds / 60):.3f}\n"
        f"node_filesystem_size_bytes{{{DISK}}} 1000\n"
        f"node_filesystem_readonly{{{DISK}}} 0\n"
        f'git_content_publish_failures_total{{workload="drill"}} {int(seconds)}\n'
    )


class Answer(http.server.BaseHTTPRequestHandler):
    """Answer every request with the metrics."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(metrics(time.monotonic() - STARTED).encode())


http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
