"""prove_azure.yml: what it asks, what it says of the answers, what it refuses, and that it clears up."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import yaml
from ansible_collections.vmguard.azure.plugins.module_utils._disk import vhd

from local_azure.config import Config, profile
from local_azure.launcher import LocalAzure
from support.arm import Arm
from support.playbook import PlaybookRun, run_playbook
from tools import tree

sys.path.insert(0, str(tree.ROOT / "tests" / "contract"))

import recordings
import replay
from player import Player, Step, slow_config

GROUP = "prove"
PROVE = tree.ROOT / "playbooks" / "prove"
STEPS = list(yaml.safe_load((PROVE / "vars.yml").read_text())["vmguard_prove_steps"])
UNKNOWNS = yaml.safe_load((PROVE / "unknowns.yml").read_text())
KINDS = ("disks", "snapshots", "virtualMachines", "restorePointCollections")
# What local Azure does not do as the service is assumed to, or says nothing of.
SEEN_OTHERWISE = {
    "copy-to-region",
    "point-source-deleted",
    # Snapshots of Premium SSD v2 disks are given no access until their data has arrived.
    "v2-sectors",
    "v2-source-deleted",
}
OS_POINT = "@os-point"


def quick_azure() -> Config:
    """The profile azure, its operations a hundred times as fast."""
    config = profile("azure")
    for name, seconds in vars(config.durations).items():
        setattr(config.durations, name, seconds / 100)
    for name in vars(config.retry_after):
        setattr(config.retry_after, name, 0)
    return config


def prove(local: LocalAzure, folder: Path, *options: str, **variables: Any) -> PlaybookRun:
    """Run the playbook; its recordings go into a folder below ``folder``."""
    given = {
        "vmguard_resource_group": GROUP,
        "vmguard_location": "westeurope",
        "vmguard_prove_max_cost": "1",
        "vmguard_prove_folder": str(folder),
        "vmguard_prove_other_location": "northeurope",
        "vmguard_prove_patience": 2,
        **variables,
    }
    return run_playbook(tree.fqcn("prove_azure"), local, *options, variables=given)


@dataclass
class Proof:
    """A whole run: what Ansible said, what is in its folder, what is left in Azure."""

    run: PlaybookRun
    folder: Path
    page: dict[str, Any]
    left: list[str]
    audit: dict[str, Any]
    config: Config


def kept(arm: Arm) -> list[str]:
    return [item["id"] for kind in KINDS for item in arm.list_compute(kind)]


def whole_run(folder: Path) -> Proof:
    with LocalAzure(quick_azure()) as local:
        run = prove(local, folder)
        left, audit = kept(Arm(local)), local.control.audit()
    assert run.rc == 0, run.stdout
    (made,) = folder.iterdir()
    page = json.loads((made / "page.json").read_text())
    return Proof(run, made, page, left, audit, local.config)


@pytest.fixture
def local() -> Iterator[LocalAzure]:
    with LocalAzure(quick_azure()) as started:
        yield started
        assert started.control.audit()["crashes"] == []


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page", PROVE / "page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdicts(told: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in told["unknowns"]}


# -- a whole run


def test_a_whole_run(tmp_path: Path, page: ModuleType) -> None:
    """One test, so that processes that share the tests do not each take the run."""
    found = whole_run(tmp_path / "prove")
    everything_is_asked_and_everything_is_deleted(found)
    the_page_says_what_was_seen(found)
    no_secret_is_written_down(found)
    another_answer_is_another_verdict(found, page, tmp_path / "again")
    the_recordings_replay_against_another_azure(found)


def everything_is_asked_and_everything_is_deleted(proof: Proof) -> None:
    assert proof.page["broken"] == {} and proof.page["left"] == []
    assert set(proof.page["exchanges"]) == {*STEPS, "other"}
    assert proof.left == []
    assert proof.audit["crashes"] == [] and proof.audit["active_sas"] == []
    deleted = [one["path"] for one in proof.audit["requests"] if one["method"] == "DELETE"]
    assert any(path.endswith(f"/resourceGroups/{GROUP}") for path in deleted)


def the_page_says_what_was_seen(proof: Proof) -> None:
    found = verdicts(proof.page)
    assert set(found) == {one["id"] for one in UNKNOWNS}
    # What is not in the list holds also in local Azure; what is may change with it.
    assert {name for name, verdict in found.items() if verdict != "as assumed"} <= SEEN_OTHERWISE
    assert "not asked" not in found.values()
    text = (proof.folder / "page.md").read_text()
    assert proof.page["summary"] in text
    for one in proof.page["unknowns"]:
        assert f"### {one['id']}: {one['question']}" in text
        assert one["evidence"], one["id"]


def no_secret_is_written_down(proof: Proof) -> None:
    files = [file for file in proof.folder.rglob("*") if file.is_file()]
    text = proof.run.stdout + "".join(file.read_text() for file in files)
    config = proof.config
    for secret in (config.subscription, config.tenant, config.client_id, config.secret):
        assert secret not in text
    assert set(re.findall(r"sig=([^&\"\\\s]*)", text)) <= {f"ELIDED-{n}" for n in range(1, 10)}
    assert '"adminPassword": "ELIDED"' in text
    assert "Bearer" not in text


# -- what is said comes from the exchanges


def another_answer_is_another_verdict(proof: Proof, page: ModuleType, copy: Path) -> None:
    """Each exchange decides: where Azure answers otherwise, the page does."""
    shutil.copytree(proof.folder / "exchanges", copy / "exchanges")
    for file in sorted((copy / "exchanges" / "upload").glob("*.json")):
        exchange = json.loads(file.read_text())
        if exchange.get("name") == "put_without_creation_data":
            exchange["response"].update(status=200, body={"name": "one"})
        if exchange.get("name") == "granted_while_denied":
            exchange["response"]["body"]["error"]["code"] = "SomethingNew"
        if exchange.get("name") == "tagged_while_uploading":
            file.unlink()
            continue
        if exchange.get("name") == "uploaded":
            exchange["response"]["body"]["properties"]["LastOwnershipUpdateTime"] = "2026"
        if exchange.get("name") == "granted":
            exchange["response"].update(status=418, body={"error": {"code": "Teapot"}})
        file.write_text(json.dumps(exchange))
    shutil.rmtree(copy / "exchanges" / "detach")

    told = page.build(copy, {"detach": "it was killed"}, ["/subscriptions/x/disks/left"])

    seen = {one["id"]: (one["verdict"], one["seen"]) for one in told["unknowns"]}
    assert seen["disk-put-without-creation-data"] == ("otherwise", "It is accepted.")
    assert seen["access-denied-disk"] == ("otherwise", "With another status or code.")
    assert seen["upload-tags"][0] == "unforeseen"
    assert seen["upload-ownership"] == ("otherwise", "It has.")
    assert seen["upload-access-for-a-day"] == ("otherwise", "It is refused.")
    assert seen["detach-by-name"][0] == "not asked"
    before = verdicts(proof.page)
    changed = {name for name, (verdict, _says) in seen.items() if verdict != before[name]}
    assert all(name.split("-")[0] in ("disk", "access", "upload", "detach") for name in changed)
    text = (copy / "page.md").read_text()
    assert "- detach: it was killed" in text and "- `/subscriptions/x/disks/left`" in text


def test_a_half_written_exchange_is_passed_over(page: ModuleType, tmp_path: Path) -> None:
    step = tmp_path / "exchanges" / "upload"
    step.mkdir(parents=True)
    (step / ".1.json.tmp").write_text('{"request"')
    assert page.build(tmp_path, {}, [])["exchanges"] == {"upload": 0}


def test_every_unknown_can_be_told(page: ModuleType) -> None:
    """A finding speaks of requests that its step sends, and one finding is what is assumed."""
    for unknown in UNKNOWNS:
        text = (PROVE / "steps" / f"{unknown['step']}.yml").read_text()
        names = [one for one in unknown["evidence"] if isinstance(one, str)]
        names += [
            one["of"] for found in unknown["findings"] for one in found["when"] if "of" in one
        ]
        names += [one["same_as"] for found in unknown["findings"] for one in found["when"]
                  if "same_as" in one]  # fmt: skip
        missing = [name for name in names if not re.search(rf"name: {name}\b", text)]
        assert missing == [], unknown["id"]
        assert sum(bool(found.get("assumed")) for found in unknown["findings"]) == 1, unknown["id"]
        assert page.judge(unknown, [])["verdict"] == "not asked"


# -- the recordings


class Again(Player):
    """Sends the recorded conditions too, and knows the OS disk of a restore point from the others."""

    headers: dict[str, str] = {}

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        more = {} if path.endswith("/oauth2/v2.0/token") else self.headers
        return super()._exchange(method, path, body, {**headers, **more})

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        if OS_POINT in f"{path}{json.dumps(body)}":
            storage = super().send("GET", self.newest_point)[2]["properties"]["sourceMetadata"]
            point = storage["storageProfile"]["osDisk"]["diskRestorePoint"]["id"]
            path = path.replace(OS_POINT, point)
            body = body and json.loads(json.dumps(body).replace(OS_POINT, point))
        return super().send(method, path, body)


def end_of_upload(player: Player) -> None:
    """What went to the disk's own URL is not for Resource Manager, and not in a recording."""
    path = (
        f"/subscriptions/{player.subscription}/resourceGroups/group-1/providers/Microsoft.Compute"
        "/disks/disk-1/beginGetAccess?api-version=2024-03-02"
    )
    body = {"access": "Write", "durationInSeconds": 3600}
    url = urlsplit(player.send("POST", path, body)[1]["location"])
    player.local.control.advance(100)
    sas = urlsplit(player.send("GET", f"{url.path}?{url.query}")[2]["accessSAS"])
    size = 32 * 2**20
    footer = vhd.footer(size, uuid4(), datetime.now(timezone.utc))
    connection = http.client.HTTPSConnection(sas.netloc, context=player._context, timeout=60)
    headers = {"x-ms-version": "2021-12-02", "x-ms-page-write": "update",
               "x-ms-range": f"bytes={size}-{size + 511}"}  # fmt: skip
    connection.request("PUT", f"{sas.path}?{sas.query}&comp=page", footer, headers)
    assert connection.getresponse().status == 201
    connection.close()


def loaded(proof: Proof) -> tuple[list[recordings.Exchange], list[dict[str, str]], list[str]]:
    """The exchanges of all steps, the conditions that they were sent with, and their names."""
    exchanges, headers, names = [], [], []
    for step in ("other", *STEPS):
        file = proof.folder / "recordings" / f"{step}.json"
        told = json.loads(file.read_text())["exchanges"]
        headers += [one["request"].get("headers", {}) for one in told]
        names += [f"{step}: {one['note']}" for one in told]
        for one in recordings._load_one(file):
            path = re.sub(
                r"/subscriptions/[^\"]*/diskRestorePoints/vmguard-prove-os_[\w-]+",
                OS_POINT,
                one.path,
            )
            text = re.sub(
                r"/subscriptions/[^\"]*/diskRestorePoints/vmguard-prove-os_[\w-]+",
                OS_POINT,
                json.dumps(one.body),
            )
            # The password is in no recording, and the service looks at it.
            text = text.replace('"adminPassword": "ELIDED"', '"adminPassword": "Replayed-1234"')
            body = json.loads(text)
            exchanges.append(replace(one, path=path, body=body))
    return exchanges, headers, names


def the_recordings_replay_against_another_azure(proof: Proof) -> None:
    exchanges, headers, names = loaded(proof)
    with LocalAzure(slow_config()) as local:
        local.config.refusals = quick_azure().refusals
        player = Again(local)
        complaints = []
        for step in replay.steps(exchanges, player.subscription):
            if re.match("upload: revoked ", names[step.number]) and step.kind == "request":
                end_of_upload(player)
            player.headers = headers[step.number]
            complaints += [
                f"{names[step.number]}: {one}"
                for one in outcome(player, step)
                # When to come again depends on how often one came.
                if one not in ("header +Retry-After", "header -Retry-After")
            ]
        player.close()
        assert local.control.audit()["crashes"] == []
    # It has long arrived in the other one.
    arrived = [one for one in complaints if one.startswith("sectors: granted_as_vhdx ")]
    assert complaints == arrived
    assert len(exchanges) > 100


def outcome(player: Player, step: Step) -> list[str]:
    (found,) = player.play([step], {})
    return found.differences


# -- what it refuses, and what it clears up


def test_check_mode_tells_the_cost_and_writes_nothing(local: LocalAzure, tmp_path: Path) -> None:
    run = prove(local, tmp_path, "--check", "--tags", "upload,swap")
    assert run.rc == 0, run.stdout
    assert local.control.writes(0) == []
    assert list(tmp_path.iterdir()) == []
    (told,) = [one.result["msg"] for one in run.tasks if "may cost" in one.name]
    assert list(told["steps"]) == ["upload", "machine", "restore_point", "swap"]
    assert re.fullmatch(r"0\.\d+ USD", told["together"]) and told["prices_assumed"]


def test_it_does_not_begin_where_it_would_cost_more_or_something_else_is(
    local: LocalAzure, tmp_path: Path
) -> None:
    run = prove(local, tmp_path, vmguard_prove_max_cost="0.05")
    assert run.rc == 2
    assert re.search(
        r"estimated at 0\.\d+ USD, and vmguard_prove_max_cost is 0\.05", run.failed[0].result["msg"]
    )

    Arm(local).make_group(GROUP, "westeurope")
    local.control.create_vm(GROUP, "shop", {"size_gb": 1}, [])
    last = len(local.control.audit()["requests"])
    run = prove(local, tmp_path)
    assert run.rc == 2
    assert "holds what this playbook did not make: " in run.failed[0].result["msg"]
    assert "shop" in run.failed[0].result["msg"]
    assert local.control.writes(last) == [] and list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_deleted_and_what_cannot_be_is_told(
    local: LocalAzure, tmp_path: Path
) -> None:
    arm = Arm(local)
    arm.make_group(GROUP, "westeurope")
    player = Player(local)
    base = (
        f"/subscriptions/{player.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Compute"
    )
    body = {
        "location": "westeurope",
        "tags": {"vmguard-prove": "20260101T000000Z"},
        "properties": {"diskSizeGB": 1, "creationData": {"createOption": "Empty"}},
    }
    player.arrange("PUT", f"{base}/disks/one?api-version=2024-03-02", body)
    access = {"access": "Read", "durationInSeconds": 3600}
    player.arrange("POST", f"{base}/disks/one/beginGetAccess?api-version=2024-03-02", access)
    player.close()
    assert len(local.control.audit()["active_sas"]) == 1

    local.control.fault("DELETE .*/disks/one", status=409)
    run = prove(local, tmp_path, "--tags", "cleanup")
    assert run.rc == 2
    message = run.failed[0].result["msg"]
    assert re.match(r"Not deleted: \S+/disks/one\.", message) and "--tags cleanup" in message

    # The next run deletes it before it begins.
    local.control.clear_faults()
    last = len(local.control.audit()["requests"])
    run = prove(local, tmp_path, "--tags", "versions")
    assert run.rc == 0, run.stdout
    assert kept(arm) == [] and local.control.audit()["active_sas"] == []
    (folder,) = tmp_path.iterdir()
    assert verdicts(json.loads((folder / "page.json").read_text()))["api-versions"] == "as assumed"
    # The group was somebody's: it stays.
    deleted = [one["path"] for one in local.control.writes(last) if one["method"] == "DELETE"]
    assert [path.rsplit("/", 1)[1] for path in deleted] == ["one"]
