"""One wave of a task as a lazy MaxFrame graph: a linear chain of parts behind the rows that need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import maxframe.dataframe as md

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.lifecycle.budget import BUDGET_MESSAGE
from airflow_provider_drivepipe.lifecycle.chunks import chunk_of, chunks_of_wave, units_of_wave
from airflow_provider_drivepipe.lifecycle.publishing import WorkCounts
from airflow_provider_drivepipe.lifecycle.tables import WAVE_COLUMN, WORK_COLUMN, StageTables, Work
from airflow_provider_drivepipe.stages.stage import Build, RowStage, Stage, UnitStage
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker.rows import pandas_dtype, skip_rows, start_rows

_PLACE = "index"
_INPUT_COLUMN = "drivepipe_index"
_DEALT = "drivepipe_dealt"


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
    that only lack parts, go through the stages of the parts one by one, each row where its flag is 1. Before
    each stage, rows are spread over chunks.

    :param counts: what the snapshot holds, over all waves.
    :param rows_left: how many new rows are within the budget, None without one.
    """
    unit = next((stage for stage in stages if isinstance(stage, UnitStage)), None)
    pieces, chunks = [], chunks_of_wave(tables, counts, wave)
    if counts.has(Work.RUN, wave) and unit is not None:
        units = _read(odps, tables.working.units, Work.RUN, wave)
        number = units_of_wave(tables, counts, wave)
        if tables.weight and min(number, chunks) > 1:
            units = dealt(units, tables.weight, number, chunks)
        new = unit.build(_spread(units, chunks), build)
        if not tables.parts:
            return new
        pieces += _new_rows(new, tables, unit, rows_left)
    if counts.has(Work.TODO, wave):
        lacking = _read(odps, tables.rows_to_do, Work.TODO, wave)
        again = lacking if unit is None else unit.again(_spread(lacking, chunks), build)
        pieces.append(_started(again, tables, unit))
    # A fresh index, unique over all pieces, so that answers of models can be joined to the rows.
    rows = pieces[0] if len(pieces) == 1 else md.concat(pieces, ignore_index=True)
    for stage in stages:
        if isinstance(stage, RowStage):
            rows = _with_part(rows, stage, build, counts, chunks)
    return rows


def _read(odps: Any, table: str, work: Work, wave: int) -> Any:
    partition = f"{WORK_COLUMN.name}={work},{WAVE_COLUMN.name}={wave}"
    return md.read_odps_table(table, partitions=[partition], odps_entry=odps)


def _spread(rows: Any, chunks: int) -> Any:
    """Return lazy ``rows`` in at most so many chunks, with equally many rows."""
    return rows if chunks == 1 else rows.mf.rebalance(num_partitions=chunks)


def _with_part(rows: Any, stage: RowStage, build: Build, counts: WorkCounts, chunks: int) -> Any:
    """Return ``rows`` with a part where they need it. Rows come in another order when they come back."""
    part = stage.part()
    if not counts.run and not counts.needs.get(part.stage):
        return rows
    flag = rows[part.flag]
    return md.concat([stage.build(_spread(rows[flag == 1], chunks), build), rows[flag != 1]])


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
    ordered = _placed(rows, list(key), ascending=True)
    place = ordered[_PLACE]
    return _unplaced(ordered[place < count], columns), _unplaced(ordered[place >= count], columns)


def dealt(rows: Any, weight: str, number: int, chunks: int) -> Any:
    """Return ``number`` lazy ``rows``, so ordered that chunks of equally many have about the same work.

    Within a chunk the longest comes first.
    """
    ordered = _placed(rows, [weight], ascending=False)
    place = ordered[_PLACE]
    ordered[_DEALT] = chunk_of(place, number, chunks) * number + place
    return _unplaced(ordered.sort_values(_DEALT).reset_index(drop=True), list(rows.dtypes.index))


def _placed(rows: Any, by: list[str], *, ascending: bool) -> Any:
    """Return lazy ``rows`` in an order, each with its place in it."""
    if _PLACE in rows.dtypes.index:
        # A column of the input has the name that the row's place gets.
        rows = rows.rename(columns={_PLACE: _INPUT_COLUMN})
    return rows.sort_values(by, ascending=ascending).reset_index(drop=True).reset_index()


def _unplaced(rows: Any, columns: list[str]) -> Any:
    """Return lazy ``rows`` with the columns that they had before they got their places."""
    if _PLACE in columns:
        rows = rows.drop(columns=[_PLACE]).rename(columns={_INPUT_COLUMN: _PLACE})
    return rows[columns]
