# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of every module; a module overrides C(support) and C(details) if its own differ."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts in C(check_mode) the changes of a run, and changes nothing.
    support: full
  diff_mode:
    description: Returns the changes, or in C(check_mode) the predicted changes, when in diff mode.
    support: full
  idempotent:
    description: A second run with the same arguments changes nothing and reports no change.
    support: full
"""
