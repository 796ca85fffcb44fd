"""Ports, locks and settings of the local cloud, without a server."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from maxcompute_local import ports
from maxcompute_local.errors import LocalCloudError, PortInUseError, RootInUseError
from maxcompute_local.rootlock import RootLock, is_locked
from maxcompute_local.settings import ServerSettings, load_settings, save_settings

SETTINGS = ServerSettings(8850, 8851, "key-id", "key-secret", "control-token", pid=7)


def test_settings_are_private_and_come_back(tmp_path: Path) -> None:
    save_settings(tmp_path, SETTINGS)
    assert load_settings(tmp_path) == SETTINGS
    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["server.json"]


def test_secrets_do_not_show_in_repr() -> None:
    assert "key-secret" not in repr(SETTINGS)
    assert "control-token" not in repr(SETTINGS)


def test_no_settings_before_the_first_start(tmp_path: Path) -> None:
    assert load_settings(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"odps_port": 1}'])
def test_unreadable_settings_name_the_file_and_no_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    with pytest.raises(LocalCloudError, match=r"server\.json"):
        load_settings(tmp_path)


@pytest.fixture
def taken() -> socket.socket:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def test_a_taken_port_that_was_asked_for_is_named(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with pytest.raises(PortInUseError, match=rf"port {port} .*OSS.*: up again") as caught:
        ports.choose("OSS", port, None, 0, "up again")
    assert "old port" not in str(caught.value)


def test_a_taken_port_of_an_earlier_run_is_not_replaced(taken: socket.socket) -> None:
    with pytest.raises(PortInUseError, match="keep the old port"):
        ports.choose("OSS", None, taken.getsockname()[1], 0, "up again")


def test_a_taken_preferred_port_gives_way(taken: socket.socket) -> None:
    with ports.choose("OSS", None, None, taken.getsockname()[1], "") as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname()[1] not in (0, taken.getsockname()[1])


def test_root_lock_excludes_and_ends(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    save_settings(tmp_path, SETTINGS)
    lock = RootLock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(RootInUseError, match=r"in use .*process 7.*maxcompute-local down"):
        RootLock(tmp_path)
    lock.release()
    assert not is_locked(tmp_path)
    RootLock(tmp_path).release()
