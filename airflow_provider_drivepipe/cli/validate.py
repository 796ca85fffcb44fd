"""drivepipe validate: check scenario files and report every mistake with its line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_drivepipe.scenario.clashes import Clashes
from airflow_provider_drivepipe.scenario.loading import ScenarioError, load_scenario, scenario_files


def main(arguments: Sequence[str]) -> int:
    """Check files and folders; return 0 when all are good, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="drivepipe validate", description=__doc__)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="scenario file, or folder of them"
    )
    options = parser.parse_args(arguments)
    bad = 0
    clashes = Clashes()
    for path in _expand(options.files):
        try:
            scenario = load_scenario(path)
            clashes.check(path, scenario)
        except ScenarioError as error:
            bad += len(error.problems)
            print(error, file=sys.stderr)
        else:
            print(f"{path}: ok, DAG {scenario.dag_id}")
    if bad:
        print(f"{bad} problem{'s' if bad > 1 else ''}", file=sys.stderr)
    return 1 if bad else 0


def _expand(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (scenario_files(path) if path.is_dir() else [path])]
