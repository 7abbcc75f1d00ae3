"""Exchanges are recorded whole, without secrets, one file each; and raw requests against local Azure."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._arm.conversation import (
    Conversation,
    Request,
    Until,
)
from ansible_collections.vmguard.azure.plugins.module_utils._arm.recording import (
    NOBODY,
    VARIABLE,
    Recorder,
    Scrubber,
)
from ansible_collections.vmguard.azure.plugins.module_utils._clock import Deadline
from ansible_collections.vmguard.azure.plugins.module_utils._disk import vhd
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AuthError,
    InputError,
    OperationTimeout,
    VmguardError,
)
from restore_bench import Bench, open_bench

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
TENANT = "66666666-7777-4888-8999-aaaaaaaaaaaa"
DISK_API = "2024-03-02"
SIZE = 32 * 2**20
DISK = "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Compute/disks/one"
EMPTY = {
    "location": "westeurope",
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
}
UPLOAD = {
    "location": "westeurope",
    "properties": {"creationData": {"createOption": "Upload", "uploadSizeBytes": SIZE + 512}},
}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        opened.machine(group="rg")
        yield opened


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder into which everything is recorded."""
    folder = tmp_path / "below" / "recorded"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


def exchanges(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.iterdir())]


def act(work: Any, _predicted: Any = None) -> Any:
    """The gate outside of check mode."""
    return work()


def hold(arm: ArmClient, *requests: Request) -> dict[str, dict[str, Any]]:
    return Conversation(arm, act).hold(list(requests))


def put(name: str, body: Any, **more: Any) -> Request:
    return Request(name, "PUT", DISK, DISK_API, body=body, **more)


def get(name: str, **more: Any) -> Request:
    return Request(name, "GET", DISK, DISK_API, **more)


def grant(name: str, **more: Any) -> Request:
    body = {"access": "Write", "durationInSeconds": 3600}
    return Request(name, "POST", f"{DISK}/beginGetAccess", DISK_API, body=body, **more)


# -- what is taken out


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (SUBSCRIPTION, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"),
        (SUBSCRIPTION, f"The subscription '{SUBSCRIPTION.upper()}' was not found."),
        (TENANT, f"the current tenant '{TENANT}' is not authorized"),
        (TENANT, f"https://login.example/{TENANT}/oauth2"),
        ("me@example.com", "The client 'me@example.com' with object id 'a-b-c' does not have"),
        ("a-b-c", "The client 'me@example.com' with object id 'a-b-c' does not have"),
        ("9f8e7d6c", "/subscriptions/9f8e7d6c-0000-4000-8000-000000000000/x"),
        ("AbC%2Fd", "https://md-x.z1.blob.storage.azure.net/y/abcd?sv=1&sig=AbC%2Fd%3D&se=2"),
        ("eyJhbGciOi", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl"),
        (
            "MIIHpTCC",
            "https://h/operations/1?api-version=2&t=63&c=MIIHpTCCBo2gAwIBAgITfwTYu0qoRw&s=1",
        ),
        ("k" * 86, f"the key {'k' * 86}== was regenerated"),
    ],
)
def test_a_secret_leaves_texts(secret: str, text: str) -> None:
    found = Scrubber(SUBSCRIPTION, TENANT, None).text(text)
    assert secret.lower() not in found.lower()


@pytest.mark.parametrize(
    "name",
    ["adminPassword", "customData", "userData", "keyData", "protectedSettings", "createdBy"],
)
def test_secret_members_go_whole(name: str) -> None:
    body = {"properties": [{name: "hidden", "kept": "seen"}]}
    found = json.dumps(Scrubber().json(body))
    assert "hidden" not in found and "seen" in found


def test_who_somebody_is_goes_and_the_form_stays() -> None:
    body = {"identity": {"principalId": "p", "tenantId": TENANT, "type": "SystemAssigned"}}
    found = Scrubber().json(body)["identity"]
    assert found == {"principalId": NOBODY, "tenantId": NOBODY, "type": "SystemAssigned"}


def test_equal_signatures_can_be_told_from_different_ones() -> None:
    scrubber = Scrubber()
    one, same, other = (scrubber.text(f"?sv=1&sig={sig}&sr=b") for sig in ("aa", "aa", "bb"))
    assert one == same != other
    assert scrubber.text(one) == one


# -- how it is written


def test_nothing_is_recorded_by_default(bench: Bench, tmp_path: Path) -> None:
    bench.arm().find("disks.get", "one", "rg", "one")
    assert list(tmp_path.iterdir()) == []


def test_the_sdk_and_raw_requests_are_recorded(bench: Bench, recorded: Path) -> None:
    arm = bench.arm()
    arm.run("disks.begin_create_or_update", "one", "rg", "one", body=EMPTY)
    assert arm.find("disks.get", "two", "rg", "two") is None
    hold(arm, get("seen"))

    found = exchanges(recorded)
    first, missing, last = found[0], found[-2], found[-1]
    assert first["request"]["method"] == "PUT"
    assert first["request"]["body"] == EMPTY
    assert first["request"]["path"].startswith(f"/subscriptions/{NOBODY}/resourceGroups/rg/")
    assert first["response"]["status"] == 202
    assert "/DiskOperations/" in first["response"]["headers"]["Azure-AsyncOperation"]
    assert first["response"]["body"]["name"] == "one"
    assert missing["response"]["status"] == 404
    assert missing["response"]["body"]["error"]["code"] == "ResourceNotFound"
    assert last["name"] == "seen" and "name" not in first
    everything = "".join(file.read_text() for file in recorded.iterdir())
    assert arm.subscription_id not in everything
    assert "uthorization" not in everything


def test_only_the_owner_can_read_it(bench: Bench, recorded: Path) -> None:
    before = os.umask(0)
    try:
        hold(bench.arm(), get("seen"))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in recorded.iterdir()} == {0o600}
    assert stat.S_IMODE(recorded.stat().st_mode) == 0o700


def test_a_kill_while_writing_leaves_no_half_exchange(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(recorded, Scrubber())

    def killed(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        recorder.keep({"request": {}})
    # What begins with a dot is passed over by whoever reads the folder.
    assert [file.name[0] for file in recorded.iterdir()] == ["."]


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "below"))
    before = len(bench.control.audit()["requests"])
    with pytest.raises(InputError, match=rf"{VARIABLE} names .*file/below"):
        hold(bench.arm(), put("made", EMPTY))
    told = bench.control.audit()["requests"][before:]
    assert [one for one in told if "/disks/" in one["target"]] == []


def test_a_folder_that_goes_away_does_not_fail_what_azure_did(bench: Bench, recorded: Path) -> None:
    arm = bench.arm()
    hold(arm, get("seen"))
    for file in recorded.iterdir():
        file.unlink()
    recorded.rmdir()
    assert hold(arm, put("made", EMPTY))["made"]["accepted"]


# -- raw requests


def test_a_refusal_is_an_answer_and_later_requests_know_it(bench: Bench) -> None:
    found = hold(
        bench.arm(),
        put("refused", {"location": "westeurope", "properties": {"diskSizeGB": 1}}),
        get("after", after=("refused",)),
        put("instead", EMPTY, unless=("refused",)),
        put("never", EMPTY, unless=("instead",)),
        get("made"),
    )
    assert (found["refused"]["status"], found["refused"]["code"]) == (400, "InvalidParameter")
    assert "creationData" in found["refused"]["message"]
    assert found["after"]["skipped"] == "refused was not accepted"
    assert found["instead"]["accepted"] and found["instead"]["operation"]["status"] == "Succeeded"
    assert found["never"]["skipped"] == "instead was accepted"
    assert found["made"]["body"]["properties"]["diskState"] == "Unattached"


def test_an_operation_that_fails_is_not_accepted(bench: Bench) -> None:
    bench.control.fault("PUT .*/disks/one", "fail_operation")
    found = hold(bench.arm(), put("made", EMPTY))["made"]
    assert found["status"] < 300
    assert not found["accepted"] and found["code"] and found["message"]


def test_requests_speak_of_earlier_answers(bench: Bench) -> None:
    made = hold(
        bench.arm(),
        put("made", EMPTY),
        Request("again", "GET", "{made:id}", DISK_API),
        Request("nowhere", "GET", "{made:properties.nothing.0}", DISK_API),
        Request("sized", "PATCH", DISK, DISK_API, body={"properties": {"diskSizeGB": 2}}),
        Request(
            "tagged",
            "PATCH",
            DISK,
            DISK_API,
            body={"tags": {"was": "size-{again:properties.diskSizeGB}"}},
        ),
        get("end"),
    )
    assert made["again"]["status"] == 200
    assert made["nowhere"]["skipped"] == "the answer to made has no properties.nothing.0"
    assert made["end"]["body"]["tags"] == {"was": "size-1"}
    assert made["end"]["body"]["properties"]["diskSizeGB"] == 2


def test_an_upload_goes_through_its_signed_url_which_nobody_is_shown(
    bench: Bench, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins: dict[str, set[bool]] = {}
    exchange = Recorder.exchange

    def noted(self: Recorder, request: Any, response: Any, service: str) -> dict[str, Any]:
        logins.setdefault(service, set()).add("Authorization" in request.headers)
        return exchange(self, request, response, service)

    monkeypatch.setattr(Recorder, "exchange", noted)
    span = f"bytes={SIZE - 512}-{SIZE + 511}"
    found = hold(
        bench.arm(),
        put("made", UPLOAD),
        grant("granted"),
        grant("granted_again"),
        Request(
            "footer",
            "PUT",
            query={"comp": "page"},
            headers={"x-ms-page-write": "update", "x-ms-range": span},
            through="granted",
            content=b"vmguard." * 64 + vhd.footer(SIZE, uuid4(), bench.clock.now()),
        ),
        Request("ended", "POST", f"{DISK}/endGetAccess", DISK_API),
        get("uploaded"),
    )
    assert found["footer"]["status"] == 201
    assert found["uploaded"]["body"]["properties"]["diskState"] == "Unattached"
    shown = json.dumps(found) + "".join(file.read_text() for file in recorded.iterdir())
    granted = [one["operation"]["properties"]["output"]["accessSAS"] for one in
               (found["granted"], found["granted_again"])]  # fmt: skip
    assert granted[0] == granted[1]
    assert "sig=ELIDED-1" in shown
    assert shown.count("sig=") == shown.count("sig=ELIDED-")
    to_storage = [one for one in exchanges(recorded) if one.get("service") == "storage"]
    assert [one["name"] for one in to_storage] == ["footer"]
    assert to_storage[0]["request"]["body"] is None
    assert to_storage[0]["request"]["headers"]["x-ms-range"] == span
    assert logins == {"arm": {True}, "storage": {False}}


def test_through_what_gave_no_access_nothing_is_sent(bench: Bench) -> None:
    found = hold(
        bench.arm(), put("made", EMPTY), grant("granted"), Request("read", "GET", through="granted")
    )
    assert found["granted"]["status"] == 409
    assert found["read"]["skipped"] == "granted gave no access"


def test_a_read_is_repeated_until_it_says_so(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 30})
    state = "properties.provisioningState"
    found = hold(
        bench.arm(),
        put("begun", EMPTY, wait=False),
        get("at_once"),
        get("in_the_end", until=Until(state, "Succeeded", 100)),
        get("no_such_member", until=Until("properties.nothing", 1, 100)),
        get("never", until=Until(state, "Gone", 5)),
    )
    states = [found[name]["body"]["properties"]["provisioningState"] for name in
              ("at_once", "in_the_end", "never")]  # fmt: skip
    assert states[0] != "Succeeded" and states[1:] == ["Succeeded", "Succeeded"]
    assert sum(bench.clock.slept) < 60


def test_an_operation_without_end_ends_the_task(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 10**6})
    arm = bench.arm()
    arm.deadline = Deadline(bench.clock, 60)
    with pytest.raises(OperationTimeout, match=r"made of .*disks/one"):
        hold(arm, put("made", EMPTY))


def test_a_password_is_made_and_shown_to_nobody(bench: Bench, recorded: Path) -> None:
    body = {**EMPTY, "tags": {"adminPassword": "{password}"}}
    hold(bench.arm(), put("made", body))
    seen = bench.arm().read("disks.get", "one", "rg", "one")["tags"]["adminPassword"]
    assert len(seen) > 20
    assert seen not in "".join(file.read_text() for file in recorded.iterdir())


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ((get("one"), get("one")), "Two requests have the name one."),
        (
            (get("one", after=("two",)), get("two")),
            "one speaks of two, which is no request before it",
        ),
        ((put("one", {"tags": {"a": "{gone:id}"}}),), "one speaks of gone"),
        ((Request("one", "GET", through="gone"),), "one speaks of gone"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(
    bench: Bench, requests: tuple[Request, ...], says: str
) -> None:
    before = len(bench.control.audit()["requests"])
    with pytest.raises(InputError, match=says):
        hold(bench.arm(), *requests)
    assert len(bench.control.audit()["requests"]) == before


def test_check_mode_reads_and_writes_nothing(bench: Bench) -> None:
    arm = bench.arm()
    last = len(bench.control.audit()["requests"])
    found = Conversation(arm, lambda _work, predicted: predicted).hold(
        [get("before"), put("made", EMPTY), Request("next", "GET", "{made:id}", DISK_API)]
    )
    assert found["before"]["status"] == 404
    assert found["made"]["skipped"] == "check mode"
    assert found["next"]["skipped"] == "the answer to made has no id"
    assert bench.control.writes(last) == []


def test_a_login_that_is_not_taken_is_a_failure(bench: Bench) -> None:
    bench.control.fault("GET .*/disks/one", status=401)
    with pytest.raises(VmguardError) as caught:
        hold(bench.arm(), get("seen"))
    assert isinstance(caught.value, AuthError)
