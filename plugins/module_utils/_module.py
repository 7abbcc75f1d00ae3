# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that knows AnsibleModule: options in, the write gate, results and failures out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ._clock import SystemClock
from ._errors import InputError, MissingLibrary, VmguardError
from ._requirements import complete, require
from ._secrets import pasted
from ._spec import AUTH_SPEC, WAIT_SPEC

if TYPE_CHECKING:
    from ._arm.client import ArmClient
    from ._repository.repository import Repository
    from ._storage.interface import Store


class Task:
    """One run of a module: its options, its client, and what it changed.

    Client, login, storage and repository are imported when a module first uses them.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self.params: dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.clock = SystemClock()
        self.changed = False
        self._wrote = False
        self._diff: dict[str, Any] | None = None
        self._repository: Repository | None = None

    def _login(self) -> Any:
        from ._login.login import resolve_login

        return resolve_login(self.params, os.environ)

    @cached_property
    def arm(self) -> ArmClient:
        """The client with the task's login; in check mode it refuses writes at the transport."""
        from ._arm.client import ArmClient

        return ArmClient(
            self._login(),
            clock=self.clock,
            wait_timeout=self.params.get("wait_timeout", WAIT_SPEC["wait_timeout"]["default"]),
            read_only=self.check_mode,
            on_write=self._notice,
        )

    def _notice(self) -> None:
        self._wrote = True

    @cached_property
    def store(self) -> Store:
        """Where the option ``repository`` says that objects are; in check mode it refuses writes."""
        from ._repository import names
        from ._storage.noticing import NoticingStore
        from ._storage.options import open_store

        given = self.params["repository"]
        blob = ("azure-storage-blob",) if given.get("type") == "azure_blob" else ()
        encrypted = ("cryptography",) if given.get("passphrase") else ()
        require("blake3", "zstandard", *blob, *encrypted)
        store = open_store(
            given,
            credential=lambda: self._login().credential,
            read_only=self.check_mode,
        )
        return NoticingStore(store, self._notice, (names.LEASES, names.LEDGERS))  # type: ignore[return-value]

    def repository(self) -> Repository:
        """The repository that the option of this name describes, opened.

        Raises:
            NotARepository, WrongPassphrase, RepositoryError, StorageError: it cannot be.
        """
        if self._repository is None:
            from ._repository.repository import Repository

            passphrase = self.params["repository"].get("passphrase")
            self._repository = Repository.open(self.store, passphrase)
            for warning in self._repository.warnings:
                self.warn(warning)
        return self._repository

    def write(self, act: Callable[[], Any], predicted: Any = None) -> Any:
        """The gate: every change goes through here, and in check mode stops here.

        Args:
            act: what changes something.
            predicted: what to return in check mode in its place.
        """
        result = predicted if self.check_mode else act()
        self.changed = True
        return result

    def diff(self, before: Any, after: Any) -> None:
        """What ``--diff`` shows; an absent side is None."""
        self._diff = {
            "before": {} if before is None else before,
            "after": {} if after is None else after,
        }

    def warn(self, message: str) -> None:
        self._module.warn(message)

    def exit(self, result: dict[str, Any]) -> None:
        if self._diff is not None and self._diff["before"] != self._diff["after"]:
            result = {**result, "diff": self._diff}
        self._module.exit_json(changed=self.changed, **result)

    def fail(self, error: VmguardError) -> None:
        failure = error.failure()
        message = str(error)
        if failure.get("hint"):
            message = f"{message} {failure['hint']}"
        details = getattr(error, "result", None) or {}
        changed = self.changed or self._wrote
        self._module.fail_json(msg=message, changed=changed, failure=failure, **details)

    def check_options(self) -> None:
        """Refuse what no module takes.

        Raises:
            InputError: naming the option.
        """
        timeout = self.params.get("wait_timeout")
        if timeout is not None and timeout < 1:
            raise InputError(
                f"wait_timeout is {timeout}; it has to be at least 1 second.",
                hint="Where a module has the option wait, wait: false does not wait.",
            )


class Interrupted(BaseException):
    """SIGTERM came. No ``except Exception`` holds it up, so that whatever is open is undone."""


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM, as AWX and systemd send it, into an exception, once: undoing is not cut short."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def interrupt(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        # None: it was not set from Python.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


class Module(AnsibleModule):
    """Shows no secret that was pasted into an option which is not made for one.

    Ansible shows all options in the result and in the system's log, but for those with ``no_log``.
    """

    def _load_params(self) -> None:
        # The first moment at which there are options: also what Ansible itself refuses is hidden.
        super()._load_params()
        self.no_log_values.update(pasted(self.params, self.argument_spec))


def run_module(
    act: Callable[[Task], dict[str, Any]],
    argument_spec: dict[str, Any],
    *,
    waits: bool = False,
    **constraints: Any,
) -> None:
    """Build the module, let ``act`` do its work, and leave with its result or its failure.

    Args:
        argument_spec: the module's own options; authentication is added here.
        waits: whether the module has ``wait`` and ``wait_timeout``.
        constraints: ``required_if``, ``mutually_exclusive`` and the like.
    """
    spec = {**AUTH_SPEC, **(WAIT_SPEC if waits else {}), **argument_spec}
    task = Task(Module(argument_spec=spec, supports_check_mode=True, **constraints))
    try:
        with terminable():
            task.check_options()
            result = act(task)
    except MissingLibrary as error:
        task.fail(complete(error))
    except VmguardError as error:
        task.fail(error)
    except (Interrupted, KeyboardInterrupt):
        task.fail(
            VmguardError(
                "The task was interrupted before it was done.",
                code="Interrupted",
                hint="What it had begun was undone as far as possible; run it again.",
            )
        )
    else:
        task.exit(result)
