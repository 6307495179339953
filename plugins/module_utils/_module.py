# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End a module: fail with an error of the collection, or succeed with a result. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def diff_wanted(module: AnsibleModule) -> bool:
    """Return whether the user requested diffs."""
    return bool(module._diff)  # noqa: SLF001  there is no public attribute


@contextlib.contextmanager
def failing(module: AnsibleModule, shown: t.Callable[[t.Any], t.Any] = lambda value: value) -> t.Iterator[None]:
    """Convert an error of the collection to a failure of the module.

    The function shown may hide parts of the message and the facts.
    """
    try:
        yield
    except DrystoneError as error:
        module.fail_json(msg=shown(error.msg), **shown(error.facts))


def succeed(module: AnsibleModule, **result: t.Any) -> t.NoReturn:
    """Exit with a result. It contains the diff only if the user requested diffs."""
    if not diff_wanted(module):
        result.pop("diff", None)
    module.exit_json(**result)
