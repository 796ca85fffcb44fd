"""docker-compose.yaml without containers: the same commands and environments, as processes on loopback."""

from __future__ import annotations

import base64
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_drivepipe.cli.airflow_home import database_folder
from airflow_provider_drivepipe.cli.postgres import Postgres, free_port
from tests.system.component import Component
from tests.system.watchdog import AIRFLOW, RUN

ROOT = Path(__file__).parents[2]
_HOST = "127.0.0.1"
_CLOUD_HOST = "127.0.0.2"
_REFERENCE = re.compile(r"\$\{(\w+):\?[^}]*\}|\$\$")
_HEALTHY_SECONDS = 180.0
_PAUSE_SECONDS = 0.3


def compose_file() -> dict[str, Any]:
    """Return docker-compose.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text("utf-8"))
    return found


def env_names() -> list[str]:
    """Return the variables of ``.env.example`` that have to be filled in."""
    return re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)


class Compose:
    """Runs services of docker-compose.yaml in a folder; hosts, ports and paths of containers become its own.

    :param more: variables that every service gets beside those of the file.
    """

    def __init__(self, folder: Path, more: Mapping[str, str]) -> None:
        self.home = folder / "opt"
        for name in ("dags", "logs", "auth"):
            (self.home / name).mkdir(parents=True)
        self._services = compose_file()["services"]
        self._run = folder / RUN
        self._run.mkdir()
        self._database = Postgres(database_folder(folder / AIRFLOW))
        self._database.start()
        self.api_port, redis, health = free_port(), free_port(), free_port()
        self._component("redis").start(
            [str(Path(sys.executable).with_name("redis-server")), "--port", str(redis), "--bind", _HOST], {}
        )
        self.values = {name: secrets.token_hex(16) for name in env_names()}
        self.values["POSTGRES_PASSWORD"] = self._database.password
        self.values["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        database = self._database.url.rpartition("@")[2]
        self._places = {
            "postgres:5432/airflow": database,
            "redis:6379": f"{_HOST}:{redis}",
            "airflow-apiserver:8080": f"{_HOST}:{self.api_port}",
            "localhost:8080": f"{_HOST}:{self.api_port}",
            "localhost:8974": f"{_HOST}:{health}",
            "172.28.86.10": _CLOUD_HOST,
            "/opt/airflow": str(self.home),
            "/var/lib/drivepipe": str(folder / "cloud-state"),
        }
        self._more = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            # What the image and the container say.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.home),
            "HOSTNAME": socket.gethostname(),
            # Containers have ports of their own.
            "AIRFLOW__API__PORT": str(self.api_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(health),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            **more,
        }

    def start(self, *names: str) -> None:
        """Start services."""
        for name in names:
            self._component(name).start(self._command(name), self.environment(name))

    def complete(self, name: str) -> None:
        """Run a service that ends. Raises AssertionError when it fails."""
        self.run(name, self._command(name))

    def wait_until_healthy(self, *names: str) -> None:
        """Wait until the health checks of services pass. Raises AssertionError when they do not."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._wait_until_healthy, names))

    def _wait_until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + _HEALTHY_SECONDS
        kind, *words = self._services[name]["healthcheck"]["test"]
        words = [self._here(word) for word in words]
        command = ["bash", "-c", *words] if kind == "CMD-SHELL" else words
        while (said := self._try(name, command)) is not None:
            log = self.log(name)[-3000:]
            assert self._component(name).alive(), f"{name} has ended:\n{log}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {said}\n{log}"
            time.sleep(_PAUSE_SECONDS)

    def run(self, name: str, command: list[str]) -> None:
        """Run a command in the environment of a service. Raises AssertionError when it fails."""
        said = self._try(name, command)
        assert said is None, f"{name}: {said}"

    def log(self, name: str) -> str:
        """Return what a service has said."""
        return self._component(name).log.read_text("utf-8")

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service. It holds secrets: never log it."""
        given = self._services[name]["environment"]
        return {**self._more, **{key: self._here(value) for key, value in given.items() if value is not None}}

    def _command(self, name: str) -> list[str]:
        return [self._here(word) for word in self._services[name]["command"]]

    def _here(self, text: str) -> str:
        """Return a text of the file as it is here: filled in, and with hosts and paths replaced."""
        text = _REFERENCE.sub(lambda match: self.values[match[1]] if match[1] else "$", text)
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def _try(self, name: str, command: list[str]) -> str | None:
        done = subprocess.run(
            command,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return None if done.returncode == 0 else f"{done.stdout[-2000:]}{done.stderr[-2000:]}"

    def _component(self, name: str) -> Component:
        return Component(name, self._run)
