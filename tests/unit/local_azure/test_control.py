"""The control interface, route by route, over real HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from https_world import DISKS, Client, client

from local_azure.config import Config, profile
from local_azure.control_client import ControlClient, ControlError

GIB = 1 << 30
VERSION = "2024-03-01"


@pytest.fixture
def azure() -> Iterator[Client]:
    with client() as made:
        yield made


@pytest.fixture
def control(azure: Client) -> ControlClient:
    return azure.local.control


def make_vm(control: ControlClient, **more: Any) -> str:
    control.create_vm("group", "vm1", {"size_gb": 1}, [{"lun": 3, "size_gb": 1}], **more)
    return control.vm_id("group", "vm1")


def exported(control: ControlClient, path: Path, **disk: Any) -> bytes:
    """The first bytes of a disk."""
    control.export_disk(path, **disk)
    assert path.stat().st_size == GIB
    with path.open("rb") as file:
        return file.read(64)


def test_a_machine_from_image_files(azure: Client, control: ControlClient, tmp_path: Path) -> None:
    image = tmp_path / "os.img"
    image.write_bytes(b"boot" * 1024)
    control.create_vm("group", "vm1", {"image": str(image)}, tags={"a": "1"}, zones=["1"])
    body = azure.call("GET", "providers/Microsoft.Compute/virtualMachines", version=VERSION).body
    (vm,) = body["value"]
    assert (vm["name"], vm["tags"], vm["zones"]) == ("vm1", {"a": "1"}, ["1"])
    assert vm["location"] == azure.local.config.location
    vm_id = control.vm_id("group", "vm1")
    assert exported(control, tmp_path / "out", vm=vm_id, lun="os")[:8] == b"bootboot"


def test_the_guest_writes_and_clears(control: ControlClient, tmp_path: Path) -> None:
    vm = make_vm(control)
    empty = control.digest(vm=vm, lun=3)
    control.guest_write(vm, 3, 0, b"x" * 4096)
    assert exported(control, tmp_path / "out", vm=vm, lun=3) == b"x" * 64
    assert control.digest(vm=vm, lun=3) != empty == control.digest(vm=vm, lun="os")
    control.call("POST", "guest/clear", vm=vm, lun=3, offset=0, length=4096)
    assert control.digest(vm=vm, lun=3) == empty


def test_a_stopped_guest_cannot_write(control: ControlClient) -> None:
    vm = make_vm(control, running=False)
    with pytest.raises(ControlError, match="does not run"):
        control.guest_write(vm, 3, 0, b"x" * 512)


def test_a_machine_without_agent(azure: Client, control: ControlClient) -> None:
    vm = make_vm(control)
    path = "resourceGroups/group/providers/Microsoft.Compute/virtualMachines/vm1/instanceView"
    assert "vmAgent" in azure.call("GET", path, version=VERSION).body
    control.call("PATCH", "vms", {"id": vm, "agent": False})
    agent = azure.call("GET", path, version=VERSION).body["vmAgent"]
    assert agent["vmAgentVersion"] == "Unknown"


def test_properties_of_a_disk(azure: Client, control: ControlClient) -> None:
    azure.make_group()
    azure.put_disk()
    disk = azure.get_disk().body["id"]
    control.call("PATCH", "disks", {"id": disk, "properties": {"maxShares": 2}})
    assert azure.get_disk().body["properties"]["maxShares"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "said"),
    [
        ("POST", "vms", {"name": "x"}, {}, "'os_disk' is missing"),
        ("PATCH", "vms", {"id": "/none", "agent": True}, {}, "There is no"),
        ("PATCH", "disks", {"id": "/none", "properties": {}}, {}, "There is no"),
        ("GET", "disks/digest", None, {}, "'vm' is missing"),
        ("GET", "disks/digest", None, {"id": "/none"}, "There is no"),
        ("POST", "clock/advance", {}, {}, "'seconds' is missing"),
        ("POST", "clock/advance", {"seconds": -1}, {}, "only moves forward"),
        ("POST", "clock/advance", {"seconds": "1e999"}, {}, "."),
        ("POST", "credentials", {"client_id": "x"}, {}, "'secret' is missing"),
        ("PATCH", "config", {"colours": {}}, {}, "no group of settings 'colours'"),
        ("PATCH", "config", {"limits": {"colour": 1}}, {}, "no setting 'colour'"),
        ("PATCH", "config", {"limits": 3}, {}, "not an object"),
        ("PATCH", "config", {"limits": {"snapshots_per_disk": 1.5}}, {}, "cannot be 1.5"),
        ("PATCH", "config", {"refusals": {"put_without_creation_data": 1}}, {}, "true or false"),
        ("PATCH", "config", {"durations": {"access": "1"}}, {}, "cannot be '1'"),
        ("PATCH", "config", {"durations": {"access": -1}}, {}, "cannot be -1"),
        ("POST", "vms", b"{", {}, "content was invalid"),
        ("GET", "nothing", None, {}, "Nothing in local Azure answers"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    control: ControlClient, method: str, path: str, body: Any, query: dict[str, Any], said: str
) -> None:
    with pytest.raises(ControlError, match=said):
        control.call(method, path, body, **query)


def test_no_such_lun(control: ControlClient) -> None:
    vm = make_vm(control)
    with pytest.raises(ControlError, match="no disk at LUN 9"):
        control.digest(vm=vm, lun=9)


def test_a_missing_image_is_named(control: ControlClient) -> None:
    with pytest.raises(ControlError, match=r"nowhere\.img"):
        control.create_vm("group", "vm1", {"image": "nowhere.img"})


def test_settings_are_shown_without_the_secret(azure: Client, control: ControlClient) -> None:
    shown = control.call("GET", "config")
    assert azure.local.config.secret not in str(shown)
    assert shown["tenant"] == azure.local.config.tenant


def test_settings_change_at_once_or_not_at_all(azure: Client, control: ControlClient) -> None:
    azure.make_group()
    control.configure(durations={"disk_write": 50})
    assert azure.poll(azure.put_disk()).body["status"] == "InProgress"
    with pytest.raises(ControlError):
        control.configure(durations={"disk_write": 7}, limits={"colour": 1})
    assert control.call("GET", "config")["durations"]["disk_write"] == 50
    control.configure(refusals={"put_without_creation_data": True})
    assert control.call("GET", "config")["refusals"]["put_without_creation_data"] is True


def test_the_clock_moves_everything(azure: Client, control: ControlClient) -> None:
    azure.make_group()
    control.configure(durations={"disk_write": 50})
    begun = azure.put_disk()
    control.advance(49)
    assert azure.poll(begun).body["status"] == "InProgress"
    control.advance(50)
    assert azure.poll(begun).body["status"] == "Succeeded"


def test_the_audit_tells_writes_from_reads(azure: Client, control: ControlClient) -> None:
    azure.make_group()
    azure.call("GET", "resourceGroups")
    assert [(entry["area"], entry["method"]) for entry in azure.requests()] == [
        ("identity", "POST"), ("arm", "PUT"), ("arm", "GET"),
    ]  # fmt: skip
    assert [entry["method"] for entry in control.writes()] == ["PUT"]
    last = azure.requests()[-1]["number"]
    assert control.audit(after=last)["requests"] == []


def test_the_audit_holds_no_signature(azure: Client, control: ControlClient) -> None:
    azure.make_group()
    azure.put_disk()
    path = "resourceGroups/group/providers/Microsoft.Compute/disks/disk/beginGetAccess"
    begun = azure.call("POST", path, {"access": "Read", "durationInSeconds": 60}, DISKS)
    url = urlsplit(azure.poll(begun, "location").body["accessSAS"])
    signature = url.query.rpartition("sig=")[2]
    answer = azure.raw("GET", f"{url.path}?{url.query}", headers={"x-ms-range": "bytes=0-511"})
    assert answer.status == 206
    audit = control.audit()
    assert signature not in str(audit)
    assert "sig=ELIDED" in audit["requests"][-1]["target"]
    (grant,) = audit["active_sas"]
    assert grant["resource_id"].endswith("/disks/disk")
    control.advance(61)
    assert control.audit()["active_sas"] == []


def test_the_profiles() -> None:
    assert profile("default") == Config()
    azure = profile("azure")
    assert azure.limits.restore_points_per_hour == 3
    assert all(seconds > 0 for seconds in vars(azure.durations).values())
    with pytest.raises(ValueError, match="choose default or azure"):
        profile("other")
