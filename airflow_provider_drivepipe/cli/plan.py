"""drivepipe plan: print the tasks, tables, columns and models of a scenario."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_drivepipe.scenario.describe import plan_text
from airflow_provider_drivepipe.scenario.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.scenario.partition import check_partition_value
from airflow_provider_drivepipe.scenario.plan import plan


def main(arguments: Sequence[str]) -> int:
    """Print a plan; return 1 when the scenario or the partition is not valid."""
    parser = argparse.ArgumentParser(prog="drivepipe plan", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="scenario file")
    parser.add_argument("--partition", metavar="VALUE", help="partition value, for example 20261120")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.partition:
            check_partition_value(options.partition)
        steps = plan(load_scenario(options.file))
    except (ScenarioError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({**steps.to_json(), "partition_value": options.partition}, indent=2))
    else:
        print(plan_text(steps, options.partition))
    return 0
