"""drivepipe script: write the tasks of a scenario as plain Python files, for DataWorks and notebooks."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.driving.scripts import Script, scripts
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario


def main(arguments: Sequence[str]) -> int:
    """Write the scripts and print what they read from the environment; return 1 when that is not possible."""
    parser = argparse.ArgumentParser(prog="drivepipe script", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="scenario file")
    parser.add_argument(
        "-o",
        "--output-dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of the scripts, made if it is missing (default: the current one)",
    )
    options = parser.parse_args(arguments)
    try:
        scenario = load_scenario(options.file)
        if not isinstance(scenario, DrivingScenario):
            raise CommandError(
                f"there are no scripts for pipeline {scenario.pipeline}: its tasks gather rows of several "
                "tables and go through files beside them, which the DAG does between jobs. Scripts are for "
                "pipeline driving"
            )
        written = scripts(scenario)
        _write(written, options.output_dir)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, ConfigurationError) as error:
        print(f"drivepipe script: {error}", file=sys.stderr)
        return 1
    print("\n".join(_environment(written)))
    return 0


def _write(written: Sequence[Script], folder: Path) -> None:
    """Write all scripts, or none where one of them would replace a file of somebody else."""
    for script in written:
        path, mark = folder / script.name, script.text.partition("\n")[0]
        if path.exists() and not path.read_text("utf-8", errors="replace").startswith(mark):
            raise CommandError(
                f"{path} is there already and was not written by this command: remove it, or choose another "
                "folder with -o"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for script in written:
            (folder / script.name).write_text(script.text, "utf-8")
            print(f"wrote {folder / script.name}")
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}") from error


def _environment(written: Sequence[Script]) -> list[str]:
    """Return lines for a shell: what the scenario says first, then what its connection would."""
    settings = {setting.name: setting for script in written for setting in script.settings}
    given = [
        f"export {each.name}={shlex.quote(each.value)}"
        for each in settings.values()
        if each.value is not None
    ]
    rest = [each.name for each in settings.values() if each.value is None]
    return ["", "# What the scenario says:", *given, "# To be set as well:", f"# {' '.join(rest)}"]
