"""Disks whose data takes an Entra token beside the signature (dataAccessAuthMode)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disk_access import ArmAccess
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disks import (
    get_disk,
    put_disk,
    update_disk,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.protectability import (
    export_findings,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_blob import PageBlob
from ansible_collections.vmguard.azure.plugins.module_utils._errors import AuthError, AzureError
from ansible_collections.vmguard.azure.plugins.module_utils._login.login import resolve_login
from ansible_collections.vmguard.azure.plugins.module_utils._restore.uploader import Uploader
from backup_bench import Place, open_place
from page_blob_world import World, open_bench, world_in
from restore_bench import Bench

from local_azure.arm.authorization import Role

MODE = {"dataAccessAuthMode": "AzureActiveDirectory"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture(autouse=True)
def settings(bench: Bench) -> Iterator[None]:
    yield
    bench.local.app.authorization.everything(bench.local.config.client_id)
    bench.local.config.token_seconds = 3600


@pytest.fixture
def world(bench: Bench) -> Iterator[World]:
    with world_in(bench) as made:
        yield made


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path, [{"lun": 0}]) as made:
        made.create()
        for lun in (None, 0):
            update_disk(bench.look, bench.attached(made.machine)[lun][0], {"properties": MODE})
        yield made


@pytest.fixture
def early() -> Iterator[World]:
    """A world whose clock was not moved: a login reckons by the real one how long a token is good."""
    with open_bench() as opened, world_in(opened) as made:
        # The login keeps no token that is good for less than five minutes.
        opened.local.config.token_seconds = 240
        yield made


@pytest.fixture
def snapshot(world: World) -> str:
    return guarded(world)


def guarded(world: World) -> str:
    """A snapshot whose data takes a token."""
    machine = world.machine()
    world.write(machine, 0, b"as it was" * 100)
    update_disk(world.arm, world.disk_id(machine), {"properties": MODE})
    return world.snapshot(machine)


def audience(headers: dict[str, str]) -> str:
    payload = headers["Authorization"].split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["aud"]


def may(bench: Bench, *data_actions: str) -> None:
    """Let the login do everything but with the data of disks, of which only this."""
    role = Role("r", "/", actions=("*",), dataActions=data_actions)
    bench.local.app.authorization.assign(bench.local.config.client_id, [role])


def anew(world: World, snapshot: str) -> ArmAccess:
    """Access by a login that has no token yet."""
    login = resolve_login({}, world.bench.local.environment())
    arm = ArmClient(login, clock=world.clock, wait_timeout=600)
    return ArmAccess(arm, snapshot, clock=world.clock, with_token=True)


# -- reading


def test_no_finding_stands_in_the_way() -> None:
    assert export_findings({"name": "d", "properties": MODE}, {"name": "d"}) == []


def test_the_token_is_for_the_data_of_disks(world: World, snapshot: str) -> None:
    access = world.access(snapshot, with_token=True)
    assert audience(access.headers()) == "https://disk.azure.com/"
    blob = PageBlob(access, world.http, world.clock)
    assert blob.read(0, 9) == b"as it was"
    assert [one[:2] for one in world.ranges().allocated(access, _area())] == [(0, 1024)]


def _area() -> Any:
    from ansible_collections.vmguard.azure.plugins.module_utils._disk.ranges import Range

    return Range(0, MIB)


def test_without_one_azure_asks_for_it_and_gets_it(world: World, snapshot: str) -> None:
    access = world.access(snapshot)
    assert access.headers() == {}
    assert PageBlob(access, world.http, world.clock).read(0, 9) == b"as it was"
    assert audience(access.headers()) == "https://disk.azure.com/"


def test_a_disk_that_takes_none_gets_none(world: World) -> None:
    access = world.access(world.snapshot(world.machine()))
    PageBlob(access, world.http, world.clock).read(0, 512)
    assert access.headers() == {}


def test_it_is_fetched_again_before_it_expires(early: World) -> None:
    world = early
    with anew(world, guarded(world)) as access:
        blob = PageBlob(access, world.http, world.clock)
        blob.read(0, 512)
        first = access.headers()
        world.clock.sleep(100)
        blob.read(0, 512)
        assert access.headers() == first
        world.clock.sleep(30)
        blob.read(0, 512)
        second = access.headers()
        assert second != first
        # And where it is refused all the same.
        after = world.control.audit()["requests"][-1]["number"]
        world.control.fault("^GET /md-", status=401, code="InvalidAuthenticationInfo", times=1)
        world.clock.sleep(1)
        blob.read(0, 512)
        assert access.headers() != second
        assert len(world.requests("GET /md-", after)) == 2


def test_a_login_without_the_role(bench: Bench, world: World, snapshot: str) -> None:
    may(bench, "Microsoft.Compute/*/upload/action")
    blob = PageBlob(world.access(snapshot, with_token=True), world.http, world.clock)
    with pytest.raises(AzureError, match="AuthorizationPermissionMismatch") as caught:
        blob.read(0, 512)
    assert "Data Operator for Managed Disks" in (caught.value.hint or "")


def test_a_login_with_nothing_but_the_role(bench: Bench, world: World, snapshot: str) -> None:
    may(bench, "Microsoft.Compute/snapshots/download/action")
    blob = PageBlob(world.access(snapshot, with_token=True), world.http, world.clock)
    assert blob.read(0, 9) == b"as it was"


def test_a_token_that_is_refused_for_good(world: World, snapshot: str) -> None:
    blob = PageBlob(world.access(snapshot, with_token=True), world.http, world.clock)
    world.control.fault("^GET /md-", status=401, code="InvalidAuthenticationInfo", times=0)
    with pytest.raises(AzureError, match="HTTP 401") as caught:
        blob.read(0, 512)
    assert "Data Operator for Managed Disks" in (caught.value.hint or "")
    assert world.bench.hits() <= 3


def test_no_token_to_be_had(world: World, snapshot: str) -> None:
    access = anew(world, snapshot)
    world.arm.login.credential.get_token(world.arm.login.cloud.scope)
    world.control.fault("/oauth2/v2.0/token", status=401, code="invalid_client", times=0)
    with pytest.raises(AuthError, match="token for the data of managed disks"):
        access.headers()


def test_the_login_may_fail_for_as_long_as_the_token_is_good(
    early: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = early
    with anew(world, guarded(world)) as access:
        blob = PageBlob(access, world.http, world.clock)
        blob.read(0, 512)
        asked: list[int] = []

        def fail() -> None:
            asked.append(1)
            raise AuthError("The login does not answer.")

        monkeypatch.setattr(access, "_new_token", fail)
        world.clock.sleep(100)
        blob.read(0, 512)
        assert asked == []
        world.clock.sleep(30)
        blob.read(0, 512)
        assert asked == [1]
        world.clock.sleep(120)
        with pytest.raises(AuthError):
            blob.read(0, 512)


# -- local Azure


@pytest.mark.parametrize("header", [None, "Basic abc", "Bearer forged.forged.forged"])
def test_local_azure_takes_nothing_else(world: World, snapshot: str, header: str | None) -> None:
    url = world.access(snapshot).url()
    headers = {"x-ms-range": "bytes=0-511", **({"Authorization": header} if header else {})}
    answer = world.http.request("GET", url, headers)
    assert answer.status == 401
    assert 'resource_id="https://disk.azure.com/"' in answer.headers.get("WWW-Authenticate")


def test_local_azure_takes_no_token_of_another_audience(world: World, snapshot: str) -> None:
    url = world.access(snapshot).url()
    for scope in (world.arm.login.cloud.scope, "https://disk.azure.com/.default"):
        token = world.arm.login.credential.get_token(scope).token
        answer = world.http.request("GET", url, {"Authorization": f"Bearer {token}"})
        assert (answer.status, answer.headers.get("x-ms-error-code")) == (
            401, "InvalidAuthenticationInfo",
        )  # fmt: skip


# -- backups and restores


@pytest.mark.parametrize("source", ["snapshot", "restore_point"])
def test_backups_of_such_a_machine(place: Place, source: str) -> None:
    for level in ("full", "incremental"):
        place.scatter(0, 20)
        content = place.export()
        outcome = place.backup(level=level, source=source)
        assert outcome.backup is not None and outcome.warnings == []
        assert [disk.level for disk in outcome.backup.disks] == [level, level]
        place.check(outcome, content)
    assert place.active_sas() == 0


def test_a_backup_without_the_role_leaves_nothing(bench: Bench, place: Place) -> None:
    may(bench, "Microsoft.Compute/*/upload/action")
    with pytest.raises(AzureError) as caught:
        place.backup()
    assert "Data Operator for Managed Disks" in (caught.value.hint or "")
    assert place.snapshots() == set() and place.active_sas() == 0


def test_an_upload_to_a_disk_that_takes_a_token(bench: Bench, place: Place) -> None:
    place.scatter(0, 20)
    content = place.export()
    outcome = place.backup()
    assert outcome.backup is not None
    (image,) = (disk for disk in outcome.backup.disks if disk.lun == 0)
    identity = f"{bench.attached(place.machine)[0][0]}-restored"
    body = {
        "location": "westeurope",
        "properties": {
            "creationData": {"createOption": "Upload", "uploadSizeBytes": image.size + 512},
            **MODE,
        },
    }
    put_disk(bench.look, identity, body)
    may(bench, "Microsoft.Compute/disks/upload/action")
    with Uploader(place.open(), bench.clock, workers=2) as uploader:
        uploader.fill(bench.look, identity, image, lambda: None)
    found = get_disk(bench.look, identity)
    assert found["properties"]["diskState"] == "Unattached"
    held = bench.local.app.state.resources.need(identity).hidden["image"]
    with content["lun0"].open("rb") as then:
        assert all(then.read(MIB) == held.read(start, MIB) for start in range(0, 64 * MIB, MIB))


def test_access_to_something_else_never_carries_it(world: World, snapshot: str) -> None:
    plain = ArmAccess(world.arm, snapshot, clock=world.clock)
    assert plain.headers() == {}
