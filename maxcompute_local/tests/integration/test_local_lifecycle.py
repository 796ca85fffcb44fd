"""The background server: up, status, env, stats, down, and what happens when it is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from airflow.sdk import Connection
from airflow_provider_drivepipe.hooks.connection import read_settings
from odps import ODPS

from maxcompute_local import lifecycle
from maxcompute_local.cli import main
from maxcompute_local.errors import PortInUseError, RootInUseError
from maxcompute_local.rootlock import is_locked
from maxcompute_local.server import LocalCloud
from maxcompute_local.settings import ServerSettings


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "cloud"
    yield root
    lifecycle.down(root)


def up(root: Path) -> ServerSettings:
    return lifecycle.up(root, odps_port=0, oss_port=0).settings


def client(settings: ServerSettings) -> ODPS:
    return ODPS(
        settings.access_key_id,
        settings.access_key_secret,
        project="local",
        endpoint=settings.odps_endpoint,
        overwrite_global=False,
    )


def drivepipe(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_commands_from_up_to_down(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--root", str(root))
    code, out, _ = drivepipe(capsys, "up", *at, "--odps-port", "0", "--oss-port", "0")
    settings = lifecycle.require_running(root)
    assert code == 0
    assert settings.odps_endpoint in out
    assert settings.oss_endpoint in out
    assert str(root / "server.log") in out
    assert settings.access_key_secret not in out

    code, out, _ = drivepipe(capsys, "up", *at)
    assert code == 0
    assert "already" in out
    assert lifecycle.require_running(root) == settings

    code, out, _ = drivepipe(capsys, "status", *at)
    assert (code, f"process {settings.pid}" in out) == (0, True)

    client(settings).create_table("counted", "n bigint")
    code, out, _ = drivepipe(capsys, "stats", *at)
    assert code == 0
    assert "odps.sql" in out

    code, _, err = drivepipe(capsys, "up", *at, "--oss-port", str(settings.oss_port + 1))
    assert code == 1
    assert "already runs" in err

    code, out, _ = drivepipe(capsys, "down", *at)
    assert (code, out) == (0, "the local cloud is stopped\n")
    assert not psutil.pid_exists(settings.pid)
    code, _, err = drivepipe(capsys, "status", *at)
    assert code == 1
    assert "local up --root" in err
    assert drivepipe(capsys, "down", *at)[0] == 0


def test_env_is_an_airflow_connection(root: Path) -> None:
    settings = up(root)
    command = [
        sys.executable,
        "-m",
        "airflow_provider_drivepipe.cli.main",
        "local",
        "env",
        "--root",
        str(root),
    ]
    export = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shell = f'{export}\nprintf %s "$AIRFLOW_CONN_DRIVEPIPE_DEFAULT"'
    value = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    connection = Connection.from_json(value, conn_id="drivepipe_default")
    read = read_settings(connection)
    assert read.require_maxcompute().endpoint == settings.odps_endpoint
    assert read.require_maxcompute().access_key.secret == settings.access_key_secret
    assert read.require_oss().endpoint == settings.oss_endpoint
    assert read.require_role_arn() == "acs:ram::0:role/drivepipe-local"
    assert read.require_model_project() == "bigdata_public_modelset"
    assert read.dpe_python_version == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_killed_server_comes_back_on_its_ports_with_its_data(root: Path) -> None:
    before = up(root)
    client(before).create_table("kept", "n bigint")
    os.kill(before.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before.pid)] if psutil.pid_exists(before.pid) else [])
    assert lifecycle.running(root) is None

    after = lifecycle.up(root).settings
    assert after.pid != before.pid
    assert (after.odps_port, after.oss_port) == (before.odps_port, before.oss_port)
    assert client(after).exist_table("kept")


def test_down_ends_what_a_killed_server_left(root: Path) -> None:
    settings = up(root)
    os.kill(settings.pid, signal.SIGKILL)
    engine = subprocess.Popen(["sleep", "600"], cwd=root / "maxframe", start_new_session=True)
    assert lifecycle.down(root) is True
    assert not psutil.pid_exists(engine.pid)
    engine.wait()


def test_root_in_use_names_the_other_server(root: Path) -> None:
    settings = up(root)
    with pytest.raises(RootInUseError, match=f"process {settings.pid}"):
        LocalCloud(root, 0, 0).start()
    assert lifecycle.running(root) == settings


def test_port_in_use_is_named_and_nothing_is_left(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = drivepipe(capsys, "up", "--root", str(root), "--odps-port", "0", "--oss-port", port)
    assert code == 1
    assert f"port {port} of 127.0.0.1, wanted for OSS, is in use" in err
    assert "--oss-port PORT" in err
    assert not is_locked(root)


def test_ports_of_a_failed_start_are_free_again(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cloud = LocalCloud(tmp_path, 0, taken.getsockname()[1])
        with pytest.raises(PortInUseError):
            cloud.start()
    assert not is_locked(tmp_path)
    cloud.start()
    cloud.stop()


def test_broken_models_file_is_named(root: Path) -> None:
    root.mkdir()
    (root / "models.json").write_text('{"modells": []}')
    with pytest.raises(lifecycle.LocalCloudError, match=r"models\.json"):
        up(root)


def test_health_and_stats_want_the_control_token(local_cloud: LocalCloud) -> None:
    base = local_cloud.odps_endpoint.removesuffix("/api")

    def get(path: str, token: str) -> object:
        request = urllib.request.Request(f"{base}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    assert get("/drivepipe/health", local_cloud.settings.control_token) == {
        "status": "ok",
        "pid": os.getpid(),
    }
    assert isinstance(get("/drivepipe/stats", local_cloud.settings.control_token), dict)
    for path in ("/drivepipe/health", "/drivepipe/stats"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(path, "wrong")
        refused.value.close()
        assert refused.value.code == 401


def test_everything_listens_on_loopback_only(root: Path) -> None:
    settings = up(root)
    listening = [
        connection.laddr
        for connection in psutil.Process(settings.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {(address.ip, address.port) for address in listening} == {
        ("127.0.0.1", settings.odps_port),
        ("127.0.0.1", settings.oss_port),
    }


def test_restart_in_one_process_keeps_keys_and_ports(tmp_path: Path) -> None:
    cloud = LocalCloud(tmp_path, 0, 0).start()
    before = cloud.settings
    cloud.stop()
    cloud.stop()
    again = LocalCloud(tmp_path).start()
    try:
        assert again.settings == before
        assert again.alive()
    finally:
        again.stop()
    assert not again.alive()
