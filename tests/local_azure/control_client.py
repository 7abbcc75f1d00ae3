"""What tests and the demo use to drive the control interface over HTTPS."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

_BLOCK = 4096
_READ = 1 << 20
_PAUSE = 0.01


class ControlError(RuntimeError):
    """The control interface refused; the message is its own."""


class ControlClient:
    """One local Azure's control interface. Not thread-safe."""

    def __init__(self, base_url: str, ca_file: Path, subscription: str) -> None:
        self._host = urlsplit(base_url).netloc
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._subscription = subscription

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One request; ``body`` is sent as JSON unless it is bytes.

        Raises:
            ControlError: when local Azure refuses.
        """
        target = f"/_local/{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=120)
        try:
            connection.request(method, target, data)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ControlError(answer["error"]["message"])
        return answer

    def vm_id(self, group: str, name: str) -> str:
        return f"{self.group_id(group)}/providers/Microsoft.Compute/virtualMachines/{name}"

    def group_id(self, group: str) -> str:
        return f"/subscriptions/{self._subscription}/resourceGroups/{group}"

    def create_vm(
        self,
        group: str,
        name: str,
        os_disk: dict,
        data_disks: list[dict] | None = None,
        **more: Any,
    ) -> dict:
        """A virtual machine whose disks hold the bytes of image files on this machine."""
        body = {
            "resource_group": group,
            "name": name,
            "os_disk": os_disk,
            "data_disks": data_disks or [],
            **more,
        }
        return self.call("POST", "vms", body)

    def guest_write(self, vm_id: str, lun: int | str, offset: int, data: bytes) -> None:
        self.call("POST", "guest/write", data, vm=vm_id, lun=lun, offset=offset)

    def guest_sync(self, vm_id: str, lun: int | str, before: Path, after: Path) -> int:
        """Write what differs between two images of a disk, as its guest would; bytes written."""
        written = 0
        with before.open("rb") as old, after.open("rb") as new:
            offset = 0
            while block := new.read(_READ):
                for start, end in _changes(old.read(_READ), block):
                    self.guest_write(vm_id, lun, offset + start, block[start:end])
                    written += end - start
                offset += len(block)
        return written

    def export_disk(self, path: Path, **disk: Any) -> None:
        """Write a disk's bytes to a sparse file; ``id=``, or ``vm=`` and ``lun=``."""
        self.call("POST", "disks/export", {"path": str(path)}, **disk)

    def digest(self, **disk: Any) -> str:
        """A digest that disks of equal content share; ``id=``, or ``vm=`` and ``lun=``."""
        return self.call("GET", "disks/digest", **disk)["fingerprint"]

    def advance(self, seconds: float) -> None:
        self.call("POST", "clock/advance", {"seconds": seconds})

    def configure(self, **groups: dict[str, Any]) -> None:
        self.call("PATCH", "config", groups)

    def login(self, client_id: str, secret: str, roles: list[dict[str, Any]] | None = None) -> None:
        """Make a login; with ``roles`` (name, actions, scope) it may do what they name and nothing else."""
        self.call("POST", "credentials", {"client_id": client_id, "secret": secret})
        if roles is not None:
            self.call("PUT", "roles", {"client_id": client_id, "roles": roles})

    def fault(self, pattern: str, kind: str = "status", **more: Any) -> None:
        self.call("POST", "faults", {"pattern": pattern, "kind": kind, **more})

    def clear_faults(self) -> None:
        """End all faults; what they hold goes on at once."""
        self.call("DELETE", "faults")

    def wait_until_held(self, number: int = 1, seconds: float = 60) -> None:
        """Come back when faults hold this many requests.

        Raises:
            TimeoutError: they did not within ``seconds``.
        """
        last = time.monotonic() + seconds
        while sum(fault["held"] for fault in self.call("GET", "faults")) < number:
            if time.monotonic() > last:
                raise TimeoutError(f"No {number} requests are held after {seconds} seconds.")
            time.sleep(_PAUSE)

    def audit(self, after: int = 0) -> dict[str, Any]:
        return self.call("GET", "audit", after=after)

    def writes(self, after: int = 0) -> list[dict[str, Any]]:
        """The requests that were to change something, in the order in which they were done.

        Each has ``method``, ``path``, ``status`` and, where one struck, ``fault``.
        """
        return [entry for entry in self.audit(after)["requests"] if entry["write"]]


def _changes(old: bytes, new: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each run of blocks that differ."""
    if old == new:
        return
    begun = None
    for start in range(0, len(new), _BLOCK):
        differs = old[start : start + _BLOCK] != new[start : start + _BLOCK]
        if differs and begun is None:
            begun = start
        elif not differs and begun is not None:
            yield begun, start
            begun = None
    if begun is not None:
        yield begun, len(new)
