"""One wave of a task as a lazy MaxFrame graph: a linear chain of parts behind the rows that need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import maxframe.dataframe as md

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.lifecycle.budget import BUDGET_MESSAGE
from airflow_provider_drivepipe.lifecycle.publishing import WorkCounts
from airflow_provider_drivepipe.lifecycle.tables import WAVE_COLUMN, WORK_COLUMN, StageTables, Work
from airflow_provider_drivepipe.stages.stage import Build, RowStage, Stage, UnitStage
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker.rows import pandas_dtype, skip_rows, start_rows

_PLACE = "index"
_INPUT_COLUMN = "drivepipe_index"


def job_rows(
    odps: Any,
    tables: StageTables,
    stages: Sequence[Stage],
    build: Build,
    counts: WorkCounts,
    wave: int,
    rows_left: int | None = None,
) -> Any:
    """Return the lazy rows, with the output's columns, of all that one wave does.

    Units that are done from the start go through the stage that makes rows of them. What comes out, and rows
    that only lack parts, go through the stages of the parts one by one, each row where its flag is 1.

    :param counts: what the snapshot holds, over all waves.
    :param rows_left: how many new rows are within the budget, None without one.
    """
    unit = next((stage for stage in stages if isinstance(stage, UnitStage)), None)
    pieces = []
    if counts.has(Work.RUN, wave) and unit is not None:
        new = unit.build(_read(odps, tables.working.units, Work.RUN, wave), build)
        if not tables.parts:
            return new
        pieces += _new_rows(new, tables, unit, rows_left)
    if counts.has(Work.TODO, wave):
        lacking = _read(odps, tables.rows_to_do, Work.TODO, wave)
        again = lacking if unit is None else unit.again(lacking, build)
        pieces.append(_started(again, tables, unit))
    # A fresh index, unique over all pieces, so that answers of models can be joined to the rows.
    rows = pieces[0] if len(pieces) == 1 else md.concat(pieces, ignore_index=True)
    for stage in stages:
        if isinstance(stage, RowStage):
            rows = _with_part(rows, stage, build, counts)
    return rows


def _read(odps: Any, table: str, work: Work, wave: int) -> Any:
    partition = f"{WORK_COLUMN.name}={work},{WAVE_COLUMN.name}={wave}"
    return md.read_odps_table(table, partitions=[partition], odps_entry=odps)


def _with_part(rows: Any, stage: RowStage, build: Build, counts: WorkCounts) -> Any:
    """Return ``rows`` with a part where they need it. Rows come in another order when they come back."""
    part = stage.part()
    if not counts.run and not counts.needs.get(part.stage):
        return rows
    flag = rows[part.flag]
    return md.concat([stage.build(rows[flag == 1], build), rows[flag != 1]])


def _new_rows(rows: Any, tables: StageTables, unit: UnitStage, left: int | None) -> list[Any]:
    """Return lazy rows of the units' stage, ready for parts; beyond the budget they need none."""
    if left is None:
        return [_started(rows, tables, unit)]
    ok, rest = rows[rows["status"] == "ok"], rows[rows["status"] != "ok"]
    within, beyond = first_rows(ok, tables.row_key, left)
    first, flags = tables.parts[0].stage, [part.flag for part in tables.parts]

    def beyond_budget(chunk: Any) -> Any:
        return skip_rows(chunk, flags, first, str(Reason.BUDGET), BUDGET_MESSAGE)

    skipped = _started(beyond, tables, unit)
    skipped = apply_chunk(skipped, beyond_budget, dict(skipped.dtypes))
    return [_started(rest, tables, unit), _started(within, tables, unit), skipped]


def _started(rows: Any, tables: StageTables, unit: UnitStage | None) -> Any:
    """Return lazy rows with the output's columns and a flag for each part."""
    columns = _chain_columns(tables, unit)
    flags = [part.flag for part in tables.parts]

    def ready_for_parts(chunk: Any) -> Any:
        return start_rows(chunk, columns, flags)

    dtypes = {name: dtype or rows.dtypes[name] for name, dtype in columns.items()}
    return apply_chunk(rows, ready_for_parts, {**dtypes, **dict.fromkeys(flags, "int64")})


def _chain_columns(tables: StageTables, unit: UnitStage | None) -> Mapping[str, str | None]:
    """Return the columns of rows in the chain, each with its dtype; None where it is the input's."""
    own = {c.name: c for part in tables.parts for c in part.columns}
    own.update({c.name: c for c in unit.columns()} if unit is not None else {})
    travelling = {c.name for c in tables.source_columns}
    columns: dict[str, str | None] = {}
    for column in tables.output_columns:
        taken = column.name in travelling and column.name not in own
        columns[column.name] = None if taken else pandas_dtype(column.type)
    return {**columns, **dict.fromkeys(unit.passed_on if unit is not None else (), "object")}


def first_rows(rows: Any, key: tuple[str, ...], count: int) -> tuple[Any, Any]:
    """Return lazy ``rows`` as two parts: the first ``count`` in the order of ``key``, and the others."""
    columns = list(rows.dtypes.index)
    if _PLACE in columns:
        # A column of the input has the name that the row's place gets.
        rows = rows.rename(columns={_PLACE: _INPUT_COLUMN})
    ordered = rows.sort_values(list(key)).reset_index(drop=True).reset_index()
    place = ordered[_PLACE]
    parts = ordered[place < count], ordered[place >= count]
    if _PLACE in columns:
        parts = tuple(part.drop(columns=[_PLACE]).rename(columns={_INPUT_COLUMN: _PLACE}) for part in parts)
    return parts[0][columns], parts[1][columns]
