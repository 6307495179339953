# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: acceptance_check
short_description: Check requirements like a user of the platform
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Runs the rows of an acceptance test. A row proves one requirement by steps that a user or an operator would take,
    such as requests, commands, queries and commits. The module returns what each step saw.
  - The module does not fail if a row fails, so that a report can show all rows. Check RV(failed_rows).
  - Rows that only look run in parallel. Rows with O(rows[].slow) run afterwards, one at a time. They may push commits
    and send requests. The module takes back each commit when its row has ended, also if the row failed.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details: Slow rows are skipped. The other rows run, because they only look.
  diff_mode:
    support: none
    details: After a run, everything is as it was before.
requirements:
  - git, for O(rows[].steps[].push)
  - jmespath, for expressions
  - requests, for HTTP requests
options:
  rows:
    description: The rows.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The id of the requirement.
        type: str
        required: true
      title:
        description: The requirement in words.
        type: str
        required: true
      needs:
        description: Names that O(available) must contain. Otherwise the result of the row is V(absent).
        type: list
        elements: str
        default: []
      slow:
        description: Whether the row changes or loads something, or takes more than a few seconds.
        type: bool
        default: false
      steps:
        description: The steps in their order. A step that fails ends the row. Each step has exactly one kind.
        type: list
        elements: dict
        required: true
        suboptions:
          say:
            description: What the step does, for the report.
            type: str
            required: true
          needs:
            description: Names that O(available) must contain. Otherwise the step does nothing.
            type: list
            elements: str
            default: []
          instead:
            description: What the report says if the step does nothing, such as what is checked instead.
            type: str
          gate:
            description:
              - Whether the row ends without a failure if the step does not hold, because what follows must not run.
              - A command with another exit code, and any other error, is a failure nevertheless.
            type: bool
            default: false
          timeout:
            description:
              - Seconds to wait until the step holds. With V(0) it looks once.
              - For O(rows[].steps[].command) and O(rows[].steps[].picture) the limit of the command; V(0) means 60.
            type: int
            default: 0
          conditions:
            description: Conditions as in M(drystone.platform.cluster_ready).
            type: list
            elements: dict
            suboptions: &conditions
              timeout:
                description: Seconds within which this condition must have held, if the step has a timeout.
                type: int
              workloads:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  namespaces: {description: Namespaces., type: list, elements: str, required: true}
                  names: {description: Names that must exist., type: list, elements: str}
                  allow_empty: {description: Whether a namespace may contain none., type: bool, default: false}
                  selector: {description: Label selector., type: str}
                  kinds:
                    description: Kinds to check.
                    type: list
                    elements: str
                    choices: [Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, Pod, Rollout]
              nodes:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  count: {description: Minimum number of nodes., type: int, default: 1}
                  selector: {description: Label selector., type: str}
              crds:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  names: {description: Full names., type: list, elements: str, required: true}
              apiservices:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  names: {description: Full names., type: list, elements: str, required: true}
              applications:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  namespace: {description: Namespace of the Applications., type: str, default: argocd}
                  names: {description: Names that must exist., type: list, elements: str}
                  selector: {description: Label selector., type: str}
                  revision: {description: Commit that must be deployed., type: str}
              http:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  url: {description: The URL or the path at the API server., type: str, required: true}
                  status: {description: The expected status code., type: int, default: 200}
                  body: {description: Text that the body must contain., type: str}
                  expression: {description: JMESPath expression on the body., type: str}
                  headers: {description: Headers to send., type: dict}
                  bearer_token: {description: Token to send., type: str}
                  secret_headers:
                    description: Headers whose values are in Secrets of the cluster.
                    type: list
                    elements: dict
                    suboptions:
                      header: {description: Name of the header., type: str, required: true}
                      namespace: {description: Namespace of the Secret., type: str, required: true}
                      name: {description: Name of the Secret., type: str, required: true}
                      key: {description: Key of the Secret., type: str, required: true}
                  ca_path: {description: File with certificate authorities., type: path}
                  validate_certs: {description: Whether the certificate must be valid., type: bool, default: true}
              resources:
                description: See M(drystone.platform.cluster_ready).
                type: dict
                suboptions:
                  api_version: {description: API version., type: str, required: true}
                  kind: {description: Kind., type: str, required: true}
                  namespace: {description: Namespace., type: str}
                  names: {description: Names that must exist., type: list, elements: str}
                  selector: {description: Label selector., type: str}
                  expression: {description: JMESPath expression on the object., type: str}
          objects:
            description: Reads objects of a kind. The content of Secrets is never read.
            type: dict
            suboptions:
              api_version:
                description: API version.
                type: str
                default: v1
              kind:
                description: Kind.
                type: str
                required: true
              namespaces:
                description: Namespaces. Without namespaces all of them, or the whole cluster.
                type: list
                elements: str
                default: []
              name:
                description: Name of one object.
                type: str
                default: ""
              selector:
                description: Label selector, as kubectl takes it.
                type: str
                default: ""
              show:
                description:
                  - JMESPath expression over the list of objects. Its result is a list of dictionaries for a table.
                type: str
              expect:
                description: JMESPath expression over the list of objects that must be true. Without it, at least one
                  object must exist.
                type: str
          command:
            description:
              - Runs a command on this host with the kubeconfig of the cluster and with O(tools) first in E(PATH).
            type: dict
            suboptions:
              argv:
                description: The command and its arguments. No shell reads them.
                type: list
                elements: str
                required: true
              directory:
                description: The directory to run in.
                type: path
              exit_code:
                description: The expected exit code.
                type: int
                default: 0
              output:
                description: Regular expression that must match in the output.
                type: str
              undo:
                description: A command that runs when the row has ended, also if it failed.
                type: list
                elements: str
                default: []
          files:
            description: Checks that files exist on this host.
            type: dict
            suboptions:
              directory:
                description: The directory that contains them.
                type: path
                required: true
              paths:
                description: Paths in the directory.
                type: list
                elements: str
                required: true
              contain:
                description: Regular expression that must match in each file.
                type: str
          query:
            description: Asks Prometheus.
            type: dict
            suboptions:
              promql:
                description: The query.
                type: str
                required: true
              expect:
                description:
                  - JMESPath expression over a list of series that must be true. Each series has C(name), C(labels),
                    C(value) (the last one) and C(points).
                  - Without it, there must be at least one series.
                type: str
              minutes:
                description: Asks for the values of the last minutes, for a graph. With V(0), only for the current one.
                type: int
                default: 0
              unit:
                description: The unit of the values, for the report.
                type: str
                default: ""
          push:
            description: Appends a line to a file of a Git repository by a commit.
            type: dict
            suboptions:
              repository:
                description: URL of the repository.
                type: str
                required: true
              path:
                description: Path of the file in the repository.
                type: str
                required: true
              line:
                description:
                  - The line. It must contain C(drystone-acceptance), so that the module finds it again.
                  - An empty line only removes what an interrupted run left.
                  - The step does not hold if the line begins with a key of YAML that the file already has.
                type: str
                default: ""
              subject:
                description: Subject of the commit.
                type: str
                default: Remove what an interrupted acceptance test left
          traffic:
            description:
              - Sends requests to each target at a constant rate while commands run and until conditions hold.
              - The timeout of the step limits each command and the wait.
            type: dict
            suboptions:
              targets:
                description: Where to send requests.
                type: list
                elements: dict
                required: true
                suboptions:
                  name: {description: Name of the target in the report., type: str, required: true}
                  url: {description: The URL., type: str, required: true}
                  headers: {description: Headers to send., type: dict, default: {}}
                  secret_headers:
                    description: Headers whose values are in Secrets of the cluster.
                    type: list
                    elements: dict
                    default: []
                    suboptions:
                      header: {description: Name of the header., type: str, required: true}
                      namespace: {description: Namespace of the Secret., type: str, required: true}
                      name: {description: Name of the Secret., type: str, required: true}
                      key: {description: Key of the Secret., type: str, required: true}
              rate:
                description: Requests per second for each target.
                type: int
                default: 20
              during:
                description: Commands to run, each a list of arguments. They run like O(rows[].steps[].command).
                type: list
                elements: list
                default: []
              until:
                description: Conditions as in O(rows[].steps[].conditions).
                type: list
                elements: dict
                required: true
                suboptions: *conditions
              afterwards:
                description: Commands that run when the row has ended, also if it failed, the last one first.
                type: list
                elements: list
                default: []
              most_failed:
                description: The largest number of failed requests of each target with which the step holds.
                type: int
                default: 0
          picture:
            description: Takes a picture of a page with a Chromium of this host. Without Chromium there is no picture.
            type: dict
            suboptions:
              url:
                description: The URL.
                type: str
                required: true
      restored:
        description: Conditions that must hold within ten minutes after the row has taken back its changes.
        type: list
        elements: dict
        default: []
        suboptions: *conditions
  available:
    description: What this platform and this host have, for C(needs).
    type: list
    elements: str
    default: []
  slow:
    description: Whether to run slow rows.
    type: bool
    default: false
  tools:
    description: Directories of tools.
    type: list
    elements: str
    default: []
  prometheus:
    description: Path of Prometheus at the API server, such as a proxy path of its Service.
    type: str
    default: ""
  private_key:
    description: Path of the private SSH key for O(rows[].steps[].push).
    type: path
  known_hosts:
    description: Path of a known_hosts file for O(rows[].steps[].push).
    type: path
  pictures:
    description: Directory for pictures. Without it no picture is taken.
    type: path
  patience:
    description:
      - Seconds to wait at least until a step with O(rows[].steps[].conditions), O(rows[].steps[].objects) or
        O(rows[].steps[].query) holds. A platform that was just created needs time for its first metrics and alerts.
    type: int
    default: 0
  parallel:
    description: The number of rows that run at the same time.
    type: int
    default: 4
seealso:
  - module: drystone.platform.cluster_ready
"""

EXAMPLES = r"""
- name: Check one requirement
  drystone.platform.acceptance_check:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    available: [greeter]
    rows:
      - id: K1
        title: The greeter answers health checks
        needs: [greeter]
        steps:
          - say: Request the health of the greeter
            conditions:
              - http:
                  url: /api/v1/namespaces/dev/services/greeter:8000/proxy/healthz
"""

RETURN = r"""
rows:
  description: The rows in the given order.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id of the requirement.
      returned: always
      type: str
    title:
      description: The requirement in words.
      returned: always
      type: str
    result:
      description:
        - V(holds) or V(fails).
        - V(partly), everything that was checked holds, but a step needs something that is not available.
        - V(absent), the row needs something that is not available. V(skipped), the row is slow and was not requested.
      returned: always
      type: str
    seconds:
      description: The duration of the row in seconds.
      returned: always
      type: float
    missing:
      description: What an absent row needs.
      returned: always
      type: list
      elements: str
    steps:
      description:
        - The steps that ran. Each has C(say), C(result), C(seen), C(table), C(series), C(unit) and C(picture).
        - The first list of a table has the names of the columns.
      returned: always
      type: list
      elements: dict
  sample:
    - id: K1
      title: The greeter answers health checks
      result: holds
      seconds: 0.1
      missing: []
      steps:
        - say: Request the health of the greeter
          result: holds
          holds: true
          seen: ["URL /api/v1/namespaces/dev/services/greeter:8000/proxy/healthz: answered 200"]
          table: []
          series: []
          unit: ""
          picture: ""
failed_rows:
  description: The ids of the rows that fail.
  returned: success
  type: list
  elements: str
  sample: [K1]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.argspec import argument_spec
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.place import Place
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.rows import FAILS, run_rows
from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._command import end_with_commands
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**kube_argspec(), **argument_spec()}, supports_check_mode=True)
    # An interrupted run takes back its changes.
    end_with_commands()
    params = module.params
    with failing(module):
        place = Place(
            api=KubeApi.from_kubeconfig(params["kubeconfig"], params["context"], retry_for=5),
            kubeconfig=params["kubeconfig"],
            tools=params["tools"],
            prometheus=params["prometheus"],
            private_key=params["private_key"],
            known_hosts=params["known_hosts"],
            pictures=params["pictures"],
            patience=params["patience"],
        )
        rows = run_rows(
            place,
            params["rows"],
            available=params["available"],
            slow=params["slow"] and not module.check_mode,
            parallel=params["parallel"],
        )
    succeed(module, changed=False, rows=rows, failed_rows=[row["id"] for row in rows if row["result"] == FAILS])


if __name__ == "__main__":
    main()
