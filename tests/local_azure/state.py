"""What the parts of one local Azure share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from .arm.operations import Operations
from .arm.resources import Resources
from .clock import Clock
from .config import Config
from .storage.disk_store import DiskStore
from .storage.sas import SasRegistry


@dataclass
class State:
    """Resources, operations, disks and settings. ``lock`` is held while a management request is handled."""

    config: Config
    clock: Clock
    resources: Resources
    operations: Operations
    store: DiskStore
    sas: SasRegistry
    lock: threading.RLock = field(default_factory=threading.RLock)
