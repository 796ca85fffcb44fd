"""Old Python environments are deleted, never one in use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maxcompute_local.maxframe.engine import environments

WANTED = ["packaging"]
_ASK = f"""
import sys
from pathlib import Path
from maxcompute_local.maxframe.engine import environments
python = environments.interpreter(Path(sys.argv[1]), {WANTED!r}, environment={{}}, say=print, log=print)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with an environment that looks complete and is a day old."""
    folder = tmp_path / environments._name(WANTED)
    folder.mkdir()
    complete = folder / "complete.json"
    complete.write_text("{}")
    os.utime(complete, (1000, 1000))
    return tmp_path


def left(root: Path) -> int:
    return len(list(root.glob("[!.]*")))


def test_old_environment_goes(root: Path) -> None:
    environments.purge(root, 999, keep=Path(sys.executable))
    assert left(root) == 1
    environments.purge(root, 1001, keep=Path(sys.executable))
    assert left(root) == 0


def test_the_one_to_keep_stays(root: Path) -> None:
    (folder,) = root.glob("[!.]*")
    environments.purge(root, 1001, keep=folder / "bin" / "python")
    assert left(root) == 1


def test_use_makes_it_young(root: Path) -> None:
    subprocess.run([sys.executable, "-c", _ASK, str(root)], check=True)
    environments.purge(root, 1001, keep=Path(sys.executable))
    assert left(root) == 1


def test_process_that_became_another_program_keeps_it_in_use(root: Path) -> None:
    become = "import os; os.utime(python.parents[1] / 'complete.json', (1, 1)); os.execv('/bin/cat', ['cat'])"
    with subprocess.Popen(
        [sys.executable, "-c", f"{_ASK}\nprint('in use', flush=True)\n{become}", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as user:
        assert user.stdin
        assert user.stdout
        assert user.stdout.readline() == b"in use\n"
        user.stdin.write(b"a program\n")
        user.stdin.flush()
        assert user.stdout.readline() == b"a program\n"
        environments.purge(root, 1001, keep=Path(sys.executable))
        assert left(root) == 1
        user.stdin.close()
        user.wait()
    environments.purge(root, 1001, keep=Path(sys.executable))
    assert left(root) == 0
