# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the container: `serve` (default) and `migrate`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys

import uvicorn

from .database import DatabaseError
from .observability import configure_logging
from .settings import ConfigError, Settings

# Time for requests in flight after SIGTERM. With the preStop pause it is below terminationGracePeriodSeconds.
GRACE_SEC = 20

log = logging.getLogger("rokken")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM, then finish the requests in flight."""
    from .service import create_app  # noqa: PLC0415 -- a migration does not need the HTTP service

    # uvicorn finishes the requests and then sends itself the signal again. This handler turns that into a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.bind_host,
            port=settings.bind_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SEC,
        )
    )
    server.run()
    return 0 if server.started else 1


def migrate(settings: Settings) -> int:
    """Apply the migrations and log what was done."""
    from .migrate import migrate as apply  # noqa: PLC0415 -- the service does not need Alembic

    before, after = apply(settings)
    log.info("migrated" if before != after else "nothing to migrate", extra={"fields": {"from": before, "to": after}})
    return 0


def main() -> int:
    """Run a command. Report a problem in one line on stderr."""
    parser = argparse.ArgumentParser(prog="rokken", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "migrate"], default="serve")
    command = parser.parse_args().command
    configure_logging()
    try:
        settings = Settings.from_environ(os.environ)
        return serve(settings) if command == "serve" else migrate(settings)
    except (ConfigError, DatabaseError) as error:
        doing = "start" if command == "serve" else "migrate the database"
        print(f"rokken: cannot {doing}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
