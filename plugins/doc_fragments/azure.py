# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options with which every module logs in to Azure."""

    DOCUMENTATION = r"""
options:
  auth_source:
    description:
      - Where the login comes from. If not set, the environment variable
        E(ANSIBLE_AZURE_AUTH_SOURCE) is used, and without it V(auto).
      - V(auto) takes the first of these that there is. The task's options, the profile named in
        O(profile) or E(AZURE_PROFILE), the environment variables, the profile V(default) of the
        credential file, the login of the Azure CLI.
      - V(env) takes the environment variables, or the profile that E(AZURE_PROFILE) names.
      - V(credential_file) takes a profile of the credential file.
      - V(cli) takes the login of the Azure CLI (C(az login)), with its default subscription unless
        O(subscription_id) names another.
      - V(msi) takes the managed identity of the Azure machine that runs the task. It needs
        O(subscription_id).
      - V(workload_identity) takes the identity that a Kubernetes cluster gives to a pod. It needs
        O(subscription_id) and the environment variables E(AZURE_FEDERATED_TOKEN_FILE),
        E(AZURE_CLIENT_ID) and E(AZURE_TENANT_ID), which the cluster sets. V(auto) and V(env) take
        it too, where there are these variables and no client secret.
      - The task's other options win over each of these, and the environment fills what a profile
        leaves open, except with values that belong to another O(client_id).
    type: str
    choices:
      - auto
      - cli
      - credential_file
      - env
      - msi
      - workload_identity
  profile:
    description:
      - Name of a profile, which is a section of the credential file.
      - If not set, the environment variable E(AZURE_PROFILE) is used.
    type: str
  credential_file:
    description:
      - Path of the credential file, an ini file whose sections have the keys C(subscription_id),
        C(client_id), C(secret), C(tenant) and, where needed, C(cloud_environment),
        C(x509_certificate_path) and C(thumbprint).
      - If not set, the environment variable E(AZURE_CREDENTIAL_FILE) is used, and without it
        C(~/.azure/credentials).
    type: path
  subscription_id:
    description:
      - Id of the subscription.
      - If not set, the environment variable E(AZURE_SUBSCRIPTION_ID) is used, then the profile.
    type: str
  tenant:
    description:
      - Id or domain name of the tenant of the service principal.
      - If not set, the environment variable E(AZURE_TENANT) is used, then E(AZURE_TENANT_ID), the
        name of the Azure SDKs, then the profile.
    type: str
  client_id:
    description:
      - Client id of the service principal. With O(auth_source=msi) or
        O(auth_source=workload_identity), the client id of one of several identities.
      - If not set, the environment variable E(AZURE_CLIENT_ID) is used, then the profile.
    type: str
  secret:
    description:
      - Client secret of the service principal.
      - If not set, the environment variable E(AZURE_SECRET) is used, then E(AZURE_CLIENT_SECRET),
        the name of the Azure SDKs, then the profile.
    type: str
  x509_certificate_path:
    description:
      - Path of a file with the certificate of the service principal and its private key, in PEM or
        PFX form without a password. It stands in for O(secret).
      - If not set, the environment variable E(AZURE_X509_CERTIFICATE_PATH) is used, then the
        profile.
    type: path
  thumbprint:
    description:
      - SHA-1 thumbprint of the certificate in O(x509_certificate_path). It is not needed; a given
        one is compared with the certificate's.
      - If not set, the environment variable E(AZURE_THUMBPRINT) is used, then the profile.
    type: str
  cloud_environment:
    description:
      - The cloud, which is V(AzureCloud), V(AzureUSGovernment), V(AzureChinaCloud), or the https
        URL of a Resource Manager that serves the metadata of its cloud, as on Azure Stack.
      - If not set, the environment variable E(AZURE_CLOUD_ENVIRONMENT) is used, then the profile,
        and without these V(AzureCloud), or with the Azure CLI the cloud of its subscription.
    type: str
requirements:
  - python >= 3.10
  - azure-identity >= 1.20.0
  - azure-mgmt-compute >= 33.0.0
notes:
  - The options for authentication can be set once for all modules with C(module_defaults) and the
    action group C(vmguard.azure.azure).
  - If a proxy or a private cloud signs its TLS certificates with a CA of its own, name a file with
    that CA's certificate in the environment variable E(REQUESTS_CA_BUNDLE).
seealso:
  - module: vmguard.azure.connection_info
"""
