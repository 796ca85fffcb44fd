"""The provider's wheel in an Airflow that holds what the wheel requires and no more, so no local cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from airflow_provider_drivepipe.cli.main import NEED_LOCAL_CLOUD

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_drivepipe"
NAME = "airflow-provider-drivepipe"
ONLY_WITH_LOCAL_CLOUD = {
    f"{PACKAGE}.cli.{name}"
    for name in ("demo", "demo_data", "demo_qa", "demo_reasoning", "demo_run", "up", "up_dags")
}
"""The code of NEED_LOCAL_CLOUD, imported after the command has looked for the local cloud."""


@dataclass(frozen=True)
class Clean:
    """A virtual environment with the wheel, and an Airflow home beside it."""

    folder: Path

    def bin(self, name: str) -> Path:
        return self.folder / "bin" / name

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command away from this checkout."""
        settings = {"AIRFLOW_HOME": str(self.folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        environment = os.environ | settings
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def output(self, *arguments: str) -> str:
        """Return what Python prints; AssertionError with its errors when it fails."""
        done = self.run(self.bin("python"), "-I", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def airflow(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.output("-m", "airflow", *arguments, "--output", "json"))
        return rows


def pip(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)


def required_by(distribution: metadata.Distribution) -> set[str]:
    """Return the names of all that a distribution requires, and what those require, without extras."""
    seen: set[tuple[str, str]] = set()
    todo = [(distribution, "")]
    while todo:
        requiring, extra = todo.pop()
        for requirement in map(Requirement, requiring.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                new = {(requirement.name, extra) for extra in ("", *requirement.extras)} - seen
                seen |= new
                todo += [(metadata.distribution(name), extra) for name, extra in new]
    return {name for name, _ in seen}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """Install the wheel, and link what it requires from the environment of these tests."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)
    pip("--python", folder / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    [installed] = metadata.distributions(name=NAME, path=[str(site)])
    for name in required_by(installed):
        required = metadata.distribution(name)
        for top in {file.parts[0] for file in required.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(required.locate_file(top)))
    return Clean(folder)


def test_every_file_of_the_package_and_every_example_is_in_it(
    wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    for source, place in ((ROOT / PACKAGE, PACKAGE), (ROOT / "dags", f"{PACKAGE}/examples")):
        files = [file for file in source.rglob("[!.]*.*") if file.suffix != ".pyc"]
        assert files
        assert {f"{place}/{file.relative_to(source).as_posix()}" for file in files} <= set(held)
    lines = sum(content.count(b"\n") for name, content in held.items() if name.endswith(".py"))
    with capsys.disabled():
        sys.stdout.write(f"\n{wheel.name}: {wheel.stat().st_size:,} bytes, {lines:,} lines of Python\n")


def test_every_module_imports_without_the_local_cloud(clean: Clean) -> None:
    code = f"""
import importlib, pkgutil, {PACKAGE} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name != "maxcompute_local":
            raise
        print(module.name)
"""
    assert set(clean.output("-c", code).split()) == ONLY_WITH_LOCAL_CLOUD


@pytest.mark.parametrize("command", sorted(NEED_LOCAL_CLOUD))
def test_without_the_local_cloud_a_command_says_what_to_install(clean: Clean, command: str) -> None:
    (clean.folder / "maxcompute_local").mkdir(exist_ok=True)  # a folder of that name is no package
    done = clean.run(clean.bin("python"), "-m", f"{PACKAGE}.cli.main", command, "--help")
    assert done.returncode == 1
    assert f"pip install '{NAME}[local]'" in done.stderr


def test_airflow_lists_provider_connection_type_and_plugin(clean: Clean) -> None:
    assert NAME in [row["package_name"] for row in clean.airflow("providers", "list")]
    [hook] = [row for row in clean.airflow("providers", "hooks") if row["package_name"] == NAME]
    assert (hook["connection_type"], hook["class"]) == ("drivepipe", f"{PACKAGE}.hooks.checks.ConnectionHook")
    assert "drivepipe" in [row["name"] for row in clean.airflow("plugins")]


def test_the_examples_in_it_parse(clean: Clean) -> None:
    copied = clean.run(clean.bin("drivepipe"), "examples", "copy", "dags")
    assert copied.returncode == 0, copied.stderr
    code = """
import json
from airflow.dag_processing.dagbag import DagBag
parsed = DagBag("dags")
print(json.dumps([parsed.import_errors, sorted(parsed.dags)]))
"""
    errors, dags = json.loads(clean.output("-c", code).splitlines()[-1])
    assert errors == {}
    scenarios = [f"drivepipe_{file.stem}" for file in (ROOT / "dags" / "scenarios").iterdir()]
    by_hand = [file.stem for file in (ROOT / "dags").glob("*by_hand.py")]
    assert dags == sorted([*scenarios, *by_hand, "weekly_training_set"])
