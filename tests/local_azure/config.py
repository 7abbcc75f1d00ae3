"""Durations, limits and identities of one local Azure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .arm.governance import Governance

UNLIMITED = 1_000_000
FOREVER = 1e9


@dataclass
class Durations:
    """Seconds that operations take. 0: finished when first polled."""

    restore_point_create: float = 0.0
    restore_point_copy: float = 0.0
    restore_point_replication: float = 0.0
    restore_point_hydration: float = 0.0
    restore_point_delete: float = 0.0
    disk_write: float = 0.0
    snapshot_write: float = 0.0
    snapshot_replication: float = 0.0
    snapshot_hydration: float = 0.0
    access: float = 0.0
    delete: float = 0.0
    vm_write: float = 0.0
    vm_power: float = 0.0


@dataclass
class Limits:
    """Documented limits of the service (compute-throttling, restore points, snapshots).

    ``cores`` is the quota of a subscription and region; deallocated machines count.
    """

    restore_points_per_hour: int = UNLIMITED
    restore_point_copies_per_hour: int = UNLIMITED
    restore_points_per_vm: int = 500
    snapshots_per_disk: int = 500
    snapshots_per_disk_5_minutes: int = UNLIMITED
    sas_per_snapshot_family: int = 5
    snapshot_copies_in_parallel: int = 100
    cores: int = UNLIMITED
    page_size: int = UNLIMITED


@dataclass
class RetryAfter:
    """Seconds in the Retry-After headers, where the service sends one."""

    disk_write: int = 1
    disk_poll: int = 1
    vm_write: int = 1
    vm_poll: int = 1
    throttled: int = 1


@dataclass
class Refusals:
    """What the service refuses, and local Azure unless it is told not to."""

    put_without_creation_data: bool = True
    trusted_launch_of_a_copy: bool = True


Group = Durations | Limits | RetryAfter | Refusals | Governance


def _checked(target: Group, group: str, name: str, value: Any) -> Any:
    """The value of a setting, checked: seconds may be fractions where they are durations."""
    if isinstance(target, Governance):
        return target.checked(name, value)
    if name not in {item.name for item in fields(target)}:
        raise ValueError(f"There is no setting {name!r} in {group}.")
    is_switch = isinstance(value, bool)
    if isinstance(target, Refusals):
        right, hint = is_switch, "; it is true or false"
    else:
        allowed = int | float if isinstance(target, Durations) else int
        right = not is_switch and isinstance(value, allowed) and 0 <= value < FOREVER
        hint = ""
    if not right:
        raise ValueError(f"{name} in {group} cannot be {value!r}{hint}.")
    return value


@dataclass
class Config:
    """Everything that a run of local Azure can be told."""

    tenant: str = "72f988bf-0000-4000-8000-2d7cd011db47"
    client_id: str = "3f9b9c1e-0000-4000-8000-6f2f1f0d7a55"
    secret: str = "local-azure-secret"
    subscription: str = "00000000-0000-4000-8000-000000000001"
    subscription_name: str = "Local Azure"
    location: str = "westeurope"
    token_seconds: int = 3600
    durations: Durations = field(default_factory=Durations)
    limits: Limits = field(default_factory=Limits)
    retry_after: RetryAfter = field(default_factory=RetryAfter)
    refusals: Refusals = field(default_factory=Refusals)
    governance: Governance = field(default_factory=Governance)

    def update(self, changes: dict[str, Any]) -> None:
        """Set values by group, for example ``{"limits": {"restore_points_per_hour": 3}}``.

        Nothing is set where anything is refused.

        Raises:
            ValueError: for a group or a name that does not exist, or a value that is of another kind.
        """
        accepted: list[tuple[Group, str, Any]] = []
        for group, values in changes.items():
            target = getattr(self, group, None)
            if not isinstance(target, Group):
                raise ValueError(f"There is no group of settings {group!r}.")  # noqa: TRY004 - all that is wrong is one kind of error
            if not isinstance(values, dict):
                raise ValueError(f"The settings of {group} are not an object.")  # noqa: TRY004 - the same
            accepted += [
                (target, name, _checked(target, group, name, values[name])) for name in values
            ]
        for target, name, value in accepted:
            setattr(target, name, value)

    def public(self) -> dict[str, Any]:
        body = asdict(self)
        del body["secret"]
        return body


def profile(name: str) -> Config:
    """The settings called ``default`` (fast, generous) or ``azure`` (as documented and recorded).

    Raises:
        ValueError: for another name.
    """
    if name == "default":
        return Config()
    if name == "azure":
        return Config(
            durations=Durations(
                restore_point_create=36,
                restore_point_copy=6,
                restore_point_replication=300,
                restore_point_hydration=300,
                restore_point_delete=5,
                disk_write=1,
                snapshot_write=1,
                snapshot_replication=300,
                snapshot_hydration=300,
                access=0.2,
                delete=0.2,
                vm_write=60,
                vm_power=30,
            ),
            limits=Limits(
                restore_points_per_hour=3,
                restore_point_copies_per_hour=3,
                snapshots_per_disk_5_minutes=7,
                page_size=200,
            ),
            retry_after=RetryAfter(
                disk_write=2, disk_poll=10, vm_write=10, vm_poll=50, throttled=60
            ),
        )
    raise ValueError(f"There is no profile {name!r}; choose default or azure.")
