"""Start, look at and stop a local cloud that runs in the background."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maxcompute_local.control_client import call
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.maxframe import workers
from maxcompute_local.processes import end_processes, engine_processes, tree_of
from maxcompute_local.rootlock import is_locked
from maxcompute_local.settings import (
    HEALTH_PATH,
    LOG_FILE,
    MODEL_PROJECT,
    PROJECT,
    REGION,
    ROLE_ARN,
    STATS_PATH,
    ServerSettings,
    load_settings,
)

ROOT_VARIABLE = "DRIVEPIPE_LOCAL_ROOT"
DEFAULT_ROOT = Path(".drivepipe") / "cloud"
CONNECTION_VARIABLE = "AIRFLOW_CONN_DRIVEPIPE_DEFAULT"

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1


def default_root() -> Path:
    """Return ``$DRIVEPIPE_LOCAL_ROOT``, or ``.drivepipe/cloud`` below the current folder."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).absolute()


@dataclass(frozen=True)
class Started:
    """A server that answers; ``already`` when it did so before."""

    settings: ServerSettings
    already: bool


def up(
    root: Path,
    odps_port: int | None = None,
    oss_port: int | None = None,
    worker_requirements: Sequence[str] | None = None,
) -> Started:
    """Start the server of ``root`` unless it runs, and wait until it answers.

    :param worker_requirements: Python requirements of all MaxFrame workers, installed first where needed;
        None for ``workers.PANDAS``.

    Raises LocalCloudError with the server's own message when it does not come up, with pip's when the
    requirements cannot be installed, or when it already runs in another way than asked for.
    """
    if is_locked(root):
        settings = _wait_for_health(root, None)
        for what, asked, have in (
            ("odps", odps_port, settings.odps_port),
            ("oss", oss_port, settings.oss_port),
        ):
            if asked not in (None, 0, have):
                raise LocalCloudError(
                    f"the local cloud of {root} already runs with --{what}-port {have}, not {asked}. "
                    f"Stop it first: drivepipe local down --root {root}"
                )
        if worker_requirements:
            raise LocalCloudError(
                f"the local cloud of {root} already runs; requirements of its workers are for a new one. "
                f"Stop it first: drivepipe local down --root {root}"
            )
        return Started(settings, already=True)
    # Here, where the user sees that it takes a while; the server finds it done.
    workers.prepare(worker_requirements)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "maxcompute_local.server", "--root", str(root)]
    for option, port in (("--odps-port", odps_port), ("--oss-port", oss_port)):
        command += [option, str(port)] if port is not None else []
    if worker_requirements is not None:
        command += ["--worker-requirements", *worker_requirements]
    with os.fdopen(os.open(log_file(root), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        return Started(_wait_for_health(root, process), already=False)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def down(root: Path) -> bool:
    """Stop the server of ``root`` and everything it started; return whether anything was running.

    Also ends what a server that was killed has left behind.
    """
    was_running = is_locked(root)
    settings = load_settings(root)
    if was_running and settings is not None:
        processes = tree_of(settings.pid)
        if processes:
            processes[0].terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        while is_locked(root) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        # The lock goes just before the process does. What has ended by itself is not touched.
        end_processes((process for process in processes if process.is_running()), seconds=5)
    leftovers = end_processes(engine_processes(root / "maxframe"), seconds=5)
    if is_locked(root):
        raise LocalCloudError(f"the local cloud of {root} could not be stopped; see {log_file(root)}")
    return was_running or leftovers > 0


def running(root: Path) -> ServerSettings | None:
    """Return the settings of the living server of ``root`` if it answers, else None."""
    if not is_locked(root):
        return None
    settings = load_settings(root)
    return settings if settings is not None and _health(settings) else None


def stats(root: Path) -> dict[str, int]:
    """Return the counters of the running server; raise LocalCloudError when none runs."""
    counters: dict[str, int] = call(require_running(root), "GET", STATS_PATH)
    return counters


def require_running(root: Path) -> ServerSettings:
    """Return the settings of the living server of ``root``; raise LocalCloudError when none answers."""
    settings = running(root)
    if settings is None:
        raise LocalCloudError(
            f"no local cloud runs on {root}. Start it: drivepipe local up --root {root}"
            if not is_locked(root)
            else f"the local cloud of {root} does not answer; see {log_file(root)}"
        )
    return settings


def connection_json(settings: ServerSettings) -> str:
    """Return the Airflow connection to a local cloud, as ``AIRFLOW_CONN_…`` holds it.

    It has the secret key in it: never log it.
    """
    return json.dumps(
        {
            "conn_type": "drivepipe",
            "host": settings.odps_endpoint,
            "login": settings.access_key_id,
            "password": settings.access_key_secret,
            "extra": {
                "project": PROJECT,
                "region": REGION,
                "oss_endpoint": settings.oss_endpoint,
                "oss_region": REGION,
                "oss_role_arn": ROLE_ARN,
                "model_project": MODEL_PROJECT,
                # Airflow warns in each task's log of values that are too short to be masked: four characters.
                "dpe_python_version": f"python{sys.version_info.major}.{sys.version_info.minor}",
            },
        }
    )


def log_file(root: Path) -> Path:
    """Return the log of the background server of ``root``."""
    return root / LOG_FILE


def _wait_for_health(root: Path, process: subprocess.Popen[bytes] | None) -> ServerSettings:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        settings = running(root)
        if settings is not None and (process is None or settings.pid == process.pid):
            return settings
        if process is not None and process.poll() is not None:
            # Someone else may have started it a moment earlier.
            if is_locked(root):
                return _wait_for_health(root, None)
            raise LocalCloudError(_last_error(root))
        if process is None and not is_locked(root):
            raise LocalCloudError(f"the local cloud of {root} has ended; see {log_file(root)}")
        time.sleep(_POLL_SECONDS)
    raise LocalCloudError(
        f"the local cloud of {root} does not answer after {_START_SECONDS:.0f} s; see {log_file(root)}"
    )


def _last_error(root: Path) -> str:
    text = "\n" + log_file(root).read_text("utf-8", errors="replace").rstrip()
    _, found, message = text.rpartition("\nerror: ")
    if found:
        return message
    last = text.rpartition("\n")[2] or "no message"
    return f"the local cloud of {root} did not start: {last} (log: {log_file(root)})"


def _health(settings: ServerSettings) -> bool:
    try:
        return bool(call(settings, "GET", HEALTH_PATH).get("pid") == settings.pid)
    except LocalCloudError:
        return False
