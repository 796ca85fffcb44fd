"""The background server: up, status, env, stats, down, and what happens when it is killed."""

from __future__ import annotations

import json
import os
import shlex
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


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_commands_from_up_to_down(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--root", str(root))
    code, out, _ = run(capsys, "up", *at, "--odps-port", "0", "--oss-port", "0")
    settings = lifecycle.require_running(root)
    assert code == 0
    assert settings.odps_endpoint in out
    assert settings.oss_endpoint in out
    assert str(root / "server.log") in out
    assert settings.access_key_secret not in out

    code, out, _ = run(capsys, "up", *at)
    assert code == 0
    assert "already" in out
    assert lifecycle.require_running(root) == settings

    code, out, _ = run(capsys, "status", *at)
    assert (code, f"process {settings.pid}" in out) == (0, True)

    client(settings).create_table("counted", "n bigint")
    code, out, _ = run(capsys, "stats", *at)
    assert code == 0
    assert "odps.sql" in out

    code, _, err = run(capsys, "up", *at, "--oss-port", str(settings.oss_port + 1))
    assert code == 1
    assert "already runs" in err

    code, out, _ = run(capsys, "down", *at)
    assert (code, out) == (0, "the local cloud is stopped\n")
    assert not psutil.pid_exists(settings.pid)
    code, _, err = run(capsys, "status", *at)
    assert code == 1
    assert "maxcompute-local up --root" in err
    assert run(capsys, "down", *at)[0] == 0


def test_env_is_what_the_sdks_read(root: Path) -> None:
    settings = up(root)
    script = (
        "import os, alibabacloud_oss_v2 as oss; from odps import ODPS\n"
        "e = os.environ\n"
        "odps = ODPS(e['ODPS_ACCESS_ID'], e['ODPS_ACCESS_KEY'], e['ODPS_PROJECT'], e['ODPS_ENDPOINT'])\n"
        "odps.get_project().reload()\n"
        "config = oss.config.load_default()\n"
        "config.credentials_provider = oss.credentials.EnvironmentVariableCredentialsProvider()\n"
        "config.region, config.endpoint = e['OSS_REGION'], e['OSS_ENDPOINT']\n"
        "oss.Client(config).list_buckets(oss.ListBucketsRequest())\n"
    )
    env = shlex.join([sys.executable, "-m", "maxcompute_local.cli", "env", "--root", str(root)])
    command = f'eval "$({env})" && {shlex.join([sys.executable, "-c", script])}'
    subprocess.run(["sh", "-c", command], check=True)
    said = subprocess.run(["sh", "-c", env], capture_output=True, text=True, check=True).stdout
    assert settings.control_token not in said


@pytest.mark.parametrize("prog", ["maxcompute-local", "other local"])
def test_texts_name_the_command_that_was_typed(
    root: Path, capsys: pytest.CaptureFixture[str], prog: str
) -> None:
    ports = ("--odps-port", "0", "--oss-port", "0")
    more = {"OTHER": "its value"}
    main(["up", *ports], prog, root, lambda _: more)
    assert f'next:  eval "$({prog} env --root {root})"' in capsys.readouterr().out
    main(["env"], prog, root, lambda _: more)
    assert "export OTHER='its value'\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["faults", "--help"], prog, root)
    assert f"{prog} faults add oss-flaky" in capsys.readouterr().out


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
        code, _, err = run(capsys, "up", "--root", str(root), "--odps-port", "0", "--oss-port", port)
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

    assert get("/maxcompute-local/health", local_cloud.settings.control_token) == {
        "status": "ok",
        "pid": os.getpid(),
    }
    assert isinstance(get("/maxcompute-local/stats", local_cloud.settings.control_token), dict)
    for path in ("/maxcompute-local/health", "/maxcompute-local/stats"):
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
