"""The modules of azure.azcollection, unchanged, in a playbook."""

from __future__ import annotations

import subprocess
from pathlib import Path

from environments import ENVIRONMENTS, program

from local_azure.launcher import LocalAzure

GROUP = "azcollection"
PLAYBOOK = Path(__file__).with_name("azcollection.yml")


def test_the_playbook_of_azcollection(azure: LocalAzure, image: Path, tmp_path: Path) -> None:
    disk = {"image": str(image)}
    azure.control.create_vm(GROUP, "old", disk, [{"lun": 0, **disk}], size="Standard_D8s_v5")
    environment = {
        **azure.process_environment(),
        "HOME": str(tmp_path),
        # How the collection learns of clouds that it does not know, as on Azure Stack.
        "ARM_CLOUD_METADATA_URL": f"{azure.url}/metadata/endpoints?api-version=2019-05-01",
        "AZURE_CONFIG_DIR": str(tmp_path / "azure"),
        "SSL_CERT_FILE": str(azure.ca_file),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ENVIRONMENTS / "azcollection" / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
    }
    playbook = program("azcollection", "ansible-playbook")
    done = subprocess.run(
        [str(playbook), "-i", "localhost,", "-e", f"ansible_python_interpreter={playbook.parent / 'python'}",
         str(PLAYBOOK)],
        env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert azure.control.audit()["operations_in_progress"] == 0
