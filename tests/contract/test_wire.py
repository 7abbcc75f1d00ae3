"""Local Azure answers recorded requests as the real service did, but for the table of deviations."""

from __future__ import annotations

import extract
import pytest
import replay
from deviations import judge
from player import Player, slow_config
from recordings import FOLDER, load
from shapes import TABLE_FILE, load_table
from worlds import WORLDS

from local_azure.launcher import LocalAzure

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings are not here")


@pytest.mark.parametrize("recording", sorted(WORLDS))
def test_recording(recording: str) -> None:
    world = WORLDS[recording]
    with LocalAzure(slow_config()) as local:
        player = Player(local)
        world.prepare(player)
        exchanges = load([recording])[recording]
        steps = replay.steps(exchanges, player.subscription, world.hooks, world.bodies)
        assert len(steps) == len(exchanges) > 0
        outcomes = player.play(steps, world.hooks)
        player.close()
        assert local.control.audit()["crashes"] == []
    assert judge(recording, outcomes) == []


def test_table_is_what_the_recordings_say() -> None:
    assert TABLE_FILE.read_text() == extract.text(), "Run 'python tests/contract/extract.py'."


def test_table_holds_every_exchange() -> None:
    steps = {name: len(shapes) for name, shapes in load_table().items()}
    assert steps == {name: len(exchanges) for name, exchanges in load(WORLDS).items()}
