"""drivepipe query: run one SQL statement through the Airflow connection and print what it gives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.text_table import table
from airflow_provider_drivepipe.exceptions import DrivepipeError

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

_CELL = 60
"""Characters of a value that a terminal shows."""
_TYPES_WITH_ROWS = ("select", "with")


def main(arguments: Sequence[str]) -> int:
    """Run a statement; return 1 when it fails."""
    parser = argparse.ArgumentParser(
        prog="drivepipe query",
        description=__doc__,
        epilog="A terminal gets a table with long values cut, a pipe gets whole values between tabs.",
    )
    parser.add_argument("sql", metavar="SQL", help="the statement, in quotes")
    parser.add_argument("--conn-id", default="drivepipe_default", metavar="ID", help="Airflow connection")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="rows to print (default: 100)")
    options = parser.parse_args(arguments)
    try:
        with redirect_stdout(sys.stderr):
            # Airflow's log goes where stdout is when Airflow is imported; what is printed here is to be read.
            from airflow_provider_drivepipe.cli.command_hook import CommandHook
        _run(CommandHook(options.conn_id, run_identity="drivepipe query"), options.sql, options.limit)
    except (CommandError, DrivepipeError) as error:
        print(f"drivepipe query: {error}", file=sys.stderr)
        return 1
    return 0


def _run(hook: DrivepipeHook, sql: str, limit: int) -> None:
    statement = sql.strip().rstrip(";")
    with hook.errors():
        instance = hook.odps.execute_sql(statement)
        if not statement.lower().startswith(_TYPES_WITH_ROWS):
            with instance.open_reader(tunnel=False) as reader:
                print(str(reader.raw or "done").rstrip())
            return
        with instance.open_reader(tunnel=True) as reader:
            names = [column.name for column in reader.schema.columns]
            rows = [[_text(value) for value in record.values] for record in reader[:limit]]
            total = int(reader.count)
    if not sys.stdout.isatty():
        print("\n".join("\t".join(row) for row in [names, *rows]))
    else:
        print(table(names, [[_cut(cell) for cell in row] for row in rows]))
    print(f"{len(rows)} of {total} rows" if total > len(rows) else f"{total} rows", file=sys.stderr)


def _text(value: Any) -> str:
    return "NULL" if value is None else " ".join(str(value).split())


def _cut(text: str) -> str:
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
