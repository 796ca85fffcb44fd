"""drivepipe schema: write <scenario>_schema.sql, the tables of a scenario as CREATE TABLE statements."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from airflow_provider_drivepipe.cli.documents import add_document_options, put_document
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.documents.schema_sql import schema_sql
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan

_MARK = "-- Written by drivepipe schema, which writes it anew: changes here are lost."
_COLUMN = re.compile(r"([a-z_][a-z0-9_]*)\s+([a-z][a-z0-9_<>(),: ]*)")


def main(arguments: Sequence[str]) -> int:
    """Write or print the statements; return 1 when the scenario is not valid or there is no writing."""
    parser = argparse.ArgumentParser(prog="drivepipe schema", description=__doc__)
    add_document_options(parser)
    parser.add_argument(
        "--source-columns",
        type=_read_columns,
        metavar="COLUMNS",
        help="all columns of the input table but its partition columns, for a scenario that starts from a "
        "table: they travel through. For example 'video_path string, trip string'",
    )
    options = parser.parse_args(arguments)
    try:
        scenario = load_scenario(options.file)
        text = schema_sql(plan(scenario), options.source_columns)
        put_document(options, f"{scenario.scenario_name}_schema.sql", _MARK, text)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, ConfigurationError) as error:
        print(f"drivepipe schema: {error}", file=sys.stderr)
        return 1
    return 0


def _read_columns(text: str) -> tuple[Column, ...]:
    """Read ``name type, name type``; commas inside of ``<…>`` and ``(…)`` belong to a type."""
    columns: dict[str, Column] = {}
    for part in _split(text.lower()):
        match = _COLUMN.fullmatch(part)
        if match is None:
            raise argparse.ArgumentTypeError(f"{part!r} is not a column: give a name and a type")
        if match[1] in columns:
            raise argparse.ArgumentTypeError(f"column {match[1]} is there twice")
        columns[match[1]] = Column(match[1], match[2].strip())
    return tuple(columns.values())


def _split(text: str) -> list[str]:
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
