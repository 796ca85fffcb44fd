"""Python environments that have what functions ask for with ``with_python_requirements``.

An environment sees all that the engine's own interpreter has installed; pip adds what is missing
or has to be of another version. Each set of requirements is installed once, for all sessions.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .bootstrap import BASE_FILE

_COMPLETE_FILE = "complete.json"
_ERROR_LINES = 15


def interpreter(
    root: Path,
    requirements: Sequence[str],
    *,
    environment: Mapping[str, str],
    say: Callable[[str], object],
    log: Callable[[str], object],
) -> Path:
    """Return the interpreter of an environment that meets requirements, after building it where needed.

    :param root: folder of all environments.
    :param environment: environment variables of pip, such as its settings and proxies.
    :param say: is told when installing begins, for it can take minutes.
    :param log: is told all that pip says.

    It is in use until this process has ended, and all that inherit its files: see :func:`purge`.

    Raises ImportError with pip's message when that fails. Others that want the same one wait meanwhile.
    """
    wanted = sorted(set(requirements))
    folder = root / _name(wanted)
    root.mkdir(exist_ok=True, mode=0o700)
    lock = os.open(_lock_file(folder), os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(lock, True)
    while True:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if (folder / _COMPLETE_FILE).exists():
            os.utime(folder / _COMPLETE_FILE)
            return folder / "bin" / "python"
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _COMPLETE_FILE).exists():
            say(f"installing Python requirements: {', '.join(wanted)}")
            shutil.rmtree(folder, ignore_errors=True)
            try:
                log(_build(folder, wanted, environment))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                raise
            (folder / _COMPLETE_FILE).write_text(json.dumps({"requirements": wanted}), encoding="utf-8")


def purge(root: Path, moment: float, *, keep: Path) -> None:
    """Delete environments that were last asked for before a time and that no process uses.

    :param keep: an interpreter; the environment that it belongs to stays.
    """
    for complete in root.glob(f"*/{_COMPLETE_FILE}"):
        if complete.stat().st_mtime >= moment or complete.parent in keep.parents:
            continue
        lock = os.open(_lock_file(complete.parent), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            complete.unlink()
            shutil.rmtree(complete.parent)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _name(requirements: Sequence[str]) -> str:
    """Return a name for requirements on top of this interpreter and what it has installed right now."""
    packages = Path(sysconfig.get_path("purelib"))
    identity = [sys.version, str(packages), packages.stat().st_mtime_ns, *requirements]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _build(folder: Path, requirements: Sequence[str], environment: Mapping[str, str]) -> str:
    """Make an environment; return what pip said."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python*/site-packages"))
    own = Path(sysconfig.get_path("purelib"))
    # This interpreter may have a base itself; Python does not look for .pth files there.
    base = (own / BASE_FILE).read_text(encoding="utf-8") if (own / BASE_FILE).exists() else ""
    packages.joinpath(BASE_FILE).write_text(f"{own}\n{base}", encoding="utf-8")
    command = [sys.executable, "-I", "-m", "pip", "--python", str(python), "install", "--no-input"]
    # Outside the job's folder, where a file of the user could pass for a requirement.
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--no-warn-script-location", "--", *requirements],
        cwd=folder,
        env={**environment, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.strip().splitlines()[-_ERROR_LINES:])
        raise ImportError(
            f"Python requirements could not be installed ({', '.join(requirements)}). pip, with this "
            f"machine's settings, said:\n{last}"
        )
    return done.stdout
