"""The drivepipe command without running anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_drivepipe.cli.main import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["lokal"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "usage: drivepipe" in captured.out + captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"drivepipe {command}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from airflow_provider_drivepipe.cli.main import main; main(['--help']); "
        "print([m for m in ('airflow', 'pandas', 'odps', 'starlette', 'pydantic') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


WITHOUT_LOCAL_CLOUD = """
import importlib, pkgutil, sys
sys.path[:] = [path for path in sys.path if "maxcompute_local" not in path]
import airflow_provider_drivepipe as package
from airflow_provider_drivepipe.cli import main
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.rpartition(".")[2] not in ("demo", "demo_data", "up", "up_dags"):  # theirs alone
        importlib.import_module(module.name)
assert "maxcompute_local" not in sys.modules
assert main.main(["validate", sys.argv[1]]) == 0
print([main.main([command, "--help"]) for command in sorted(main.NEED_LOCAL_CLOUD)])
"""


def test_without_the_local_cloud_commands_say_what_to_install() -> None:
    scenario = Path(__file__).parents[2] / "dags" / "scenarios" / "driving_demo.yaml"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOCAL_CLOUD, str(scenario)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[1, 1, 1, 1]\n")
    assert done.stderr.count("pip install 'airflow-provider-drivepipe[local]'") == 4
