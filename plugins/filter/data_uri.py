# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert a picture to a URI that contains it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: data_uri
short_description: Convert a picture to a URI that contains it
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Reads a PNG file on the control node and returns a C(data) URI, so that a page contains the picture itself.
options:
  _input:
    description: Path of the file.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Write a page with a picture
  ansible.builtin.copy:
    dest: /tmp/page.html
    content: <img src="{{ '/tmp/picture.png' | drystone.platform.data_uri }}">
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The URI.
  type: str
"""

import base64
import typing as t
from pathlib import Path

from ansible.errors import AnsibleFilterError


def data_uri(path: str) -> str:
    """Return the content of a file as a URI."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise AnsibleFilterError(f"Reading the picture {path}: {error.strerror}.") from error
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"data_uri": data_uri}
