"""What demo and up start, find again and end; and the Airflow environment that they prepare."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from airflow_provider_drivepipe.cli.airflow_home import AirflowHome, find_dags
from airflow_provider_drivepipe.cli.child import child, signals_as_interrupts
from airflow_provider_drivepipe.cli.command_hook import CommandHook
from airflow_provider_drivepipe.cli.components import Component
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.cli.postgres import Postgres
from airflow_provider_drivepipe.hooks.maxframe import Job

# Prints its own id and that of a child, then waits; STUBBORN also ignores SIGTERM.
FAMILY = (
    "import os, subprocess, sys, time; child = subprocess.Popen(['sleep', '600']); "
    "print(os.getpid(), child.pid, flush=True); time.sleep(600)"
)
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FAMILY


def alive(pids: list[int]) -> list[int]:
    """Return those that live; a zombie has ended."""
    found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [process.pid for process in found if process.status() != psutil.STATUS_ZOMBIE]


def test_child_takes_its_group_along_on_an_error() -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with child([sys.executable, "-c", FAMILY]) as process:
            assert process.stdout is not None
            pids.extend(map(int, process.stdout.readline().split()))
            assert len(alive(pids)) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    psutil.wait_procs([psutil.Process(pid) for pid in alive(pids)], timeout=5)
    assert alive(pids) == []


def test_child_hears_of_the_death_of_its_command(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    child_code = f"import sys; print(flush=True); sys.stdin.read(); open({str(heard)!r}, 'w').close()"
    code = (
        "import sys\n"
        "from airflow_provider_drivepipe.cli.child import child\n"
        f"with child([sys.executable, '-c', {child_code!r}]) as process:\n"
        "    print(process.pid, process.stdout.readline(), flush=True)\n"
        "    process.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        pid = int(command.stdout.readline())
        command.kill()
    psutil.wait_procs([psutil.Process(each) for each in alive([pid])], timeout=20)
    assert heard.exists()


def test_child_that_begins_while_its_command_is_interrupted_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    class Interrupted(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            begun.append(self.pid)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), signals_as_interrupts(), child(["sleep", "600"]):
        pass
    assert begun
    assert alive(begun) == []


def test_sigterm_ends_a_command_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), signals_as_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_that_was_swallowed_ends_a_command_at_its_next_look_at_a_job() -> None:
    with signals_as_interrupts():
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            CommandHook().status(Job("session", "job"))


def start(component: Component, code: str = FAMILY) -> list[int]:
    component.start([sys.executable, "-c", code], os.environ, note="8088")
    while not component.log.read_text().endswith("\n"):
        assert component.note() == "8088"
    return [int(pid) for pid in component.log.read_text().split()]


def test_component_is_found_again_and_stopped_with_its_children(tmp_path: Path) -> None:
    pids = start(Component("scheduler", tmp_path))
    again = Component("scheduler", tmp_path)
    assert again.note() == "8088"
    assert again.stop() is True
    assert alive(pids) == []
    assert again.note() is None
    assert again.stop() is False


def test_what_a_killed_component_left_is_ended(tmp_path: Path) -> None:
    component = Component("scheduler", tmp_path)
    leader, left = start(component)
    os.kill(leader, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(leader)], timeout=5)
    assert component.note() is None
    assert alive([left]) == [left]
    assert component.stop() is True
    assert alive([left]) == []


def test_a_later_process_of_the_same_id_is_left_alone(tmp_path: Path) -> None:
    component = Component("scheduler", tmp_path)
    pids = start(component)
    file = tmp_path / "scheduler.pid"
    recorded = file.read_text()
    file.write_text(recorded.replace('"started": ', '"started": 1'))
    assert component.note() is None
    assert component.stop() is False
    assert alive(pids) == pids
    file.write_text(recorded)
    assert component.stop() is True


def test_airflow_environment_is_private_and_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_PRODUCTION", "secret")
    home = AirflowHome(
        tmp_path / "airflow",
        tmp_path / "dags",
        {"AIRFLOW_CONN_DRIVEPIPE_DEFAULT": '{"conn_type": "drivepipe"}'},
        api_port=1234,
    )
    (tmp_path / "airflow").mkdir()
    with pytest.raises(CommandError, match=r"PostgreSQL of .* does not run"):
        home.environment()
    with database(home.database):
        check_environment(home)


def check_environment(home: AirflowHome) -> None:
    environment = home.environment()
    assert home.database.password in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_PRODUCTION" not in environment
    assert environment["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] == '{"conn_type": "drivepipe"}'
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__PORT"] == "1234"
    assert environment["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert environment == home.environment(), "secrets are made once"
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o600
    assert len(set(home.secret_values())) == 5


@contextmanager
def database(server: Postgres) -> Iterator[Postgres]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(server: Postgres, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(server.url.replace("+psycopg2", ""))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_database_is_private_and_survives_a_stop_and_a_kill(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = Postgres(private / "postgres")
    with database(server):
        port = server.url
        server.start()
        assert server.url == port, "starting it twice is no error"
        ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
        wrong = server.url.replace("+psycopg2", "").replace(server.password, "guessed")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(wrong)
        listening = psutil.Process(json.loads((server.folder / "postgres.pid").read_text())["pid"])
        assert {c.laddr.ip for c in listening.net_connections("all") if c.status == psutil.CONN_LISTEN} == {
            "127.0.0.1"
        }
    assert not server.running
    with database(server):
        assert ask(server, "SELECT n FROM kept") == [(7,)]
        os.kill(json.loads((server.folder / "postgres.pid").read_text())["pid"], signal.SIGKILL)
    with database(server):
        assert ask(server, "SELECT n FROM kept") == [(7,)]


def test_dags_are_found_beside_the_package_and_missing_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (find_dags(None) / "scenarios" / "driving_demo.yaml").is_file()
    with pytest.raises(CommandError, match="nowhere"):
        find_dags(tmp_path / "nowhere")
    assert find_dags(tmp_path) == tmp_path, "a folder of one's own needs no examples"
    with pytest.raises(CommandError, match=r"has no scenarios/driving_demo\.yaml"):
        find_dags(tmp_path, "scenarios/driving_demo.yaml")


def test_up_names_a_taken_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        folders = ["--root", str(tmp_path / "cloud"), "--home", str(tmp_path / "airflow")]
        assert main(["up", "--port", port, *folders]) == 1
        assert f"port {port} of 127.0.0.1" in capsys.readouterr().err
        assert not (tmp_path / "cloud").exists()
        assert main(["down", *folders]) == 0
        assert capsys.readouterr().out == "nothing was running\n"
