# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every request to Azure Resource Manager passes on its way: the SDK's policies, and ours."""

from __future__ import annotations

from typing import Any

from .._clock import Deadline
from .throttling import retry_policy
from .versions import pinning_policy


def policy_chain(login: Any, deadline: Deadline, below: list[Any], moniker: str) -> list[Any]:
    """The policies of a pipeline, in their order.

    They are those of azure-mgmt-compute but for three. The API versions are ours. Retries end with the
    task's deadline. And no resource provider is registered on the way: that is a write at the
    subscription that nobody asked for, and the SDK waits for its end for as long as it takes.

    Args:
        login: credential and cloud (``_login.login.Login``).
        below: policies that see each single request, also repeated ones.
        moniker: how the SDK calls itself in User-Agent.
    """
    from azure.core.pipeline import policies
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

    return [
        pinning_policy(),
        policies.RequestIdPolicy(),
        policies.HeadersPolicy(),
        policies.UserAgentPolicy(sdk_moniker=moniker),
        policies.ProxyPolicy(),
        policies.ContentDecodePolicy(),
        policies.RedirectPolicy(),
        retry_policy(deadline),
        ARMChallengeAuthenticationPolicy(login.credential, login.cloud.scope),
        policies.CustomHookPolicy(),
        *below,
        policies.SensitiveHeaderCleanupPolicy(),
    ]
