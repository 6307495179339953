# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gunicorn settings of the greeter: `gunicorn -c gunicorn.conf.py`."""

import os
import sys

from server import ConfigError, Settings  # type: ignore[import-not-found]  # gunicorn runs this beside server.py

try:
    Settings.from_environ(os.environ)
except ConfigError as error:
    # Check here instead of in the worker: one line instead of two tracebacks, and no worker that restarts repeatedly.
    sys.exit(f"greeter: {error}")

wsgi_app = "server:create_app()"
bind = os.environ.get("BIND", "0.0.0.0:8000")

# Use one worker: several would each have separate metrics and a separate readiness clock.
workers = 1
worker_class = "gthread"
threads = 8

# The root file system is read-only: the worker's heartbeat file is in memory, and there is no control socket.
worker_tmp_dir = "/dev/shm"  # noqa: S108 -- the one place that is writable in any container  # nosec B108
control_socket_disable = True

# Time for requests in flight after SIGTERM. With the preStop pause it is below terminationGracePeriodSeconds.
graceful_timeout = 20

# Log everything to stdout, one JSON object per line. The service logs its own requests, so gunicorn does not.
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "server.JsonFormatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
    },
}
