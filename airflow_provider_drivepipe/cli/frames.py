"""drivepipe frames: write a contact sheet, a page with a partition's frames, labels and failures."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan


def main(arguments: Sequence[str]) -> int:
    """Write the page; return 1 when there is nothing to show or the file cannot be written."""
    parser = argparse.ArgumentParser(prog="drivepipe frames", description=__doc__)
    parser.add_argument("file", type=Path, metavar="SCENARIO", help="scenario file")
    parser.add_argument("partition", metavar="PARTITION", help="partition value, for example 20261120")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: <scenario>_<partition>.html here"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    options = parser.parse_args(arguments)
    try:
        steps = plan(load_scenario(options.file))
        output: Path = options.output or Path(f"{steps.scenario}_{options.partition}.html")
        output.write_text(_page(steps, options.partition), "utf-8")
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, DrivepipeError) as error:
        print(f"drivepipe frames: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"drivepipe frames: {output} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {output}")
    if options.open:
        webbrowser.open(output.absolute().as_uri())
    return 0


def _page(steps: Plan, value: str) -> str:
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what is printed here is to be read.
        from airflow_provider_drivepipe.cli.command_hook import CommandHook
    from airflow_provider_drivepipe.cli.contact_sheet import IMAGE_COLUMNS, read_sheet, render

    try:
        partition = PartitionSpec(steps.partition.columns, (value, *steps.partition.fixed_values))
    except ValueError as error:
        raise CommandError(str(error)) from error
    hook = CommandHook(steps.conn_id, run_identity="drivepipe frames")
    table = steps.tasks[-1].output_table.name
    columns = [column.name for column in hook.table_columns(table)[0]]
    if not {*IMAGE_COLUMNS} & {*columns}:
        raise CommandError(f"table {table} of scenario {steps.scenario} names no images")
    sheet = read_sheet(steps.scenario, table, columns, partition, hook.execute_sql, hook.read_object)
    if not sheet.counts:
        raise CommandError(
            f"table {table} has no partition {partition.path()}: run DAG {steps.dag_id} for it first"
        )
    return render(sheet)
