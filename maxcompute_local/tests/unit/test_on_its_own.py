"""The package stands on its own: it imports nothing of Airflow, nor of what is made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import maxcompute_local

PACKAGE = Path(maxcompute_local.__file__).parent


def test_no_module_needs_airflow() -> None:
    """Import every module where Airflow and everything of its name is refused."""
    script = """if True:
        import importlib, pkgutil, sys
        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0].startswith("airflow"):
                    raise ImportError(name)
        sys.meta_path.insert(0, Refuse())
        import maxcompute_local
        for module in pkgutil.walk_packages(maxcompute_local.__path__, "maxcompute_local."):
            if not module.name.endswith(".bootstrap"):
                importlib.import_module(module.name)
    """
    subprocess.run([sys.executable, "-c", script], check=True)


def test_nothing_is_named_after_a_user_of_it() -> None:
    named = [path for path in PACKAGE.rglob("*.py") if "drivepipe" in path.read_text("utf-8")]
    assert named == []
