"""What the README shows, as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maxcompute_local import lifecycle

README = Path(__file__).parents[2] / "README.md"


def blocks(heading: str, kind: str) -> list[str]:
    section = README.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [text for its_kind, text in found if its_kind == kind]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "cloud"
    lifecycle.up(root, odps_port=0, oss_port=0)
    yield root
    lifecycle.down(root)


def test_the_ten_lines(root: Path, tmp_path: Path) -> None:
    (shell,), (python,), (expected,) = (blocks("Ten lines", kind) for kind in ("sh", "python", ""))
    (tmp_path / "example.py").write_text(python)
    # The server of this test runs already, on ports of its own.
    env = shell.replace("pip install maxcompute-local\nmaxcompute-local up\n", "")
    command = shlex.join([sys.executable, "-m", "maxcompute_local.cli"])
    env = env.replace("maxcompute-local env", f"{command} env --root {shlex.quote(str(root))}")
    assert env.startswith('eval "$(' + command)
    done = subprocess.run(
        ["sh", "-c", f"{env}\n{shlex.join([sys.executable, 'example.py'])}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected


def test_the_fixtures(tmp_path: Path) -> None:
    conftest, tests = blocks("In your tests", "python")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_mine.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout
