"""A self-contained Airflow for one person on one machine: its folder, its secrets, its environment.

A PostgreSQL of its own, four tasks at a time, everything bound to loopback, nothing taken from the user's own
Airflow.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.postgres import Postgres

DEFAULT_HOME = Path(".drivepipe") / "airflow"
DEFAULT_API_PORT = 8088
HOST = "127.0.0.1"
USER = "admin"

_SECRETS_FILE = "secrets.json"
_PASSWORDS_FILE = "passwords.json"
_MIGRATED_FILE = "migrated"
_MIGRATION_LOG = "migrate.log"
_LOCAL_SETTINGS = '''"""Loads what every task imports once: task processes are forked from the scheduler."""

import sys

if "scheduler" in sys.argv:
    import alibabacloud_oss_v2
    import maxframe.dataframe
    import maxframe_client
    import odps
'''
_LOGGING_CONFIG = "airflow_provider_drivepipe.cli.airflow_logging.LOGGING_CONFIG"


@dataclass(frozen=True)
class AirflowHome:
    """An ``AIRFLOW_HOME`` and how to run Airflow in it.

    :param path: the folder; made by :meth:`prepare`.
    :param dags: the folder with DAG files.
    :param connections: environment variables ``AIRFLOW_CONN_…``.
    """

    path: Path
    dags: Path
    connections: Mapping[str, str]
    api_port: int = DEFAULT_API_PORT

    @property
    def url(self) -> str:
        """Address of the UI."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def database(self) -> Postgres:
        """Where Airflow keeps what it knows."""
        return Postgres(database_folder(self.path))

    @property
    def logs(self) -> Path:
        """Folder of task logs."""
        return self.path / "logs"

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> Path:
        """Return the file of the log of a task's first try, in Airflow's own layout."""
        return self.logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}" / "attempt=1.log"

    def prepare(self) -> None:
        """Make the folder and its secrets, and start its database. Raises CommandError when that fails."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._secrets()
        write_local_settings(self.path)
        self.database.start()
        # In the folder of the data, with which it comes and goes.
        stamp = self.database.folder / _MIGRATED_FILE
        wanted = version("apache-airflow")
        if stamp.exists() and stamp.read_text() == wanted:
            return
        log = self.path / _MIGRATION_LOG
        command, environment = self.command("db", "migrate"), self.environment()
        with log.open("wb") as output:
            code = subprocess.call(command, env=environment, stdout=output, stderr=output)
        if code != 0:
            raise CommandError(f"'airflow db migrate' failed with exit code {code}; see {log}")
        stamp.write_text(wanted)

    def command(self, *arguments: str) -> list[str]:
        """Return an ``airflow`` command of this interpreter's environment."""
        return [sys.executable, "-m", "airflow", *arguments]

    def password(self) -> str:
        """Return the password of :data:`USER`, generated once."""
        passwords: dict[str, str] = json.loads((self.path / _PASSWORDS_FILE).read_text("utf-8"))
        return passwords[USER]

    def environment(self) -> dict[str, str]:
        """Return the environment of every Airflow process. It holds secrets: never log it."""
        kept = self._secrets()
        own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__FERNET_KEY": kept["fernet_key"],
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.path / _PASSWORDS_FILE),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__TEST_CONNECTION": "Enabled",
            "OPERATORS__DEFAULT_DEFERRABLE": "True",
            "DATABASE__SQL_ALCHEMY_CONN": self.database.url,
            "API__HOST": HOST,
            "API__PORT": str(self.api_port),
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": kept["api_secret_key"],
            "API_AUTH__JWT_SECRET": kept["jwt_secret"],
            "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "LOGGING__BASE_LOG_FOLDER": str(self.logs),
            "LOGGING__LOGGING_CONFIG_CLASS": _LOGGING_CONFIG,
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {
            **own,
            "AIRFLOW_HOME": str(self.path),
            **self.connections,
            # The local cloud is on loopback; proxies of the environment are for the outside.
            "NO_PROXY": _no_proxy(own),
            "no_proxy": _no_proxy(own),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        }

    def _secrets(self) -> dict[str, str]:
        path = self.path / _SECRETS_FILE
        if not path.exists():
            _write_private(
                path,
                {
                    "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                    "jwt_secret": secrets.token_hex(32),
                    "api_secret_key": secrets.token_hex(32),
                },
            )
        if not (self.path / _PASSWORDS_FILE).exists():
            _write_private(self.path / _PASSWORDS_FILE, {USER: secrets.token_urlsafe(12)})
        values: dict[str, str] = json.loads(path.read_text("utf-8"))
        return values

    def secret_values(self) -> list[str]:
        """Return every secret of this Airflow, for checks that none of them shows anywhere."""
        return [*self._secrets().values(), self.password(), self.database.password]


def database_folder(home: Path) -> Path:
    """Return the folder of an Airflow's database."""
    return home / "postgres"


def write_local_settings(home: Path) -> None:
    """Have a scheduler of this ``AIRFLOW_HOME`` load what its tasks import."""
    folder = home / "config"
    folder.mkdir(exist_ok=True)
    (folder / "airflow_local_settings.py").write_text(_LOCAL_SETTINGS, "utf-8")


def find_dags(given: Path | None, file: str = "") -> Path:
    """Return the folder of DAGs: the one given, ``./dags``, or the examples of this package.

    :param file: what the folder has to hold.

    Raises CommandError when the folder that was given is not there, or does not hold the file.
    """
    folder = given or Path("dags")
    if (folder / file).exists():
        return folder.absolute()
    if given:
        raise CommandError(f"{given} has no {file}" if file else f"there is no folder {given}")
    return find_examples()


def find_examples() -> Path:
    """Return the example DAGs: within the package in a wheel, beside it in a clone of the repository."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "examples", package.parent / "dags"):
        if (folder / "scenarios").is_dir():
            return folder
    raise CommandError(f"this installation has no examples: {package} was built without them")


def _write_private(path: Path, value: dict[str, str]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file)


def _no_proxy(environment: dict[str, str]) -> str:
    given = environment.get("NO_PROXY") or environment.get("no_proxy")
    return ",".join([*([given] if given else []), HOST, "localhost"])
