# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the backend, from environment variables. The password is in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigError(Exception):
    """A setting is invalid, so the backend cannot start."""


def _number(environ: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = environ.get(name, f"{default:g}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigError(f"{name} must be a number from {least:g} to {most:g}, not {text!r} (default: {default:g})")
    return value


def _whole(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ConfigError(f"{name} must be a whole number from 1 to {most}, not {text!r} (default: {default})")
    return int(text)


@dataclass(frozen=True)
class Settings:
    """The validated settings."""

    host: str
    password_file: Path
    port: int = 5432
    name: str = "rokken"
    user: str = "rokken"
    pool_size: int = 10
    connect_timeout_sec: int = 3
    statement_timeout_sec: float = 5
    retry_sec: float = 5
    migration_wait_sec: float = 120
    bind_host: str = "0.0.0.0"  # noqa: S104 -- a container has one network, and policies limit who reaches it  # nosec B104
    bind_port: int = 8000

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings, or raise a ConfigError that names the variable and its valid values."""
        for name in ("DATABASE_HOST", "DATABASE_PASSWORD_FILE"):
            if not environ.get(name):
                raise ConfigError(f"{name} must be set")
        host, _, port = environ.get("BIND", f"{cls.bind_host}:{cls.bind_port}").rpartition(":")
        if not (host and port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ConfigError(f"BIND must be ADDRESS:PORT, not {environ['BIND']!r}")
        settings = cls(
            host=environ["DATABASE_HOST"],
            password_file=Path(environ["DATABASE_PASSWORD_FILE"]),
            port=_whole(environ, "DATABASE_PORT", cls.port, most=65535),
            name=environ.get("DATABASE_NAME") or cls.name,
            user=environ.get("DATABASE_USER") or cls.user,
            pool_size=_whole(environ, "POOL_SIZE", cls.pool_size, most=1000),
            # libpq rounds a timeout of 1 s up to 2 s.
            connect_timeout_sec=_whole(environ, "CONNECT_TIMEOUT_SEC", cls.connect_timeout_sec, most=60),
            statement_timeout_sec=_number(environ, "STATEMENT_TIMEOUT_SEC", cls.statement_timeout_sec, 0.1, 300),
            retry_sec=_number(environ, "RETRY_SEC", cls.retry_sec, 0, 60),
            migration_wait_sec=_number(environ, "MIGRATION_WAIT_SEC", cls.migration_wait_sec, 0, 3600),
            bind_host=host.strip("[]"),
            bind_port=int(port),
        )
        settings.password()
        return settings

    def password(self) -> str:
        """Read the password. Each new connection reads it again, so a changed Secret needs no restart."""
        try:
            password = self.password_file.read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(
                f"cannot read the password from DATABASE_PASSWORD_FILE {self.password_file}: {reason}"
            ) from None
        if not password or "\n" in password or "\0" in password:
            raise ConfigError(f"DATABASE_PASSWORD_FILE {self.password_file} must contain one line, the password")
        return password

    @property
    def address(self) -> str:
        """Return the address of the database for messages."""
        return f"{self.host}:{self.port}"
