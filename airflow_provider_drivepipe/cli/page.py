"""What commands have in common that write a page of a partition: one HTML file that needs nothing else."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.reports.page import DEFAULT_COUNT
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

_MOST = 100


def page_parser(
    command: str, description: str | None, ending: str = "", some: str = ""
) -> argparse.ArgumentParser:
    """Return the parser of a command.

    :param ending: of the page's name unless ``--output`` is given.
    :param some: what ``-n`` counts; empty for a page that has no such option.
    """
    parser = argparse.ArgumentParser(prog=f"drivepipe {command}", description=description)
    parser.add_argument("file", type=Path, metavar="SCENARIO", help="scenario file")
    parser.add_argument("partition", metavar="PARTITION", help="partition value, for example 20261120")
    parser.add_argument(
        *("-o", "--output"),
        type=Path,
        metavar="FILE",
        help=f"default: <scenario>_<partition>{ending}.html here",
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    if some:
        parser.add_argument(
            "-n", type=_count, default=DEFAULT_COUNT, metavar="N", help=f"{some} (default: {DEFAULT_COUNT})"
        )
    parser.set_defaults(ending=ending)
    return parser


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= _MOST:
        raise argparse.ArgumentTypeError(f"1 to {_MOST} fit a page")
    return count


def write_page(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    make: Callable[[Scenario, argparse.Namespace], str],
) -> int:
    """Write the page that ``make`` makes; return 1 when there is nothing to show or it cannot be written."""
    options = parser.parse_args(arguments)
    try:
        scenario = load_scenario(options.file)
        name = f"{scenario.scenario_name}_{options.partition}{options.ending}.html"
        output: Path = options.output or Path(name)
        output.write_text(make(scenario, options), "utf-8")
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, DrivepipeError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{parser.prog}: {output} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {output}")
    if options.open:
        webbrowser.open(output.absolute().as_uri())
    return 0


def open_partition(steps: Plan, value: str, command: str) -> tuple[DrivepipeHook, PartitionSpec]:
    """Return a hook and the partition; raise CommandError without a connection, or for a wrong value."""
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what is printed here is to be read.
        from airflow_provider_drivepipe.cli.command_hook import CommandHook

    try:
        partition = PartitionSpec(steps.partition.columns, (value, *steps.partition.fixed_values))
    except ValueError as error:
        raise CommandError(str(error)) from error
    return CommandHook(steps.conn_id, run_identity=f"drivepipe {command}"), partition


def no_partition(steps: Plan, table: str, partition: PartitionSpec) -> CommandError:
    """Return what is said of a partition without rows."""
    return CommandError(
        f"table {table} has no partition {partition.path()}: run DAG {steps.dag_id} for it first"
    )
