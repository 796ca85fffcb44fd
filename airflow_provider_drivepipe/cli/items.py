"""drivepipe items: write a page to read some items of a training set, with the frames at their times."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.page import (
    no_partition,
    open_partition,
    page_parser,
    write_page,
)
from airflow_provider_drivepipe.pipelines.reasoning.scenario import ReasoningScenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.stages.worker_call import PYAV_REQUIREMENT


def main(arguments: Sequence[str]) -> int:
    """Write the page; return 1 when there is nothing to show or the file cannot be written."""
    parser = page_parser("items", __doc__, "_items", "items, spread over the tasks")
    parser.epilog = (
        "The videos of these items are read from OSS, each once. The same items are shown each time."
    )
    return write_page(parser, arguments, _page)


def _page(scenario: Scenario, options: argparse.Namespace) -> str:
    from airflow_provider_drivepipe.reports.items import read_items, render

    if not isinstance(scenario, ReasoningScenario):
        raise CommandError(
            f"scenario {scenario.scenario_name} makes no items: it is not of pipeline reasoning"
        )
    if find_spec("av") is None:
        raise CommandError(
            f"frames are cut with PyAV, which is not installed: pip install '{PYAV_REQUIREMENT}'"
        )
    steps, table = plan(scenario), scenario.table("qa_items")
    hook, partition = open_partition(steps, options.partition, "items")
    columns = [column.name for column in hook.table_columns(table)[0]]
    page = read_items(
        scenario.scenario_name,
        table,
        columns,
        scenario.reasoning.quality_checks,
        partition,
        hook.execute_sql,
        hook.read_object,
        options.n,
    )
    if not page.counts:
        raise no_partition(steps, table, partition)
    return render(page)
