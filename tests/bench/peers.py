"""rclone, restic and borg, as Debian packages them, on the same disk content.

They read the disk from a local file that is in the page cache, not from Azure: that favours them.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from .image import same_content, warm
from .measure import BenchError, Usage, run_command
from .subject import AZURITE, CONTAINER, FOLDER, Outcome, Subject
from .world import account_sas, make_container

IMAGE = "disk.img"
REMOTE = "x"
PASSWORD = "bench"


class Peer(Subject):
    """A program that is run; ``_commands`` hold what differs."""

    program: str

    def missing(self) -> str | None:
        needed = {self.program, "rclone"} if self.place == AZURITE else {self.program}
        absent = sorted(name for name in needed if shutil.which(name) is None)
        return f"{absent[0]} is not installed" if absent else None

    @property
    def source(self) -> Path:
        """The image that is to be backed up, always under the same name."""
        return self.folder / "source" / IMAGE

    @property
    def target(self) -> Path:
        """The folder to restore into."""
        return self.folder / "restored"

    def prepare(self) -> None:
        for folder in (self.source.parent, self.target, self.folder / "home", self.folder / "tmp"):
            folder.mkdir()
        if self.azurite is None:
            self.repository.mkdir()
        else:
            make_container(self.azurite, CONTAINER)
        self.create_repository()

    def create_repository(self) -> None:
        """Make an empty repository, where the program has such a thing."""

    def environment(self) -> dict[str, str]:
        """Nothing of the user's, and everything it writes below the subject's folder."""
        variables = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "home" / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "home" / "config"),
            "TMPDIR": str(self.folder / "tmp"),
        }
        if self.azurite is not None:
            prefix = f"RCLONE_CONFIG_{REMOTE.upper()}"
            variables["RCLONE_CONFIG"] = str(self.folder / "home" / "rclone.conf")
            variables[f"{prefix}_TYPE"] = "azureblob"
            sas = account_sas(self.azurite)
            variables[f"{prefix}_SAS_URL"] = f"{self.azurite.blob_endpoint}?{sas}"
        return variables

    def run(self, *command: str | Path, folder: Path | None = None) -> Usage:
        return run_command(
            command,
            log=self.folder / "log",
            environment=self.environment(),
            folder=folder or self.folder,
        )

    def full(self) -> Outcome:
        return self._backup(self.disk.base)

    def incremental(self) -> Outcome:
        return self._backup(self.disk.changed)

    def _backup(self, image: Path) -> Outcome:
        self.source.unlink(missing_ok=True)
        self.source.hardlink_to(image)
        warm(self.source)
        before = self.stored()
        usage = self.backup()
        return Outcome(usage, self.disk.size, self.stored() - before)

    def backup(self) -> Usage:
        raise NotImplementedError

    def verify(self) -> Outcome | None:
        return None

    def restore(self) -> Outcome:
        outcome = Outcome(self.bring_back())
        found = list(self.target.rglob(IMAGE))
        if len(found) != 1 or not same_content(found[0], self.disk.changed):
            raise BenchError(f"{self.name} restored another disk than it was given.")
        return outcome

    def bring_back(self) -> Usage:
        raise NotImplementedError


class Rclone(Peer):
    """Copies the image file; it has neither increments nor verification."""

    name, program, place = "rclone", "rclone", AZURITE
    note = "copies the whole file every time"

    @property
    def remote(self) -> str:
        return f"{REMOTE}:{CONTAINER}/{IMAGE}"

    def stored(self) -> int:
        # Every copy replaces the one before, so what is there now is what was sent.
        return 0

    def backup(self) -> Usage:
        return self.run("rclone", "copyto", self.source, self.remote)

    def _backup(self, image: Path) -> Outcome:
        outcome = super()._backup(image)
        return Outcome(outcome.usage, outcome.read, self.disk.size)

    def bring_back(self) -> Usage:
        return self.run("rclone", "copyto", self.remote, self.target / IMAGE)


class Restic(Peer):
    """Content-defined chunks, zstd, always encrypted."""

    program = "restic"

    @property
    def location(self) -> str:
        return str(self.repository)

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "RESTIC_REPOSITORY": self.location,
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(self.folder / "home" / "restic"),
        }

    def create_repository(self) -> None:
        self.run("restic", "init", "--repository-version", "2")

    def backup(self) -> Usage:
        return self.run("restic", "backup", "--host", "bench", IMAGE, folder=self.source.parent)

    def verify(self) -> Outcome:
        return Outcome(self.run("restic", "check", "--read-data"))

    def bring_back(self) -> Usage:
        return self.run("restic", "restore", "latest", "--target", self.target)


class ResticFolder(Restic):
    name, place = "restic", FOLDER
    note = "always encrypted; chunks of about 1 MiB"


class ResticAzurite(Restic):
    """Debian's restic has no Azure backend; it starts ``rclone serve restic --stdio`` itself."""

    name, place = "restic through rclone", AZURITE
    note = "restic with rclone as its backend; the CPU and memory of both are counted"

    @property
    def location(self) -> str:
        return f"rclone:{REMOTE}:{CONTAINER}/restic"


class Borg(Peer):
    """Chunks of a fixed size, zstd, no encryption."""

    program, place = "borg", FOLDER
    chunk: int
    _archives = 0

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "BORG_REPO": str(self.repository),
            "BORG_BASE_DIR": str(self.folder / "home"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_HOST_ID": f"bench@{socket.gethostname()}",
        }

    def create_repository(self) -> None:
        self._archives = 0
        self.run("borg", "init", "--encryption", "none")

    def backup(self) -> Usage:
        self._archives += 1
        options = ["--compression", "zstd,1", "--chunker-params", f"fixed,{self.chunk}", "--sparse"]
        return self.run(
            "borg", "create", *options, f"::{self._archives}", IMAGE, folder=self.source.parent
        )

    def verify(self) -> Outcome:
        return Outcome(self.run("borg", "check", "--verify-data"))

    def bring_back(self) -> Usage:
        return self.run("borg", "extract", "--sparse", f"::{self._archives}", folder=self.target)


class BorgSmall(Borg):
    name, chunk = "borg 64 KiB", 64 << 10
    note = "fixed chunks of 64 KiB, no encryption"


class BorgLarge(Borg):
    name, chunk = "borg 4 MiB", 4 << 20
    note = "fixed chunks of 4 MiB, no encryption"


SUBJECTS: tuple[type[Subject], ...] = (
    Rclone,
    ResticAzurite,
    ResticFolder,
    BorgSmall,
    BorgLarge,
)
