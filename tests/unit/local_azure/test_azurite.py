"""Azurite as local Azure starts it: real process, real requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from local_azure import azurite
from local_azure.azurite import Azurite, AzuriteError

TESTS = Path(__file__).parents[2]


def client(account: Azurite) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(account.connection_string)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_blobs_outlive_a_restart(tmp_path: Path) -> None:
    with Azurite(tmp_path) as account:
        client(account).create_container("things").upload_blob("one", b"bytes")
        name, key = account.account_name, account.account_key
    with Azurite(tmp_path, account_name=name, account_key=key) as account:
        assert (
            client(account).get_blob_client("things", "one").download_blob().readall() == b"bytes"
        )


def test_two_accounts_run_side_by_side(tmp_path: Path) -> None:
    with Azurite(tmp_path / "a") as one, Azurite(tmp_path / "b") as two:
        assert one.blob_endpoint != two.blob_endpoint
        client(one).create_container("only-here")
        assert [found["name"] for found in client(one).list_containers()] == ["only-here"]
        assert list(client(two).list_containers()) == []


def test_stopping_needs_no_kill_and_can_be_repeated(tmp_path: Path) -> None:
    account = Azurite(tmp_path).start()
    with client(account) as service:
        service.create_container("things")
        process = account._process
        account.stop()
    # It had not to be killed.
    assert process is not None and process.returncode == 0
    account.stop()
    with pytest.raises(AzuriteError, match="not running"):
        assert account.blob_endpoint


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_starter_leaves_no_node_behind(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, threading, time\n"
        "from local_azure.azurite import Azurite\n"
        f"account = Azurite(pathlib.Path({str(tmp_path)!r}))\n"
        # The thread that started it is gone before its program is.
        "starter = threading.Thread(target=account.start); starter.start(); starter.join()\n"
        "print(account._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        assert starter.stdout is not None
        node = int(starter.stdout.readline())
        assert alive(node)
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while alive(node) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(node)


def test_a_missing_installation_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azurite, "BLOB_SERVICE", tmp_path / "main.js")
    with pytest.raises(AzuriteError, match="run `make setup`"):
        Azurite(tmp_path).start()


def test_a_missing_node_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azurite.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AzuriteError, match="run `make setup`"):
        azurite.find_node()


def test_a_failed_start_shows_what_azurite_said(tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").write_text("no certificate")
    missing = (tmp_path / "certificate.pem", tmp_path / "no-key.pem")
    with pytest.raises(AzuriteError, match=r"Azurite ended at once: .*no-key\.pem"):
        Azurite(tmp_path / "data", certificate=missing).start()
