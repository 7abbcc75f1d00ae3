"""What the parts of the demo share: what they tell, and how they run a playbook."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_azure.launcher import LocalAzure
from support.playbook import run_playbook
from tools import tree

MIB = 1 << 20


class DemoError(Exception):
    """Something is not as it should be; the message is for whoever runs the demo."""


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def size(count: int) -> str:
    """Bytes, for people."""
    return f"{count / MIB:.1f} MiB"


@dataclass
class Account:
    """What is told, with the seconds since the beginning."""

    began: float = field(default_factory=time.monotonic)

    def step(self, text: str) -> None:
        print(f"\n{self.seconds():6.1f} s  {text}", flush=True)

    def detail(self, who: str, text: str) -> None:
        print(f"{'':10}{who:13} {text}", flush=True)

    def seconds(self) -> float:
        return time.monotonic() - self.began


@dataclass
class Player:
    """Runs the collection's playbooks on the machines of an inventory.

    Args:
        hosts: the names of these machines.
    """

    local: LocalAzure
    account: Account
    inventory: Path
    hosts: set[str]

    def play(self, name: str, *modules: str, **variables: Any) -> list[dict[str, dict[str, Any]]]:
        """Run a playbook; the last result of each of these modules, by host.

        Raises:
            DemoError: it failed, or did nothing on one of the machines.
        """
        playbook, inventory = tree.fqcn(name), str(self.inventory.relative_to(tree.ROOT))
        told = "".join(f" --extra-vars {key}={value}" for key, value in variables.items())
        self.account.step(f"ansible-playbook {playbook} --inventory {inventory}{told}")
        run = run_playbook(
            playbook, self.local, "--inventory", str(self.inventory), variables=variables
        )
        results = [run.results(module) for module in modules]
        if run.rc or run.failed or any(one.keys() != self.hosts for one in results):
            raise DemoError(f"{playbook} failed:\n{run.stdout}")
        idle = [host for host in self.hosts if not run.stats[host]["changed"]]
        if idle:
            raise DemoError(f"Nothing was done on {', '.join(idle)}:\n{run.stdout}")
        return results
