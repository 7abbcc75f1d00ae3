#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: connection_info
short_description: Tell whether and as whom a task reaches Azure
version_added: 0.1.0
author:
  - vmguard contributors (@vmguard)
description:
  - Logs in to Azure as every other module of this collection does with the same options, and reads
    the subscription.
  - Reports the principal, the tenant, the subscription, the cloud and where the login comes from,
    or why there is no connection.
  - A missing or refused login and an endpoint that does not answer are results, not failures. Only
    options that are wrong in themselves make the task fail, for example two logins at once or a
    malformed id.
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.query
  - vmguard.azure.attributes.info
  - vmguard.azure.attributes.action_group
"""

EXAMPLES = r"""
- name: Stop early, with the reason, when there is no connection to Azure
  vmguard.azure.connection_info:
  register: connection
  failed_when: not connection.connected

- name: Look whether a profile of the credential file still works
  vmguard.azure.connection_info:
    profile: production
  register: connection

- name: Check the login of an Azure Stack
  vmguard.azure.connection_info:
    cloud_environment: https://management.local.azurestack.external
    client_id: "{{ client_id }}"
    secret: "{{ secret }}"
    tenant: "{{ tenant }}"
    subscription_id: "{{ subscription_id }}"

- name: Keep only what a report needs
  vmguard.azure.connection_info:
    query: "{who: principal.client_id, where: subscription_name}"
  register: connection
"""

RETURN = r"""
connected:
  description: Whether the login works and the subscription can be read.
  returned: always
  type: bool
  sample: true
reason:
  description: Why there is no connection, and what to do. Empty when there is one.
  returned: always
  type: str
  sample: ""
failure:
  description: What failed, as in the failures of the other modules. Empty when connected.
  returned: always
  type: dict
  contains:
    code:
      description: Azure's code, or one of this collection.
      type: str
      sample: AADSTS7000222
    message:
      description: What failed.
      type: str
      sample: "login of https://login.microsoftonline.com failed: The client secret has expired."
    operation:
      description: What was being done.
      type: str
      sample: login
    resource:
      description: On what.
      type: str
      sample: https://login.microsoftonline.com
    request_id:
      description: Azure's id of the request.
      type: str
      sample: 4f6c5d4e-3d0e-4c5a-9a5e-2f2d8e0c0a00
    hint:
      description: What to do about it.
      type: str
      sample: Create a new client secret for the application.
principal:
  description: Who is logged in, as the token says. Values that it does not say are null.
  returned: always
  type: dict
  contains:
    client_id:
      description: Client id of the application. With the Azure CLI, that of the CLI.
      type: str
      sample: 3f9b9c1e-0000-4000-8000-6f2f1f0d7a55
    object_id:
      description: Object id of the principal, to which roles are assigned.
      type: str
      sample: 9c1e3f9b-0000-4000-8000-7a556f2f1f0d
    name:
      description: Name of a user.
      type: str
      sample: operator@example.com
tenant:
  description: Id of the tenant as the token says, or else as given; null when unknown.
  returned: always
  type: str
  sample: 72f988bf-0000-4000-8000-2d7cd011db47
subscription_id:
  description: Id of the subscription; null when none was found.
  returned: always
  type: str
  sample: 00000000-0000-4000-8000-000000000001
subscription_name:
  description: Name of the subscription; null when it could not be read.
  returned: always
  type: str
  sample: Production
subscription_state:
  description: State of the subscription, for example V(Enabled) or V(Disabled); null when it could
    not be read.
  returned: always
  type: str
  sample: Enabled
cloud:
  description: Name of the cloud; null when it is not known.
  returned: always
  type: str
  sample: AzureCloud
resource_manager:
  description: URL of the cloud's Resource Manager; null when the cloud is not known.
  returned: always
  type: str
  sample: https://management.azure.com
auth_source:
  description: Where the login comes from, which is V(options), V(env), V(credential_file), V(cli),
    V(msi) or V(workload_identity); null when there is none.
  returned: always
  type: str
  sample: credential_file
profile:
  description: The profile that was used; null when none was.
  returned: always
  type: str
  sample: production
profiles:
  description: Names of the profiles in the credential file.
  returned: always
  type: list
  elements: str
  sample:
    - default
    - production
query_result:
  description: Answer of the expression in O(query).
  returned: when O(query) is given
  type: raw
  sample:
    who: 3f9b9c1e-0000-4000-8000-6f2f1f0d7a55
    where: Production
"""

import os
from typing import Any

from ..module_utils._arm.connection import describe_connection
from ..module_utils._module import Task, run_module
from ..module_utils._query import apply_query
from ..module_utils._spec import QUERY_SPEC


def _act(task: Task) -> dict[str, Any]:
    result = describe_connection(task.params, os.environ, clock=task.clock)
    return apply_query(task.params["query"], result)


def main() -> None:
    run_module(_act, dict(QUERY_SPEC))


if __name__ == "__main__":
    main()
