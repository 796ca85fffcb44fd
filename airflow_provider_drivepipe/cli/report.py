"""drivepipe report: write the report of a partition: what happened, what is odd, and pictures to look at."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from airflow_provider_drivepipe.cli.page import no_partition, open_partition, page_parser, write_page
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.model import Scenario


def main(arguments: Sequence[str]) -> int:
    """Write the page; return 1 when there is nothing to show or the file cannot be written."""
    return write_page(page_parser("report", __doc__, "_report"), arguments, _page)


def _page(scenario: Scenario, options: argparse.Namespace) -> str:
    from airflow_provider_drivepipe.reports.run_report import read_report, render
    from airflow_provider_drivepipe.stages.graph import who_answers

    steps = plan(scenario)
    hook, partition = open_partition(steps, options.partition, "report")
    models = {}
    try:
        with hook.errors():
            models = who_answers(hook.odps, hook.model_project(), steps.models) if steps.models else {}
    except DrivepipeError as error:
        # A partition outlives its models.
        print(f"drivepipe report: cost is left out, for models cannot be looked up: {error}", file=sys.stderr)
    report = read_report(steps, partition, hook, models)
    if report is None:
        raise no_partition(steps, steps.tasks[-1].output_table.name, partition)
    return render(report, datetime.now(UTC))
