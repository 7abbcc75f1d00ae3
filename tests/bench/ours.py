"""This collection's own engine as a subject, to a folder and to Azurite.

Its source is local Azure, over HTTPS. What Azure Resource Manager does (snapshots, access) is not
counted, as nothing of the kind is for the peers.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from . import engine
from .image import KIB, same_content
from .measure import TESTS, BenchError, run_function
from .subject import AZURITE, CONTAINER, FOLDER, OURS, Outcome, Subject
from .world import Machine, make_container

CHUNK = 64 * KIB
_COLLECTIONS = TESTS.parent / "build" / "collections"


class Ours(Subject):
    """The engine, in a process of its own for every operation."""

    name = OURS
    passphrase: ClassVar[str | None] = None
    _runs = 0

    def prepare(self) -> None:
        Ours._runs += 1
        world = self.setting.world
        if self.azurite is None:
            self.options = engine.repository_folder(self.repository)
        else:
            make_container(self.azurite, CONTAINER)
            self.options = engine.repository_container(self.azurite.connection_string, CONTAINER)
        if self.passphrase:
            self.options["passphrase"] = self.passphrase
        self._call(engine.create, options=self.options, chunk_size=CHUNK)
        self.machine: Machine = world.make_machine(f"ours-{Ours._runs}", self.disk)
        self.snapshots: list[str] = []
        self.backups: list[str] = []
        self._stack.callback(self._clean)

    def _clean(self) -> None:
        for snapshot in self.snapshots:
            self.setting.world.end_access(snapshot)
        self.setting.world.drop_machine(self.machine, *self.snapshots)

    def _call(self, function: Any, **arguments: Any) -> Any:
        environment = {
            **os.environ,
            "PYTHONPATH": str(_COLLECTIONS),
            "REQUESTS_CA_BUNDLE": self.setting.world.ca_file,
        }
        return run_function(function, environment=environment, **arguments)

    def full(self) -> Outcome:
        return self._backup("full", None)

    def incremental(self) -> Outcome:
        self.setting.world.change(self.machine, self.disk)
        return self._backup("incremental", self.backups[-1])

    def _backup(self, level: str, base: str | None) -> Outcome:
        world = self.setting.world
        name = world.snapshot(self.machine, f"{self.machine.name}-{len(self.snapshots)}")
        self.snapshots.append(name)
        urls = {one: world.read_access(one) for one in self.snapshots}
        before = self.stored()
        usage = self._call(
            engine.back_up,
            options=self.options, size=self.machine.disk_size, source=name, urls=urls, base=base,
        )  # fmt: skip
        told = usage.value
        if told["level"] != level:
            raise BenchError(f"The backup became a {told['level']}: {told['fallback']}.")
        self.backups.append(told["id"])
        return Outcome(usage, told["read"], self.stored() - before)

    def verify(self) -> Outcome:
        usage = self._call(engine.verify, options=self.options)
        if not usage.value["sound"]:
            raise BenchError("The repository is damaged.")
        return Outcome(usage, usage.value["read"])

    def restore(self) -> Outcome:
        return self._to_disk() if self.place == AZURITE else self._to_file()

    def _to_disk(self) -> Outcome:
        world, name = self.setting.world, f"{self.machine.name}-restored"
        url = world.upload_disk(name, self.machine.disk_size)
        try:
            usage = self._call(
                engine.restore_disk, options=self.options, backup=self.backups[-1], url=url
            )
            restored = world.upload_digest(name)
        finally:
            world.drop_upload(name)
        if restored != world.control.digest(id=self.machine.disk_id):
            raise BenchError("Ours restored another disk than it was given.")
        return Outcome(usage, usage.value)

    def _to_file(self) -> Outcome:
        path = self.folder / "restored.img"
        usage = self._call(
            engine.restore_file, options=self.options, backup=self.backups[-1], path=str(path)
        )
        with path.open("r+b") as file:
            file.truncate(self.disk.size)
        if not same_content(path, self.disk.changed):
            raise BenchError("Ours restored another disk than it was given.")
        return Outcome(usage, usage.value)


class OursFolder(Ours):
    place = FOLDER
    note = "not encrypted; restores to a file"


class OursAzurite(Ours):
    place = AZURITE
    note = "not encrypted; restores into a disk of local Azure that is open for upload"


class OursEncrypted(Ours):
    """The same with a passphrase."""

    name, place = f"{OURS}, encrypted", AZURITE
    passphrase = "bench"
    note = "restores into a disk of local Azure that is open for upload"


SUBJECTS: tuple[type[Subject], ...] = (OursAzurite, OursFolder, OursEncrypted)
