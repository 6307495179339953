# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import the library cryptography, and report if it is missing. PRIVATE to the collection."""

from __future__ import annotations

import traceback
import typing as t

from ansible.module_utils.basic import missing_required_lib

if t.TYPE_CHECKING:
    from types import TracebackType

    from ansible.module_utils.basic import AnsibleModule


class Imports:
    """Import names of cryptography in a with block. require_cryptography reports an ImportError."""

    def __init__(self) -> None:
        self.error: ImportError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, ImportError):
            return False
        self.error = self.error or error
        return True


cryptography_imports = Imports()


def require_cryptography(module: AnsibleModule) -> None:
    """Fail with the required package if the import of cryptography failed."""
    if error := cryptography_imports.error:
        module.fail_json(msg=missing_required_lib("cryptography"), exception="".join(traceback.format_exception(error)))
