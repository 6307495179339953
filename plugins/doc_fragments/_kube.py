# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options for access to a cluster: kube_argspec() in module_utils/_argspec.py."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig file. The module ignores the environment variables E(KUBECONFIG) and C(K8S_AUTH_*), so
        that it cannot use another cluster by accident.
      - The module supports client certificates, tokens, basic authentication and CA data. It refuses credential plugins
        (C(exec), C(auth-provider)), impersonation, C(proxy-url) and C(tls-server-name).
    type: path
    required: true
  context:
    description:
      - The context of O(kubeconfig) to use. By default the file's C(current-context).
    type: str
requirements:
  - PyYAML
"""
