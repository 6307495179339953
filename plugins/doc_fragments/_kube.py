# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a cluster; the options of module_utils/_argspec.py kube_argspec()."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig file. Only this file is read; the environment variables E(KUBECONFIG) and
        C(K8S_AUTH_*) are ignored, so that no other cluster can be meant by accident.
      - Client certificates, tokens, basic authentication and CA data are used as they are in the file.
        Credential plugins (C(exec), C(auth-provider)), impersonation, C(proxy-url) and C(tls-server-name) are refused.
    type: path
    required: true
  context:
    description:
      - The context of O(kubeconfig) to use. Without it the file's C(current-context).
    type: str
requirements:
  - PyYAML
"""
