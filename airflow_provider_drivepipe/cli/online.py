"""What ``drivepipe validate --online`` looks up: whether what a scenario names is there."""

from __future__ import annotations

import sys
from dataclasses import replace

from airflow_provider_drivepipe.cli.command_hook import CommandHook
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.checks import CHECKS, Check, Outcome, Site, State, run_checks
from airflow_provider_drivepipe.scenario.plan import Plan

_OF_ALL = ("Python", "project")
_OF_BUCKET = (*_OF_ALL, "OSS")
_OF_MOUNT = (*_OF_BUCKET, "SQL", "table", "tunnel", "session", "role")
"""Names of the checks of a connection, by what a scenario's tasks work on."""
_MODELS = next(check for check in CHECKS if check.name == "models")


class OnlineLookup:
    """Looks scenarios up, each connection and bucket once.

    A scratch table and a MaxFrame session are made to try the role, and removed.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], list[Outcome]] = {}

    def problems(self, plan: Plan) -> list[str]:
        """Return what is wrong and what could not be looked up. Raises CommandError without a connection."""
        hook = CommandHook(plan.conn_id, run_identity="drivepipe validate")
        names = _names(plan)
        place = (plan.conn_id, plan.bucket, names)
        connection = self._seen.get(place)
        if connection is None:
            connection = self._seen[place] = self._connection(Site(hook, plan.bucket), names)
        if any(o.check.name == "project" and o.state is not State.OK for o in connection):
            outcomes = connection
        else:
            outcomes = [*connection, *run_checks(Site(hook, models=plan.models), _own_checks(plan))]
        return [
            f"{o.check.name}: {o.said}" if o.state is State.FAILED else f"{o.check.name}: {o.state}, {o.said}"
            for o in outcomes
            if o.state is not State.OK
        ]

    @staticmethod
    def _connection(site: Site, names: tuple[str, ...]) -> list[Outcome]:
        try:
            return list(run_checks(site, [check for check in CHECKS if check.name in names]))
        finally:
            for what in site.clean_up():
                print(f"NOT REMOVED: {what}", file=sys.stderr)


def _names(plan: Plan) -> tuple[str, ...]:
    if any(stage.mounts for task in plan.tasks for stage in task.stages):
        return _OF_MOUNT
    return _OF_BUCKET if plan.bucket else _OF_ALL


def _own_checks(plan: Plan) -> list[Check]:
    tables = Check("tables", lambda site: _tables(site, plan), "")
    return [tables, replace(_MODELS, needs=())] if plan.models else [tables]


def _tables(site: Site, plan: Plan) -> str:
    """Look at the input table, and at output tables that are there already."""
    first = plan.tasks[0]
    wrong = []
    if not first.is_listing:
        columns = (
            None if site.hook.table_comment(first.source) is None else _partition_columns(site, first.source)
        )
        if columns is None:
            wrong.append(f"there is no table {first.source} to read")
        elif missing := [c for c in plan.partition.columns if c not in columns]:
            wrong.append(f"table {first.source} is not partitioned by {', '.join(sorted(missing))}")
    for task in plan.tasks:
        name = task.output_table.name
        if site.hook.table_comment(name) is None:
            continue
        if _partition_columns(site, name) != list(plan.partition.columns):
            wrong.append(f"table {name} is not partitioned by ({', '.join(plan.partition.columns)})")
        have = {c.name: c.type for c in site.hook.table_columns(name)[0]}
        lacks = [c.name for c in task.output_table.columns if have.get(c.name) != c.type]
        if lacks:
            wrong.append(f"table {name} lacks {', '.join(lacks)}, or has them of other types")
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return ""


def _partition_columns(site: Site, table: str) -> list[str]:
    return site.hook.table_columns(table)[1]
