"""Every module's documentation says what Ansible's users look for first."""

from __future__ import annotations

import pytest

from tools import module_docs, tree

ATTRIBUTES = {"check_mode", "diff_mode"}


@pytest.mark.parametrize("module", tree.modules())
def test_documentation_parses(module: str) -> None:
    assert set(module_docs.documentation()[module]) >= {"doc", "examples", "return"}


@pytest.mark.parametrize("module", tree.modules())
def test_attributes_are_documented(module: str) -> None:
    doc = module_docs.documentation()[module]["doc"]
    assert set(doc.get("attributes", {})) >= ATTRIBUTES


@pytest.mark.parametrize("module", tree.modules())
def test_check_mode_is_what_the_documentation_says(module: str) -> None:
    attributes = module_docs.documentation()[module]["doc"].get("attributes", {})
    documented = attributes.get("check_mode", {}).get("support")
    supported = module_docs.arguments(module).get("supports_check_mode", False)
    assert documented == ("full" if supported else "none")
    if module.endswith("_info"):
        assert documented == "full", "reading changes nothing, so check mode can be kept"


@pytest.mark.parametrize("module", [name for name in tree.modules() if name.endswith("_info")])
def test_info_modules_take_a_query(module: str) -> None:
    assert "query" in module_docs.arguments(module)["argument_spec"]


@pytest.mark.parametrize("module", tree.modules())
def test_secrets_are_no_log(module: str) -> None:
    spec = module_docs.arguments(module)["argument_spec"]
    secret = {"secret", "password", "passphrase", "account_key", "sas_token", "sas_url"}
    assert [name for name in secret & spec.keys() if spec[name].get("no_log") is not True] == []
