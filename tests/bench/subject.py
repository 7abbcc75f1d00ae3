"""What is compared: anything that backs up a disk, changes included, and brings it back."""

from __future__ import annotations

import abc
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from local_azure.azurite import Azurite

from .image import Disk
from .measure import Usage
from .world import World, stored_below, stored_in

OPERATIONS = ("full", "incremental", "verify", "restore")
AZURITE, FOLDER = "Azurite", "folder"
OURS = "vmguard.azure"
CONTAINER = "backups"


@dataclass(frozen=True)
class Outcome:
    """One operation, measured.

    Attributes:
        usage: what it took.
        read: bytes read from the disk, or from the repository for ``verify`` and ``restore``;
            None where nobody counts them.
        stored: bytes that the repository grew by.
    """

    usage: Usage
    read: int | None = None
    stored: int | None = None


@dataclass(frozen=True)
class Setting:
    """What every subject gets: the disk, the servers, a folder to work in."""

    disk: Disk
    world: World
    folder: Path


class Subject(abc.ABC):
    """Used as a context manager, once for every run: an empty repository before, nothing after.

    The operations come in the order of ``OPERATIONS``, each once; None means that there is no
    such operation. Only what an operation returns in ``Outcome.usage`` counts as its time.
    """

    name: str
    place: str
    note: str = ""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.disk = setting.disk
        self.folder = setting.folder / f"subject-{self.name}".replace(" ", "-")
        self.azurite: Azurite | None = None
        self._stack = contextlib.ExitStack()

    def missing(self) -> str | None:
        """Why this cannot run here; None when it can."""
        return None

    def __enter__(self) -> Subject:
        with contextlib.ExitStack() as stack:
            self.folder.mkdir()
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            if self.place == AZURITE:
                self.azurite = stack.enter_context(self.setting.world.azurite())
            self.prepare()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self.azurite = None

    @property
    def repository(self) -> Path:
        """The folder that the repository is in, where it is in one."""
        return self.folder / "repository"

    def stored(self) -> int:
        """The bytes that the repository has now."""
        if self.azurite is not None:
            return stored_in(self.azurite, CONTAINER)
        return stored_below(self.repository)

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the repository; not measured."""

    @abc.abstractmethod
    def full(self) -> Outcome | None:
        """The first backup, of the base image."""

    @abc.abstractmethod
    def incremental(self) -> Outcome | None:
        """The second backup, after the guest changed what ``Disk.pieces`` says."""

    @abc.abstractmethod
    def verify(self) -> Outcome | None:
        """Read back all that is stored, and check it."""

    @abc.abstractmethod
    def restore(self) -> Outcome | None:
        """Bring back the changed disk; raises BenchError when it is not what it was."""


@contextlib.contextmanager
def opened(subject: Subject) -> Iterator[Subject]:
    """The same as ``with subject``, and says which subject failed."""
    try:
        with subject:
            yield subject
    except Exception as error:
        error.add_note(f"This was {subject.name}.")
        raise
