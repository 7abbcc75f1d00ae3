"""Disks, snapshots and the access to them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from compute_world import COMPUTE, SUBSCRIPTION, World

from local_azure.compute.disk_model import GIB, attach, detach, set_reserved
from local_azure.http_types import Headers, Request
from local_azure.storage import vhd
from local_azure.storage.page_blob import BlobService

DISK = f"{COMPUTE}/disks/Disk1"
SNAP = f"{COMPUTE}/snapshots/Snap1"
EMPTY = {
    "location": "West US",
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def copy_of(source: str, **properties: object) -> dict[str, object]:
    data = {"createOption": "Copy", "sourceResourceId": source}
    return {"location": "westus", "properties": {"creationData": data, **properties}}


def read(world: World, url: str, start: int, length: int) -> bytes:
    target = url.removeprefix(world.state.sas.base_url)
    request = Request(
        "GET", target, Headers([("x-ms-range", f"bytes={start}-{start + length - 1}")])
    )
    response = BlobService(world.state.sas, world.clock).handle(request)
    assert response.status == 206, response.status
    return b"".join(bytes(piece) for piece in response.body)


def access(world: World, target: str, kind: str = "Read", seconds: int = 600) -> str:
    body = {"access": kind, "durationInSeconds": seconds}
    answer = world.done("POST", f"{target}/beginGetAccess", body)
    return answer["properties"]["output"]["accessSAS"]


# -- disks


def test_a_new_disk_is_echoed_and_then_complete(world: World) -> None:
    answer = world.call("PUT", DISK, EMPTY)
    assert answer.status == 202
    assert {"Azure-AsyncOperation", "Location", "Retry-After"} <= set(answer.headers)
    assert list(answer.body) == ["name", "id", "type", "location", "properties"]
    assert answer.body["location"] == "westus"
    assert set(answer.body["properties"]) == {"creationData", "diskSizeGB", "provisioningState"}
    output = world.poll(answer)["properties"]["output"]
    assert output == world.get(DISK)
    assert list(output["properties"]) == [
        "creationData", "diskSizeGB", "diskIOPSReadWrite", "diskMBpsReadWrite", "encryption",
        "networkAccessPolicy", "publicNetworkAccess", "timeCreated", "provisioningState",
        "diskState", "diskSizeBytes", "uniqueId",
    ]  # fmt: skip
    assert output["properties"]["diskSizeBytes"] == 4 * GIB


def test_a_premium_disk_has_a_tier(world: World) -> None:
    world.done("PUT", DISK, EMPTY | {"sku": {"name": "Premium_LRS"}, "tags": {}})
    body = world.get(DISK)
    assert body["sku"] == {"name": "Premium_LRS", "tier": "Premium"}
    assert body["tags"] == {}
    assert body["properties"]["tier"] == "P1"


def test_creation_takes_its_time(world: World) -> None:
    world.config.durations.disk_write = 10
    answer = world.call("PUT", DISK, EMPTY)
    assert world.poll(answer)["status"] == "InProgress"
    assert world.get(DISK)["properties"]["provisioningState"] == "Updating"
    assert world.call("PUT", DISK, EMPTY).status == 409
    world.clock.advance(11)
    assert world.poll(answer)["status"] == "Succeeded"


def test_a_copy_keeps_the_bytes_of_its_moment(world: World) -> None:
    disk = world.disk("Disk1", os_type="Linux", hyper_v_generation="V2")
    disk.hidden["image"].write(512, b"before")
    world.config.durations.disk_write = 5
    target = f"{COMPUTE}/disks/copy"
    answer = world.call("PUT", target, copy_of(DISK, diskSizeGB=3))
    disk.hidden["image"].write(512, b"after!")
    world.clock.advance(6)
    world.poll(answer)
    assert world.image(target).read(512, 6) == b"before"
    held = world.get(target)["properties"]
    assert held["diskSizeBytes"] == 3 * GIB
    assert (held["osType"], held["hyperVGeneration"]) == ("Linux", "V2")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"location": "westus", "properties": {}}, 400, "InvalidParameter"),
        ({"properties": EMPTY["properties"]}, 400, "LocationRequired"),
        (copy_of(f"{COMPUTE}/disks/none"), 404, "NotFound"),
        (EMPTY | {"sku": {"name": "Nonsense_LRS"}}, 400, "InvalidParameter"),
        (EMPTY | {"properties": {**EMPTY["properties"], "diskSizeGB": 40_000}}, 400,
         "InvalidParameter"),
        (copy_of(f"{COMPUTE}/disks/source") | {"location": "eastus"}, 404, "NotFound"),
        (EMPTY | {"properties": {"creationData": {"createOption": "Attach"}}}, 400,
         "InvalidParameter"),
        (EMPTY | {"properties": {"creationData": "x"}}, 400, "BadRequest"),
    ],
)  # fmt: skip
def test_bad_requests(world: World, body: dict[str, object], status: int, code: str) -> None:
    world.disk("source", size_gb=2)
    answer = world.call("PUT", DISK, body)
    assert (answer.status, answer.error) == (status, code)
    assert world.call("GET", DISK).error == "ResourceNotFound"


def test_a_missing_group_is_named(world: World) -> None:
    answer = world.call("PUT", DISK.replace("MyGroup", "other"), EMPTY)
    assert (answer.status, answer.error) == (404, "ResourceGroupNotFound")


def test_update_grows_and_retags(world: World) -> None:
    world.done("PUT", DISK, EMPTY)
    change = {"tags": {"a": "b"}, "sku": {"name": "Premium_LRS"}, "properties": {"diskSizeGB": 64}}
    world.done("PATCH", DISK, change)
    body = world.get(DISK)
    assert list(body)[:5] == ["name", "id", "type", "location", "tags"]
    assert body["properties"]["diskSizeBytes"] == 64 * GIB == world.image(DISK).size
    assert body["properties"]["tier"] == "P6"
    assert world.call("PATCH", DISK, {"properties": {"diskSizeGB": 1}}).error == "ResizeDiskError"


def test_put_again_updates_but_changes_no_origin(world: World) -> None:
    world.done("PUT", DISK, EMPTY)
    unique = world.get(DISK)["properties"]["uniqueId"]
    world.done("PUT", DISK.replace("Disk1", "DISK1"), EMPTY | {"tags": {"x": "1"}})
    body = world.get(DISK)
    assert (body["tags"], body["properties"]["uniqueId"]) == ({"x": "1"}, unique)
    assert world.call("PUT", DISK, EMPTY | {"location": "eastus"}).error == (
        "InvalidResourceLocation"
    )
    assert world.call("PUT", DISK, copy_of(DISK)).error == "PropertyChangeNotAllowed"


def test_lists(world: World) -> None:
    world.disk("a")
    by_group = world.get(f"{COMPUTE}/disks")["value"]
    everywhere = world.get(f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/disks")[
        "value"
    ]
    assert "/resourceGroups/MyGroup/" in by_group[0]["id"]
    assert "/resourceGroups/MYGROUP/" in everywhere[0]["id"]


def test_a_disk_of_a_vm(world: World) -> None:
    disk = world.disk("Disk1")
    attach(world.state, disk, f"{COMPUTE}/virtualMachines/vm", reserved=False)
    refused = world.call("DELETE", DISK)
    assert (refused.status, refused.error) == (409, "OperationNotAllowed")
    assert "is attached to VM" in refused.message
    body = {"access": "Read", "durationInSeconds": 600}
    assert world.call("POST", f"{DISK}/beginGetAccess", body).status == 409
    set_reserved(disk, reserved=True)
    access(world, DISK)
    assert world.get(DISK)["properties"]["diskState"] == "ActiveSAS"
    world.done("POST", f"{DISK}/endGetAccess")
    assert world.get(DISK)["properties"]["diskState"] == "Reserved"
    detach(world.state, disk)
    world.done("DELETE", DISK)
    assert world.call("GET", DISK).status == 404
    assert world.call("DELETE", DISK).status == 204


# -- access


def test_access_to_a_disk(world: World) -> None:
    world.disk("Disk1").hidden["image"].write(1000, b"hello")
    answer = world.call(
        "POST", f"{DISK}/beginGetAccess", {"access": "Read", "durationInSeconds": 600}
    )
    assert (answer.status, answer.body) == (202, None)
    assert "Retry-After" not in answer.headers
    url = world.poll(answer)["properties"]["output"]["accessSAS"]
    assert world.call("GET", answer.headers["Location"]).body == {"accessSAS": url}
    assert read(world, url, 1000, 5) == b"hello"
    assert access(world, DISK) == url
    assert "active shared access signature" in world.call("DELETE", DISK).message
    ended = world.call("POST", f"{DISK}/endGetAccess")
    assert "properties" not in world.poll(ended)
    assert world.call("GET", ended.headers["Location"]).body is None
    assert world.get(DISK)["properties"]["diskState"] == "Unattached"


def test_access_ends_by_itself(world: World) -> None:
    world.disk("Disk1")
    access(world, DISK)
    world.clock.advance(601)
    assert world.get(DISK)["properties"]["diskState"] == "Unattached"


@pytest.mark.parametrize("setting", [
    {"networkAccessPolicy": "DenyAll"}, {"publicNetworkAccess": "Disabled"},
])  # fmt: skip
def test_access_that_the_network_settings_forbid(world: World, setting: dict[str, str]) -> None:
    world.disk("Disk1", extra=setting)
    body = {"access": "Read", "durationInSeconds": 600}
    assert world.call("POST", f"{DISK}/beginGetAccess", body).status == 409
    assert not world.state.sas.active()


@pytest.mark.parametrize("body", [
    {"access": "Read"}, {"access": "Read", "durationInSeconds": 59}, {"durationInSeconds": 600},
    {"access": "Read", "durationInSeconds": 1 << 33},
])  # fmt: skip
def test_access_for_an_impossible_time(world: World, body: dict[str, object]) -> None:
    world.disk("Disk1")
    answer = world.call("POST", f"{DISK}/beginGetAccess", body)
    assert (answer.status, answer.error) == (400, "InvalidParameter")


# -- upload


def upload(world: World, footer: bytes) -> str:
    data = {"createOption": "Upload", "uploadSizeBytes": (20 << 20) + 512}
    world.done("PUT", DISK, {"location": "westus", "properties": {"creationData": data}})
    assert world.get(DISK)["properties"]["diskState"] == "ReadyToUpload"
    body = {"access": "Read", "durationInSeconds": 600}
    assert world.call("POST", f"{DISK}/beginGetAccess", body).status == 409
    url = access(world, DISK, "Write")
    assert world.get(DISK)["properties"]["diskState"] == "ActiveUpload"
    blob = world.state.sas.active()[0].blob
    blob.write(512, b"x" * 512, world.clock.now())
    blob.write(20 << 20, footer, world.clock.now())
    return url


def test_upload(world: World) -> None:
    upload(world, vhd.build(20 << 20, uuid4()))
    world.done("POST", f"{DISK}/endGetAccess")
    held = world.get(DISK)["properties"]
    assert (held["diskState"], held["diskSizeGB"], held["diskSizeBytes"]) == (
        "Unattached", 1, 20 << 20,
    )  # fmt: skip
    assert read(world, access(world, DISK), 512, 4) == b"xxxx"


def test_upload_of_something_else(world: World) -> None:
    upload(world, b"z" * 512)
    result = world.poll(world.call("POST", f"{DISK}/endGetAccess"))
    assert (result["status"], result["error"]["code"]) == ("Failed", "InvalidVhd")
    assert world.get(DISK)["properties"]["diskState"] == "ReadyToUpload"
    assert not world.state.sas.active()


# -- import


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A web server of blobs that knows ranges: its URL, and what it serves by path."""
    blobs: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = blobs.get(self.path)
            if data is None:
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            if asked:
                first, last = asked.removeprefix("bytes=").split("-")
                data = data[int(first) : int(last) + 1]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *_unused: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", blobs
    server.shutdown()
    server.server_close()
    thread.join()


def import_of(url: str) -> dict[str, object]:
    data = {"createOption": "Import", "sourceUri": url, "storageAccountId": "/ignored"}
    return {"location": "westus", "properties": {"creationData": data}}


def test_import(world: World, served: tuple[str, dict[str, bytes]]) -> None:
    url, blobs = served
    content = bytes(1 << 20) + b"data" * 1024 + bytes((1 << 20) - 4096)
    blobs["/vhd"] = content + vhd.build(2 << 20, uuid4())
    world.done("PUT", DISK, import_of(f"{url}/vhd"))
    assert world.image(DISK).read(0, 2 << 20) == content
    assert next(world.image(DISK).allocated())[0] == 1 << 20
    world.done("PUT", SNAP, import_of(f"{url}/vhd"))
    assert world.image(SNAP).frozen


def test_import_of_something_else(world: World, served: tuple[str, dict[str, bytes]]) -> None:
    url, blobs = served
    blobs["/raw"] = bytes(1 << 20)
    result = world.poll(world.call("PUT", DISK, import_of(f"{url}/raw")))
    assert (result["status"], result["error"]["code"]) == ("Failed", "InvalidVhd")
    assert world.get(DISK)["properties"]["provisioningState"] == "Failed"
    missing = world.poll(world.call("PUT", DISK, import_of(f"{url}/none")))
    assert missing["error"]["code"] == "AccessDeniedToImportSource"
    blobs["/raw"] = bytes(1 << 20) + vhd.build(1 << 20, uuid4())
    world.done("PUT", DISK, import_of(f"{url}/raw"))


# -- snapshots


def test_snapshots_of_a_disk(world: World) -> None:
    disk = world.disk("Disk1")
    disk.hidden["image"].write(0, b"one")
    answer = world.call("PUT", SNAP, copy_of(DISK, incremental=True))
    assert answer.status == 202
    world.poll(answer)
    disk.hidden["image"].write(0, b"two")
    later = f"{COMPUTE}/snapshots/Snap2"
    world.done("PUT", later, copy_of(DISK, incremental=True))
    first, second = world.get(SNAP)["properties"], world.get(later)["properties"]
    assert first["incrementalSnapshotFamilyId"] == second["incrementalSnapshotFamilyId"]
    assert first["creationData"]["sourceUniqueId"] == disk.properties["uniqueId"]
    assert "completionPercent" not in first
    assert read(world, access(world, SNAP), 0, 3) == b"one"
    assert world.get(SNAP)["properties"]["diskState"] == "ActiveSAS"
    assert list(world.image(later).changed_since(world.image(SNAP))) == [(0, 512, False)]
    world.done("PATCH", SNAP, {"tags": {"k": "v"}})
    assert world.call("DELETE", SNAP).status == 409
    world.done("POST", f"{SNAP}/endGetAccess")
    world.done("DELETE", SNAP)


def test_full_snapshots_have_no_changes_between_them(world: World) -> None:
    world.disk("Disk1")
    data = {"createOption": "Copy", "sourceUri": DISK}
    world.done("PUT", SNAP, {"location": "westus", "properties": {"creationData": data}})
    body = world.get(SNAP)["properties"]
    assert body["creationData"]["sourceResourceId"] == DISK
    assert body["incremental"] is False
    assert "incrementalSnapshotFamilyId" not in body
    assert not world.image(SNAP).related(world.image(DISK))
    world.done("PUT", f"{COMPUTE}/snapshots/again", copy_of(SNAP))


def test_a_snapshot_in_another_region_is_copied_with_progress(world: World) -> None:
    disk = world.disk("Disk1")
    disk.hidden["image"].write(0, b"one")
    world.done("PUT", SNAP, copy_of(DISK, incremental=True))
    assert (
        world.call(
            "PUT", f"{COMPUTE}/snapshots/far", copy_of(DISK) | {"location": "eastus"}
        ).message
        == "Resource Disk1 is not found."
    )
    world.config.durations.snapshot_replication = 100
    far = f"{COMPUTE}/snapshots/far"
    trusted = {"securityProfile": {"securityType": "TrustedLaunch"}}
    world.state.resources.need(SNAP).properties.update(trusted)
    data = {"createOption": "CopyStart", "sourceResourceId": SNAP}
    body = {"location": "eastus", "properties": {"creationData": data, "incremental": True}}
    output = world.done("PUT", far, body)["properties"]["output"]
    assert "securityProfile" not in output["properties"]  # it stays behind
    assert "completionPercent" not in output["properties"]
    percent = world.get(far)["properties"]["completionPercent"]
    assert isinstance(percent, float) and percent < 100
    ask = {"access": "Read", "durationInSeconds": 600}
    assert world.call("POST", f"{far}/beginGetAccess", ask).status == 409
    other = f"{COMPUTE}/snapshots/far2"
    assert world.call("PUT", other, body).error == "OperationNotAllowed"
    assert world.call("PUT", f"{COMPUTE}/disks/far", copy_of(far) | {
        "location": "eastus"}).status == 409  # fmt: skip
    world.clock.advance(101)
    assert world.get(far)["properties"]["completionPercent"] == 100.0
    assert read(world, access(world, far), 0, 3) == b"one"
    held, source = world.get(far)["properties"], world.get(SNAP)["properties"]
    assert held["creationData"]["sourceUniqueId"] == source["uniqueId"]
    assert held["incrementalSnapshotFamilyId"] != source["incrementalSnapshotFamilyId"]
    disk.hidden["image"].write(0, b"two")
    world.done("PUT", f"{COMPUTE}/snapshots/Snap2", copy_of(DISK, incremental=True))
    data["sourceResourceId"] = f"{COMPUTE}/snapshots/Snap2"
    world.done("PUT", other, body)
    assert list(world.image(other).changed_since(world.image(far))) == [(0, 512, False)]
    assert not world.image(far).related(world.image(SNAP))


def test_copy_start_takes_incremental_snapshots_only(world: World) -> None:
    world.disk("Disk1")
    data = {"createOption": "CopyStart", "sourceResourceId": DISK}
    body = {"location": "eastus", "properties": {"creationData": data, "incremental": True}}
    assert world.call("PUT", SNAP, body).message == "Entity not of expected type"
    world.done("PUT", SNAP, copy_of(DISK))
    data["sourceResourceId"] = SNAP
    assert world.call("PUT", f"{COMPUTE}/snapshots/b", body).error == "InvalidParameter"


def test_snapshot_limits(world: World) -> None:
    world.disk("Disk1")
    world.config.limits.snapshots_per_disk_5_minutes = 2
    world.config.limits.sas_per_snapshot_family = 1
    names = [f"{COMPUTE}/snapshots/s{number}" for number in range(3)]
    for name in names[:2]:
        world.done("PUT", name, copy_of(DISK, incremental=True))
    refused = world.call("PUT", names[2], copy_of(DISK, incremental=True))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    world.clock.advance(301)
    world.config.limits.snapshots_per_disk = 2
    assert world.call("PUT", names[2], copy_of(DISK, incremental=True)).status == 409
    access(world, names[0])
    access(world, names[0])
    ask = {"access": "Read", "durationInSeconds": 600}
    assert world.call("POST", f"{names[1]}/beginGetAccess", ask).status == 409
    world.done("POST", f"{names[0]}/endGetAccess")
    access(world, names[1])
