"""drivepipe frames: write a contact sheet, a page with a partition's frames, labels and failures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.page import (
    no_partition,
    open_partition,
    page_parser,
    write_page,
)
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.model import Scenario


def main(arguments: Sequence[str]) -> int:
    """Write the page; return 1 when there is nothing to show or the file cannot be written."""
    return write_page(page_parser("frames", __doc__), arguments, _page)


def _page(scenario: Scenario, options: argparse.Namespace) -> str:
    from airflow_provider_drivepipe.reports.contact_sheet import IMAGE_COLUMNS, read_sheet, render

    steps = plan(scenario)
    hook, partition = open_partition(steps, options.partition, "frames")
    task = steps.tasks[-1]
    table = task.output_table.name
    columns = [column.name for column in hook.table_columns(table)[0]]
    if not {*IMAGE_COLUMNS} & {*columns}:
        raise CommandError(f"table {table} of scenario {steps.scenario} names no images")
    sheet = read_sheet(steps.scenario, task, columns, partition, hook.execute_sql, hook.read_object)
    if not sheet.groups:
        raise no_partition(steps, table, partition)
    return render(sheet)
