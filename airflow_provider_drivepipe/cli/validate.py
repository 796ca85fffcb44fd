"""drivepipe validate: check scenario files and report every mistake with its line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.clashes import Clashes
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario, scenario_files
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.model import Scenario

if TYPE_CHECKING:
    from airflow_provider_drivepipe.cli.online import OnlineLookup


def main(arguments: Sequence[str]) -> int:
    """Check files and folders; return 0 when all are good, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="drivepipe validate", description=__doc__)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="scenario file, or folder of them"
    )
    parser.add_argument(
        "--online",
        action="store_true",
        help="look up bucket, tables, models and role, too, through each scenario's Airflow connection",
    )
    options = parser.parse_args(arguments)
    lookup = _lookup() if options.online else None
    bad = 0
    clashes = Clashes()
    for path in _expand(options.files):
        try:
            scenario = load_scenario(path)
            clashes.check(path, scenario, plan(scenario))
        except ScenarioError as error:
            bad += len(error.problems)
            print(error, file=sys.stderr)
        else:
            wrong = _look_up(lookup, scenario) if lookup else []
            bad += len(wrong)
            for text in wrong:
                print(f"{path}: {text}", file=sys.stderr)
            if not wrong:
                print(f"{path}: ok, DAG {scenario.dag_id}")
    if bad:
        print(f"{bad} problem{'s' if bad > 1 else ''}", file=sys.stderr)
    return 1 if bad else 0


def _lookup() -> OnlineLookup:
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what this command prints is to be read.
        from airflow_provider_drivepipe.cli.online import OnlineLookup
    return OnlineLookup()


def _look_up(lookup: OnlineLookup, scenario: Scenario) -> list[str]:
    try:
        return lookup.problems(plan(scenario))
    except (CommandError, DrivepipeError) as error:
        return [str(error)]


def _expand(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (scenario_files(path) if path.is_dir() else [path])]
