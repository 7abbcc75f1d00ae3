"""The entity tag of a virtual machine: what makes it grow, and requests on condition of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from compute_world import Answer
from https_world import client
from vm_world import VmWorld, attached, vm_path

VM = vm_path("vm1")
SOMETHING = {"tags": {"a": "1"}}


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    made = VmWorld(tmp_path)
    made.direct()
    return made


def number(body: dict[str, Any]) -> int:
    """The counter inside of the quotes."""
    tag = body["etag"]
    assert tag[0] == tag[-1] == '"', tag
    return int(tag[1:-1])


def patch(world: VmWorld, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.call("PATCH", VM, body, headers=named)


# -- the tag


def test_it_stands_beside_the_properties_and_in_no_header(world: VmWorld) -> None:
    answer = world.call("GET", VM)

    assert number(answer.body) >= 1
    assert list(answer.body)[-2:] == ["properties", "etag"]
    assert "etag" not in {name.lower() for name in answer.headers}
    (listed,) = world.get(VM.rsplit("/", 1)[0])["value"]
    assert listed["etag"] == answer.body["etag"]


@pytest.mark.parametrize(("version", "shown"), [("2023-09-01", False), ("2024-07-01", True)])
def test_old_versions_show_none(world: VmWorld, version: str, shown: bool) -> None:
    assert ("etag" in world.call("GET", VM, api=version).body) is shown


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_it_grows_with_a_change_and_with_its_end(world: VmWorld, method: str) -> None:
    world.config.durations.vm_write = 30
    before = world.get(VM)
    answer = world.call(method, VM, {**before, **SOMETHING} if method == "PUT" else SOMETHING)

    assert number(answer.body) == number(before) + 1
    assert number(world.get(VM)) == number(before) + 1
    world.clock.advance(30)
    assert number(world.get(VM)) == number(before) + 2


@pytest.mark.parametrize("action", ["deallocate", "powerOff", "restart", "reapply", "generalize"])
def test_it_grows_with_every_action(world: VmWorld, action: str) -> None:
    if action == "generalize":
        world.done("POST", f"{VM}/powerOff")
    before = number(world.get(VM))
    assert world.call("POST", f"{VM}/{action}").status in (200, 202)

    assert number(world.get(VM)) > before


def test_it_does_not_grow_where_nothing_changes(world: VmWorld) -> None:
    network = world.get(VM)["properties"]["networkProfile"]
    before = world.get(VM)["etag"]
    assert patch(world, {"properties": {"networkProfile": network}}).status == 200
    assert patch(world, {"zones": ["2"]}).status == 409

    assert world.get(VM)["etag"] == before


def test_a_new_machine_has_one_at_once(world: VmWorld) -> None:
    created = world.put_vm("vm2", world.request("vm2"))

    assert number(created.body) == 1
    assert number(world.get(vm_path("vm2"))) == 2


# -- conditions


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_change_of_what_somebody_else_changed_is_refused(world: VmWorld, method: str) -> None:
    read = world.get(VM)
    assert patch(world, SOMETHING).status == 200
    now = world.get(VM)
    body = {**read, "tags": {"late": "yes"}}
    late = world.call(method, VM, body, headers={"If-Match": read["etag"]})

    assert (late.status, late.error) == (412, "PreconditionFailed")
    assert late.message == (
        f"Etag provided in if-match header {read['etag']} does not match etag {now['etag']} of"
        " resource."
    )
    assert world.get(VM) == now
    again = world.call(method, VM, body, headers={"If-Match": now["etag"]})
    assert again.status == 200
    assert world.get(VM)["tags"] == {"late": "yes"}


def test_the_first_answer_is_out_of_date_when_its_operation_has_ended(world: VmWorld) -> None:
    first = patch(world, SOMETHING, If_Match=world.get(VM)["etag"])

    assert first.status == 200
    assert patch(world, {"tags": {}}, If_Match=first.body["etag"]).status == 412
    assert patch(world, {"tags": {}}, If_Match=world.get(VM)["etag"]).status == 200


def test_a_star_is_any_machine_that_exists(world: VmWorld) -> None:
    assert patch(world, SOMETHING, If_Match="*").status == 200
    absent = world.call("PUT", vm_path("no"), world.request("no"), headers={"If-Match": "*"})
    assert (absent.status, absent.error) == (412, "PreconditionFailed")
    assert world.call("GET", vm_path("no")).status == 404
    assert world.call("PATCH", vm_path("no"), {}, headers={"If-Match": "*"}).status == 404


def test_create_only(world: VmWorld) -> None:
    body, only = world.request("vm2"), {"If-None-Match": "*"}
    assert world.call("PUT", vm_path("vm2"), body, headers=only).status == 201
    before = world.get(vm_path("vm2"))
    second = world.call("PUT", vm_path("vm2"), {**body, **SOMETHING}, headers=only)

    assert (second.status, second.error) == (412, "PreconditionFailed")
    assert world.get(vm_path("vm2")) == before
    other = world.call("PUT", vm_path("vm3"), body, headers={"If-None-Match": '"1"'})
    assert (other.status, other.error) == (400, "InvalidParameter")


def test_a_deletion_takes_no_condition(world: VmWorld) -> None:
    """The service documents no header for it: who relies on one would delete what he did not see."""
    answer = world.call("DELETE", VM, headers={"If-Match": '"no such tag"'})

    assert answer.status == 202
    assert world.call("GET", VM).status == 404


# -- two at once


def test_the_tag_is_looked_at_before_what_is_under_way(world: VmWorld) -> None:
    world.config.durations.vm_write = 30
    read = world.get(VM)["etag"]
    assert patch(world, SOMETHING, If_Match=read).status == 200

    assert patch(world, {"tags": {}}, If_Match=read).status == 412
    known = world.get(VM)["etag"]
    busy = patch(world, {"tags": {}}, If_Match=known)
    assert (busy.status, busy.error) == (409, "Conflict")
    assert world.get(VM)["etag"] == known


@pytest.mark.parametrize(
    "target", ["start", "powerOff", "deallocate", "restart", "redeploy", "reapply", "generalize"]
)
def test_no_action_while_a_change_is_under_way(world: VmWorld, target: str) -> None:
    world.config.durations.vm_write = 30
    assert patch(world, SOMETHING).status == 200
    answer = world.call("POST", f"{VM}/{target}")

    assert (answer.status, answer.error) == (409, "Conflict")


def test_no_change_while_an_action_is_under_way(world: VmWorld) -> None:
    world.config.durations.vm_power = 30
    assert world.call("POST", f"{VM}/deallocate").status == 202
    extra = attached(world.disk("extra"), lun=5)
    change = {"properties": {"storageProfile": {"dataDisks": [extra]}}}

    for method, body in (("PATCH", change), ("PUT", {**world.get(VM), **SOMETHING})):
        refused = world.call(method, VM, body)
        assert (refused.status, refused.error) == (409, "Conflict")
    assert world.call("DELETE", VM).error == "Conflict"
    assert world.disk_state(extra["managedDisk"]["id"]) == "Unattached"


def test_of_two_that_change_what_both_have_read_one_wins() -> None:
    """Over HTTPS, with connections of their own, both held back until both are there."""
    path = "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm1"
    version = "2024-11-01"
    with client() as azure:
        azure.local.control.create_vm("g", "vm1", {"size_gb": 1})
        read = azure.call("GET", path, version=version).body["etag"]
        together = threading.Barrier(2)
        statuses: dict[str, int] = {}

        def change(name: str) -> None:
            together.wait()
            answer = azure.call(
                "PATCH", path, {"tags": {"by": name}}, version, **{"If-Match": read}
            )
            statuses[name] = answer.status

        both = [threading.Thread(target=change, args=(name,)) for name in ("one", "other")]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert sorted(statuses.values()) == [200, 412]
        (winner,) = [name for name, status in statuses.items() if status == 200]
        assert azure.call("GET", path, version=version).body["tags"] == {"by": winner}
