"""The package stands on its own: it imports nothing of Airflow, nor of what is made for it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
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


def test_requirements_are_what_is_imported() -> None:
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[<>=]", text)[0].lower() for text in project["dependencies"]}
    owners = packages_distributions()
    imported = {owners[name][0].lower() for name in _imported() if name in owners}
    # pip is run, not imported; people who import the fixtures have pytest.
    assert declared - {"pip"} == imported - {"maxcompute-local", "pytest"}


def _imported() -> set[str]:
    """Return the top-level modules that are imported anywhere in the package."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names
