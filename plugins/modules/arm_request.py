#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: arm_request
short_description: Send requests to Azure Resource Manager and tell what it answers
version_added: 0.1.0
description:
  - Sends requests as they are given, one after another, follows the operations that they start, and
    tells what each came to. A request that Azure refuses is an answer; the task does not fail.
  - It is for questions about Azure itself, as the playbook C(vmguard.azure.prove_azure) asks
    them. It compares nothing with what there is. The same task twice sends the same requests twice.
  - In check mode, GET and HEAD are sent, and nothing else.
  - A text in a request may hold C({subscription}), the id of the subscription, and
    C({name:properties.disks.0.id}), what the answer to the earlier request of that name holds there.
    With C({name:operation.properties.output}) it is the end of that request's operation. Where there
    is no such member, the request is not sent and its answer says why. C({password}) is a password
    that is made for the task and told to nobody.
  - The result holds no signatures, passwords, keys and ids of subscription, tenant and login.
  - With the environment variable E(VMGUARD_AZURE_RECORD), each exchange is written into a folder.
author:
  - vmguard contributors (@vmguard)
options:
  requests:
    description: The requests, in their order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - By which the result and later requests know it; letters, digits, V(_) and V(-).
          - Each name is there once.
        type: str
        required: true
      method:
        description: The method.
        type: str
        choices: [DELETE, GET, HEAD, PATCH, POST, PUT]
        default: GET
      path:
        description: The path, from C(/subscriptions) on. Not used with O(requests[].through).
        type: str
      api_version:
        description: The version of the provider's API.
        type: str
      query:
        description: The query, but for the API version.
        type: dict
        default: {}
      headers:
        description: Headers such as C(If-Match). The login's cannot be set.
        type: dict
        default: {}
      body:
        description: The body, as JSON.
        type: dict
      through:
        description:
          - Name of an earlier request that gave access to a disk or snapshot. This one goes to the
            signed URL that Azure answered, which no result shows.
        type: str
      content:
        description:
          - What a request with O(requests[].through) sends. V(vhd_footer) is the end of a fixed VHD
            of O(requests[].content_size) bytes, V(pattern) is as many bytes that are not zero.
        type: str
        choices: [vhd_footer, pattern]
      content_size:
        description: A number of bytes, a multiple of 512.
        type: int
        default: 512
      after:
        description: Send it only if these were accepted, and their operations did not fail.
        type: list
        elements: str
        default: []
      unless:
        description: Send it only if none of these was accepted.
        type: list
        elements: str
        default: []
      wait:
        description: Whether to follow the operation that it starts until it ends.
        type: bool
        default: true
      until:
        description: Repeat a GET until a member of its answer has this value, or there is no such member.
        type: dict
        suboptions:
          member:
            description: Where it is, such as V(properties.completionPercent).
            type: str
            required: true
          equals:
            description: The value. Numbers are compared as numbers.
            type: raw
            required: true
          seconds:
            description: How long to repeat it. The last answer counts.
            type: int
            default: 300
  wait_timeout:
    description:
      - How long to wait for all operations together, in seconds, 1 at least.
      - When the time is over the task fails; the operation goes on in Azure.
    type: int
    default: 1800
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.attributes
  - vmguard.azure.attributes.action_group
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - It sends what it is given, each time.
"""

EXAMPLES = r"""
- name: Ask whether a disk that waits for its upload can be tagged
  vmguard.azure.arm_request:
    requests:
      - name: made
        method: PUT
        path: "/subscriptions/{subscription}/resourceGroups/lab/providers/Microsoft.Compute/disks/one"
        api_version: "2024-03-02"
        body:
          location: westeurope
          properties:
            creationData:
              createOption: Upload
              uploadSizeBytes: 33554944
      - name: tagged
        method: PATCH
        path: "{made:id}"
        api_version: "2024-03-02"
        after: [made]
        body:
          tags:
            purpose: question
  register: asked

- name: Show what Azure said
  ansible.builtin.debug:
    msg: "{{ asked.answers.tagged.status }} {{ asked.answers.tagged.message }}"
"""

RETURN = r"""
answers:
  description: By the names of the requests, what came of them.
  returned: success
  type: dict
  contains:
    skipped:
      description: Why the request was not sent, V(null) where it was.
      type: str
      sample: null
    status:
      description: The HTTP status of the first answer.
      type: int
      sample: 409
    accepted:
      description: Whether the request was accepted, and its operation, if it started one, succeeded.
      type: bool
      sample: false
    code:
      description: Azure's code of the error, of the request or of its operation.
      type: str
      sample: OperationNotAllowed
    message:
      description: Azure's words.
      type: str
      sample: Disk one is attached to VM two.
    headers:
      description: The headers of the first answer, their names in lower case.
      type: dict
      sample: {content-type: application/json; charset=utf-8}
    body:
      description: The body of the first answer.
      type: raw
      sample: {error: {code: OperationNotAllowed, message: Disk one is attached to VM two.}}
    operation:
      description: What the operation ended with, V(null) where there was none.
      type: raw
      sample: null
"""

import re
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from ..module_utils._arm.conversation import METHODS, Conversation, Request, Until
from ..module_utils._arm.read_only import READS
from ..module_utils._disk import vhd
from ..module_utils._errors import InputError
from ..module_utils._module import Task, run_module
from ..module_utils._spec import WAIT_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "requests": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "method": {"type": "str", "choices": list(METHODS), "default": "GET"},
            "path": {"type": "str"},
            "api_version": {"type": "str"},
            "query": {"type": "dict", "default": {}},
            "headers": {"type": "dict", "default": {}},
            "body": {"type": "dict"},
            "through": {"type": "str"},
            "content": {"type": "str", "choices": ["vhd_footer", "pattern"]},
            "content_size": {"type": "int", "default": 512},
            "after": {"type": "list", "elements": "str", "default": []},
            "unless": {"type": "list", "elements": "str", "default": []},
            "wait": {"type": "bool", "default": True},
            "until": {
                "type": "dict",
                "options": {
                    "member": {"type": "str", "required": True},
                    "equals": {"type": "raw", "required": True},
                    "seconds": {"type": "int", "default": 300},
                },
            },
        },
        "required_one_of": [("path", "through")],
        "required_by": {"content": ["through"]},
    },
    "wait_timeout": WAIT_SPEC["wait_timeout"],
}

_NAME = re.compile(r"[\w-]+", re.ASCII)


def content(kind: str | None, size: int) -> bytes | None:
    """The bytes that a request sends."""
    if kind is None:
        return None
    if size <= 0 or size % vhd.SECTOR:
        raise InputError(f"content_size is {size}; it has to be a positive multiple of 512.")
    if kind == "vhd_footer":
        return vhd.footer(size, uuid4(), datetime.now(timezone.utc))
    return b"vmguard." * (size // 8)


def request_of(given: dict[str, Any]) -> Request:
    """A request as the engine takes it.

    Raises:
        InputError: naming what cannot be.
    """
    name = given["name"]
    if not _NAME.fullmatch(name):
        raise InputError(f"The name {name!r} of a request is not made of letters, digits, _ and -.")
    if not given["through"] and not given["path"].startswith(("/", "{")):
        raise InputError(f"The path of the request {name} has to begin with /.")
    if any(header.lower() == "authorization" for header in given["headers"]):
        raise InputError(f"The request {name} sets the header Authorization, which is the login's.")
    until = given["until"]
    return Request(
        name=name,
        method=given["method"],
        path=given["path"] or "",
        api_version=given["api_version"],
        query={key: str(value) for key, value in given["query"].items()},
        headers={key: str(value) for key, value in given["headers"].items()},
        body=given["body"],
        through=given["through"],
        content=content(given["content"], given["content_size"]),
        after=tuple(given["after"]),
        unless=tuple(given["unless"]),
        wait=given["wait"],
        until=until and Until(until["member"], until["equals"], until["seconds"]),
    )


def act(task: Task) -> dict[str, Any]:
    requests = [request_of(given) for given in task.params["requests"]]
    answers = Conversation(task.arm, task.write).hold(requests)
    if not task.check_mode:
        # What Azure refused changed nothing; what became of a request that ended in a 500, nobody knows.
        writes = [answers[one.name]["status"] for one in requests if one.method not in READS]
        task.changed = any(status and not 400 <= status < 500 for status in writes)
    return {"answers": answers}


def main() -> None:
    run_module(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
