"""``drivepipe up`` and ``down``: the local cloud and an Airflow with its UI, all on loopback.

Four processes rather than ``airflow standalone``, whose log servers listen on every interface.
"""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from airflow_provider_drivepipe.cli.airflow_home import (
    DEFAULT_API_PORT,
    HOST,
    USER,
    AirflowHome,
    database_folder,
    find_dags,
)
from airflow_provider_drivepipe.cli.child import signals_as_interrupts
from airflow_provider_drivepipe.cli.components import COMPONENTS, Component
from airflow_provider_drivepipe.cli.demo import SCENARIO_FILE
from airflow_provider_drivepipe.cli.demo_data import upload_demo_videos
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.folders import add_folders
from airflow_provider_drivepipe.cli.local import connections
from airflow_provider_drivepipe.cli.postgres import Postgres
from airflow_provider_drivepipe.cli.up_dags import ShownDags, UpDags, request
from maxcompute_local import lifecycle
from maxcompute_local.clients import oss_client
from maxcompute_local.errors import LocalCloudError

DEMO_BUCKET = "drivepipe-demo"

_HEALTHY_SECONDS = 180.0
_HEALTH_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def main(arguments: Sequence[str]) -> int:
    """Start everything that does not run yet; return 0 when all of it answers."""
    parser = argparse.ArgumentParser(
        prog="drivepipe up", description="Start the local cloud and Airflow with its UI, on loopback only."
    )
    add_folders(parser)
    parser.add_argument("--port", type=int, help=f"port of the UI (default: {DEFAULT_API_PORT})")
    options = parser.parse_args(arguments)
    try:
        with signals_as_interrupts():
            return _up(
                options.root.absolute(), options.home.absolute(), find_dags(options.dags), options.port
            )
    except (CommandError, LocalCloudError) as error:
        print(f"\ndrivepipe up: {error}", file=sys.stderr)
        return 1


def down(arguments: Sequence[str]) -> int:
    """Stop Airflow and the local cloud, also what is left of them after a crash."""
    parser = argparse.ArgumentParser(
        prog="drivepipe down", description="Stop what 'drivepipe up' started; all data stays."
    )
    add_folders(parser, dags=False)
    options = parser.parse_args(arguments)
    try:
        stopped = _stop_airflow(options.home.absolute())
        stopped = lifecycle.down(options.root.absolute()) or stopped
    except LocalCloudError as error:
        print(f"drivepipe down: {error}", file=sys.stderr)
        return 1
    print("Airflow and the local cloud are stopped; their data stays" if stopped else "nothing was running")
    return 0


def _up(root: Path, home: Path, dags: Path, port: int | None) -> int:
    run = home / "run"
    running = _running(run)
    if running is None:
        running = _Running(port or DEFAULT_API_PORT, str(dags))
        _require_free(running.port)
    elif port not in (None, running.port) or running.dags != str(dags):
        raise CommandError(
            f"Airflow already runs on port {running.port} with the DAGs of {running.dags}. "
            "Stop it first: drivepipe down"
        )
    print("local cloud", flush=True)
    started = lifecycle.up(root)
    how = "runs already" if started.already else "started"
    print(f"  {how}: MaxCompute {started.settings.odps_endpoint}, OSS {started.settings.oss_endpoint}")
    if (dags / "scenarios" / SCENARIO_FILE).exists():
        upload_demo_videos(home.parent / "demo-videos", oss_client(started.settings), DEMO_BUCKET)
    airflow = AirflowHome(home, dags, connections(started.settings), running.port)
    print("Airflow", flush=True)
    airflow.prepare()
    run.mkdir(exist_ok=True)
    try:
        _start_missing(airflow, run)
        _wait_until_healthy(airflow, run)
    except BaseException:
        # Half an Airflow helps nobody; the local cloud stays for a look at what is wrong.
        _stop_airflow(home)
        raise
    shown = UpDags(airflow, started.settings).switch_on()
    _print_how_to_go_on(airflow, run, shown)
    return 0


def _start_missing(airflow: AirflowHome, run: Path) -> None:
    commands = {
        "api-server": ["api-server", "--host", HOST, "--port", str(airflow.api_port), "--workers", "1"],
        "scheduler": ["scheduler", "--skip-serve-logs"],
        "dag-processor": ["dag-processor"],
        "triggerer": ["triggerer", "--skip-serve-logs"],
    }
    # A DAG that somebody adds to the folder runs at once, and not after a switch that is easy to miss.
    environment = {**airflow.environment(), "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False"}
    note = json.dumps(asdict(_Running(airflow.api_port, str(airflow.dags))))
    for name in COMPONENTS:
        component = Component(name, run)
        if component.note() is not None:
            print(f"  {name} runs already")
            continue
        component.stop()
        component.start(airflow.command(*commands[name]), environment, note=note)
        print(f"  {name} started", flush=True)


def _stop_airflow(home: Path) -> bool:
    # The scheduler first, so that it starts no task while the others go; the database when nobody uses it.
    order = ("scheduler", "triggerer", "dag-processor", "api-server")
    stopped = [Component(name, home / "run").stop() for name in order]
    return any([*stopped, Postgres(database_folder(home)).stop()])


@dataclass(frozen=True)
class _Running:
    """What an Airflow was started with."""

    port: int
    dags: str


def _running(run: Path) -> _Running | None:
    note = Component("api-server", run).note()
    return _Running(**json.loads(note)) if note else None


def _require_free(port: int) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            raise CommandError(
                f"port {port} of {HOST}, wanted for Airflow's UI, is in use by another program. "
                "Stop that program, or choose another port: drivepipe up --port PORT"
            ) from error


def _wait_until_healthy(airflow: AirflowHome, run: Path) -> None:
    deadline = time.monotonic() + _HEALTHY_SECONDS
    said: object = "no answer"
    while time.monotonic() < deadline:
        for name in COMPONENTS:
            component = Component(name, run)
            if component.note() is None:
                raise CommandError(f"Airflow's {name} has ended; see {component.log}")
        try:
            health = request(airflow, "GET", "/api/v2/monitor/health")
            said = {part: (health.get(part) or {}).get("status") for part in _HEALTH_PARTS}
            if all(status == "healthy" for status in said.values()):
                return
        except (OSError, ValueError) as error:
            said = error
        time.sleep(0.5)
    raise CommandError(f"Airflow is not healthy after {_HEALTHY_SECONDS:.0f} s: {said}; logs in {run}")


def _print_how_to_go_on(airflow: AirflowHome, run: Path, shown: ShownDags) -> None:
    stop = "make down" if Path("Makefile").exists() else shlex.join(["drivepipe", "down"])
    print(f"\nAirflow   {airflow.url}{shown.page}")
    print(f"login     {USER}, password {airflow.password()}")
    for line in shown.next_steps:
        print(line)
    print(f"logs      {airflow.logs} (tasks), {run} (Airflow itself)")
    print(f"stop      {stop}")
